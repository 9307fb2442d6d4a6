//! How the list of an aggregate's methods becomes its part of a batch.

use uuid::Uuid;

use super::operations::{BatchTicket, Operations};
use crate::condition::{ChangeIf, SaveIf};
use crate::models::{
    AgentState, AppendOptions, Event, NewAgent, NewEvent, NewSession, NewSnapshot, NewStep,
    NewTask, NewTransition, Session, SessionStatus, SnapshotChange, SnapshotOptions, Step, Stepped,
    Task, TaskStatus, TransitionDraft,
};
use crate::numbers::{Revision, Seq};
use crate::repository::{
    agent_methods, event_methods, session_methods, snapshot_methods, task_methods,
    transition_methods,
};
use crate::store::core::StoreCore;

/// What kind of write it is in a batch. What is checked within the transaction may be large.
macro_rules! kind {
    ($kind:ident after $check:ident) => {
        crate::engine::WriteKind::Bulk
    };
    ($kind:ident) => {
        crate::engine::WriteKind::$kind
    };
}

/// Makes the part of a batch that an aggregate has. What an entry of the list has is said in `repository/methods.rs`.
macro_rules! batch {
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
        #[doc = concat!($title, ", in a [`Batch`](crate::Batch).")]
        ///
        #[doc = concat!("Each method collects what its namesake of [`", stringify!($Handle), "`](crate::", stringify!($Handle), ") writes, checked and encoded, and returns a ticket for what")]
        /// that returns. It writes nothing by itself.
        #[derive(Debug)]
        pub struct $Batch<'b> {
            core: &'b StoreCore,
            operations: &'b mut Operations,
        }

        impl<'b> $Batch<'b> {
            pub(super) fn new(core: &'b StoreCore, operations: &'b mut Operations) -> Self {
                Self { core, operations }
            }

            $(
                $(#[$write_text])*
                pub fn $write(
                    &mut self,
                    $($write_argument: $write_type),*
                ) -> Result<BatchTicket<$write_output>, $crate::error::StateStoreError> {
                    let scope = self.core.scope()?;
                    let prepared = {
                        let $write_scope = &**scope;
                        $write_prepare
                    };
                    let operation = concat!(stringify!($noun), ".", stringify!($write));
                    let size = $crate::store::core::size_of_write(&prepared);
                    let kind = kind!($kind $(after $check)?).of_size(size);
                    $( let $checked = $checked.to_owned(); )?
                    self.operations.locks.extend(self.core.locks(stringify!($noun), &prepared));
                    let prepared = $crate::models::Footprint::held(prepared);
                    self.operations.push((operation, scope), kind, size, move |backend| {
                        $(
                            let mut reader = $crate::repository::$Reader::new(backend.reborrow());
                            $crate::store::handle::may_be_copied(reader.$check(&$checked))?;
                        )?
                        let $write_prepared = &prepared;
                        $crate::repository::on_table!(backend, $Table, |$write_table| $write_run)
                    })
                }
            )*
        }
    };
}

agent_methods!(batch);
transition_methods!(batch);
snapshot_methods!(batch);
event_methods!(batch);
task_methods!(batch);
session_methods!(batch);
