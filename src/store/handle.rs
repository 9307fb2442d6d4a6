//! How the list of an aggregate's methods becomes its handle.

use crate::engine::{ListKind, ReadExtent};
use crate::error::StateStoreError;
use crate::models::{Bounded, EventFilter};
use crate::page::PageRequest;

/// Makes the handle of an aggregate. What an entry of the list has is said in `repository/methods.rs`.
macro_rules! handle {
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
        #[doc = concat!($title, ", as a store's handle on them.")]
        #[derive(Debug, Clone, Copy)]
        pub struct $Handle<'s> {
            core: &'s $crate::store::StoreCore,
        }

        impl<'s> $Handle<'s> {
            pub(super) fn new(core: &'s $crate::store::StoreCore) -> Self {
                Self { core }
            }

            $(
                $(#[$read_text])*
                $(#[$read_example])*
                pub async fn $read(
                    &self,
                    $($read_argument: $read_type),*
                ) -> Result<$read_output, $crate::error::StateStoreError> {
                    let prepared = {
                        let $read_scope = &**self.core.scope()?;
                        $read_prepare
                    };
                    let operation = concat!(stringify!($noun), ".", stringify!($read));
                    let extent = $crate::store::handle::extent!($extent, $Handle, &prepared);
                    self.core
                        .read_prepared(operation, extent, prepared, |backend, prepared| {
                            let $read_prepared = prepared;
                            $crate::repository::on_table!(backend, $Table, |$read_table| $read_run)
                        })
                        .await
                }
            )*

            $(
                $(#[$write_text])*
                #[doc = $crate::state_store::cancellation!()]
                $(#[$write_example])*
                pub async fn $write(
                    &self,
                    $($write_argument: $write_type),*
                ) -> Result<$write_output, $crate::error::StateStoreError> {
                    $( $crate::store::handle::may_be_copied(self.$check($checked).await)?; )?
                    let prepared = {
                        let $write_scope = &**self.core.scope()?;
                        $write_prepare
                    };
                    let operation = concat!(stringify!($noun), ".", stringify!($write));
                    let size = $crate::store::core::size_of_write(&prepared);
                    let kind = $crate::engine::WriteKind::$kind.of_size(size);
                    let locks = self.core.locks(stringify!($noun), &prepared);
                    let prepared = $crate::models::Footprint::held(prepared);
                    self.core
                        .write_prepared(operation, kind, size, locks, prepared, |backend, prepared| {
                            let $write_prepared = prepared;
                            $crate::repository::on_table!(backend, $Table, |$write_table| $write_run)
                        })
                        .await
                }
            )*
        }
    };
}
pub(super) use handle;

/// Lets a row go that is too large to be read here: what is stored may be copied, whatever it measures.
pub(super) fn may_be_copied<T>(read: Result<T, StateStoreError>) -> Result<(), StateStoreError> {
    match read {
        Ok(_) | Err(StateStoreError::TooLarge { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// How much a read reads: `one` row by its key, a `page` of a list, a page that a `search` finds, or as much as there is
/// (`many`).
macro_rules! extent {
    (one, $kind:ident, $prepared:expr) => {
        $crate::engine::ReadExtent::Row
    };
    (page, $kind:ident, $prepared:expr) => {
        $crate::store::handle::page_extent($crate::engine::ListKind::$kind, $prepared)
    };
    (search, $kind:ident, $prepared:expr) => {
        $crate::store::handle::search_extent($prepared)
    };
    (many, $kind:ident, $prepared:expr) => {
        $crate::engine::ReadExtent::Many
    };
}
pub(super) use extent;

/// Where nothing but the words is asked for, the newest rows alone are a bounded piece of work. The rows that a filter drops are
/// read for nothing.
pub(super) fn search_extent((_, filter, page): &(String, EventFilter, PageRequest)) -> ReadExtent {
    if *filter == EventFilter::default() {
        ReadExtent::Page(ListKind::Searches, page.rows())
    } else {
        ReadExtent::Many
    }
}

pub(super) fn page_extent(
    kind: ListKind,
    (filter, page): &(impl Bounded, PageRequest),
) -> ReadExtent {
    if filter.is_bounded() {
        ReadExtent::Page(kind, page.rows())
    } else {
        ReadExtent::Many
    }
}
