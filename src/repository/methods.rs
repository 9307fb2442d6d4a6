//! How the list of an aggregate's methods becomes its reader and its repository.
//!
//! A list is a macro that hands itself to another one: to [`repository!`] here, to `handle!` and `batch!` in `store`. An entry has the
//! method's docs, an example, its signature, and two steps: what is checked and encoded on the caller, and what is then
//! run on the table. A handle takes the first step on the caller's thread, and the second where the transaction is.

/// Makes the reader and the repository of an aggregate.
macro_rules! repository {
    (
        $noun:ident: $Handle:ident, $Batch:ident, $Reader:ident, $Repository:ident, $Table:ident, $title:literal;
        reads {$(
            $(#[$read_text:meta])*
            example [$(#[$read_example:meta])*]
            $extent:ident fn $read:ident($($read_argument:ident: $read_type:ty),*) -> $read_output:ty {
                |$read_scope:ident| $read_prepare:expr => |$read_table:ident, $read_prepared:pat_param| $read_run:expr
            }
        )*}
        writes {$(
            $(#[$write_text:meta])*
            example [$(#[$write_example:meta])*]
            $kind:ident $(after $check:ident($checked:ident))?
            fn $write:ident($($write_argument:ident: $write_type:ty),*) -> $write_output:ty {
                |$write_scope:ident| $write_prepare:expr => |$write_table:ident, $write_prepared:pat_param| $write_run:expr
            }
        )*}
    ) => {
        #[doc = concat!($title, ", to read within one transaction and namespace.")]
        ///
        #[doc = concat!("The methods are those of the handle [`", stringify!($Handle), "`](crate::", stringify!($Handle), "), whose docs have examples.")]
        pub struct $Reader<'t> {
            backend: $crate::repository::Backend<'t>,
        }

        impl<'t> $Reader<'t> {
            pub(crate) fn new(backend: $crate::repository::Backend<'t>) -> Self {
                Self { backend }
            }

            $(
                $(#[$read_text])*
                pub fn $read(
                    &mut self,
                    $($read_argument: $read_type),*
                ) -> Result<$read_output, $crate::error::StateStoreError> {
                    let $read_prepared = &{
                        let $read_scope = self.backend.scope();
                        $read_prepare
                    };
                    $crate::repository::on_table!(&mut self.backend, $Table, |$read_table| $read_run)
                }
            )*
        }

        impl std::fmt::Debug for $Reader<'_> {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter
                    .debug_struct(stringify!($Reader))
                    .field("namespace", &self.backend.scope().namespace.as_str())
                    .finish_non_exhaustive()
            }
        }

        #[doc = concat!($title, ", within one transaction and namespace.")]
        ///
        #[doc = concat!("It reads as its [`", stringify!($Reader), "`] does. The methods are those of the handle [`", stringify!($Handle), "`](crate::", stringify!($Handle), "), whose docs have examples.")]
        pub struct $Repository<'t> {
            reader: $Reader<'t>,
        }

        impl<'t> $Repository<'t> {
            pub(super) fn new(backend: $crate::repository::Backend<'t>) -> Self {
                Self {
                    reader: $Reader::new(backend),
                }
            }

            $(
                $(#[$write_text])*
                pub fn $write(
                    &mut self,
                    $($write_argument: $write_type),*
                ) -> Result<$write_output, $crate::error::StateStoreError> {
                    $( let _checked = self.$check($checked)?; )?
                    let $write_prepared = &{
                        let $write_scope = self.reader.backend.scope();
                        $write_prepare
                    };
                    self.reader.backend.within_closure(|backend| {
                        $crate::repository::on_table!(backend, $Table, |$write_table| $write_run)
                    })
                }
            )*
        }

        impl std::fmt::Debug for $Repository<'_> {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter
                    .debug_struct(stringify!($Repository))
                    .field("namespace", &self.reader.backend.scope().namespace.as_str())
                    .finish_non_exhaustive()
            }
        }

        impl<'t> std::ops::Deref for $Repository<'t> {
            type Target = $Reader<'t>;

            fn deref(&self) -> &$Reader<'t> {
                &self.reader
            }
        }

        impl<'t> std::ops::DerefMut for $Repository<'t> {
            fn deref_mut(&mut self) -> &mut $Reader<'t> {
                &mut self.reader
            }
        }
    };
}
pub(super) use repository;
