//! The guide's methods on a store: inherent, and through the trait.

/// Implements them for a store that has the handles.
macro_rules! contract {
    ($Store:ident) => {
        mod guide {
            use async_trait::async_trait;
            use uuid::Uuid;

            use super::$Store;
            use crate::condition::ChangeIf;
            use crate::error::StateStoreError;
            use crate::migrations::MigrationRecord;
            use crate::models::{
                AgentState, Event, EventFilter, SnapshotOptions, StateTransition, Task,
                TransitionDraft,
            };
            use crate::state_store::{StateStore, state_store_methods};

            type Store = $Store;

            state_store_methods!(implement);
            use crate::store::contract::implement;
        }
    };
}
pub(super) use contract;

macro_rules! implement {
    ($(
        $(#[$doc:meta])*
        $does:ident fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> $result:ty => |$store:ident| $body:block;
    )*) => {
        /// The guide's methods, as [`StateStore`] has them.
        impl Store {
            $(
                $(#[$doc])*
                #[doc = $crate::state_store::closing_text!($does)]
                pub async fn $name(&self, $($argument: $type),*) -> Result<$result, StateStoreError> {
                    let $store = self;
                    $body
                }
            )*
        }

        #[async_trait]
        impl StateStore for Store {
            $(
                async fn $name(&self, $($argument: $type),*) -> Result<$result, StateStoreError> {
                    Store::$name(self, $($argument),*).await
                }
            )*
        }
    };
}
pub(super) use implement;
