//! What every store has, whatever its database.

/// Implements it for a store with a `core`.
macro_rules! face {
    ($Store:ident) => {
        impl $Store {
            /// Returns a handle on the same store that sees only what was written under this prefix, and writes under it. It
            /// replaces the prefix that this handle has; "" means none.
            ///
            /// A prefix with a NUL character or above 255 bytes makes a handle whose every call is `InvalidInput`;
            /// [`try_with_prefix`](Self::try_with_prefix) says so at once.
            #[must_use]
            pub fn with_prefix(&self, prefix: impl Into<String>) -> Self {
                self.on(self.core.with_prefix(&prefix.into()))
            }

            /// As [`with_prefix`](Self::with_prefix), for prefixes that may be illegal.
            ///
            /// # Errors
            /// `InvalidInput` for a prefix with a NUL character or above 255 bytes.
            pub fn try_with_prefix(&self, prefix: &str) -> Result<Self, StateStoreError> {
                Ok(self.on(self.core.try_with_prefix(prefix)?))
            }

            /// Returns the limits of the store, as its options set them.
            #[must_use]
            pub fn limits(&self) -> &Limits {
                &self.core.settings().limits
            }

            /// Returns the prefix of this handle; "" for none.
            #[must_use]
            pub fn prefix(&self) -> &str {
                self.core.prefix()
            }

            /// Returns an empty batch of writes, under this handle's prefix, that are committed all or nothing.
            pub fn batch(&self) -> Batch {
                Batch::new(&self.core)
            }

            /// Returns the handle on the states of agents.
            #[must_use]
            pub fn agents(&self) -> Agents<'_> {
                Agents::new(&self.core)
            }

            /// Returns the handle on the transitions of agents' states.
            #[must_use]
            pub fn transitions(&self) -> Transitions<'_> {
                Transitions::new(&self.core)
            }

            /// Returns the handle on the snapshots of agents' states.
            #[must_use]
            pub fn snapshots(&self) -> Snapshots<'_> {
                Snapshots::new(&self.core)
            }

            /// Returns the handle on the events.
            #[must_use]
            pub fn events(&self) -> Events<'_> {
                Events::new(&self.core)
            }

            /// Returns the handle on the tasks.
            #[must_use]
            pub fn tasks(&self) -> Tasks<'_> {
                Tasks::new(&self.core)
            }

            /// Returns the handle on the sessions.
            #[must_use]
            pub fn sessions(&self) -> Sessions<'_> {
                Sessions::new(&self.core)
            }

            /// Returns the handle on the migrations of the database.
            #[must_use]
            pub fn migrations(&self) -> Migrations<'_> {
                Migrations::new(&self.core)
            }

            /// Runs a closure in a write transaction of its own, on the runtime's blocking pool. What it wrote is committed
            /// whole when it returns `Ok`, and rolled back when it returns `Err` or panics.
            ///
            /// On SQLite other writers wait meanwhile, so keep it short. The guide's closure receives nothing, and so could never have
            /// rolled anything back; this one receives the transaction.
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")]
            /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// # let store = descartes_state::SqliteStateStore::temporary().await?;
            /// use descartes_state::TransitionDraft;
            ///
            /// let seq = store
            ///     .transact(|tx| tx.transitions().record(&TransitionDraft::new("agent_001", "{}", "{}")))
            ///     .await?;
            /// assert_eq!(seq.get(), 1);
            /// # Ok(())
            /// # }
            /// ```
            ///
            /// # Errors
            /// The closure's own; `Panicked`; `TransactionEscaped` where it ended the transaction by raw SQL.
            pub async fn transact<T, F>(&self, work: F) -> Result<T, StateStoreError>
            where
                T: Send + 'static,
                F: FnOnce(&mut Transaction<'_>) -> Result<T, StateStoreError> + Send + 'static,
            {
                self.core.transact("transact", work).await
            }

            /// As [`transact`](Self::transact), for a closure with an error type of its own.
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")]
            /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// # let store = descartes_state::SqliteStateStore::temporary().await?;
            /// use descartes_state::StateStoreError;
            ///
            /// #[derive(Debug)]
            /// enum Failure {
            ///     TooLate,
            ///     Store(StateStoreError),
            /// }
            /// impl From<StateStoreError> for Failure {
            ///     fn from(error: StateStoreError) -> Self {
            ///         Self::Store(error)
            ///     }
            /// }
            ///
            /// let result: Result<(), Failure> = store.try_transact(|_| Err(Failure::TooLate)).await;
            /// assert!(matches!(result, Err(Failure::TooLate)));
            /// # Ok(())
            /// # }
            /// ```
            ///
            /// # Errors
            /// The closure's own, or the store's as `E`.
            pub async fn try_transact<T, E, F>(&self, work: F) -> Result<T, E>
            where
                T: Send + 'static,
                E: From<StateStoreError> + Send + 'static,
                F: FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
            {
                self.core.try_transact(work).await
            }

            /// Runs a closure in a read transaction of its own, on the runtime's blocking pool: all that it reads is one
            /// snapshot of the database. It waits for no writer, and no writer for it.
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")]
            /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// # let store = descartes_state::SqliteStateStore::temporary().await?;
            /// use descartes_state::diesel::prelude::*;
            /// use descartes_state::schema::events;
            ///
            /// let rows: i64 = store
            ///     .read(|tx| Ok(events::table.count().get_result(tx.sqlite()?)?))
            ///     .await?;
            /// assert_eq!(rows, 0);
            /// # Ok(())
            /// # }
            /// ```
            ///
            /// # Errors
            /// The closure's own; `DatabaseError` where it writes; `Panicked`; `TransactionEscaped`.
            pub async fn read<T, F>(&self, work: F) -> Result<T, StateStoreError>
            where
                T: Send + 'static,
                F: FnOnce(&mut ReadTransaction<'_>) -> Result<T, StateStoreError> + Send + 'static,
            {
                self.core.read_closure(work).await
            }

            /// Refuses new calls, waits for those in flight, and closes the connections. Clones and prefixed handles are closed with
            /// it. Where this is the last store that has a SQLite file open in this process, its write-ahead log is moved into the
            /// file.
            ///
            /// # Errors
            /// `Reentrant` from inside a closure of the store. Closing again is `Ok`.
            pub async fn close(&self) -> Result<(), StateStoreError> {
                self.core.close().await
            }

            async fn make_ready(&self) -> Result<(), StateStoreError> {
                self.core.initialize().await
            }
        }
    };
}
pub(super) use face;
