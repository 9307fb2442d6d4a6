//! The guide's methods on the SQLite store: inherent, and through the trait.

use async_trait::async_trait;
use uuid::Uuid;

use super::SqliteStateStore;
use crate::condition::ChangeIf;
use crate::error::StateStoreError;
use crate::migrations::MigrationRecord;
use crate::models::{
    AgentState, Event, EventFilter, SnapshotOptions, StateTransition, Task, TransitionDraft,
};
use crate::state_store::{StateStore, state_store_methods};

macro_rules! implement {
    ($(
        $(#[$doc:meta])*
        $does:ident fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> $result:ty => |$store:ident| $body:block;
    )*) => {
        /// The guide's methods, as [`StateStore`] has them.
        impl SqliteStateStore {
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
        impl StateStore for SqliteStateStore {
            $(
                async fn $name(&self, $($argument: $type),*) -> Result<$result, StateStoreError> {
                    SqliteStateStore::$name(self, $($argument),*).await
                }
            )*
        }
    };
}

state_store_methods!(implement);
