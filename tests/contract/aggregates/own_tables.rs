//! An application's own tables and migrations, in the same file and the same transactions.

use descartes_state::diesel::prelude::*;
use descartes_state::schema::agent_states;
use descartes_state::{SqliteStateStore, StateStoreError, diesel};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use descartes_state_testing::{TestResult, agent};

// Those of examples/own_tables.rs.
const MIGRATIONS: EmbeddedMigrations = embed_migrations!("examples/own_tables/migrations");

diesel::table! {
    reviews (id) {
        id -> BigInt,
        agent_id -> Text,
        verdict -> Text,
    }
}

// `allow_tables_to_appear_in_same_query!` is for tables of one crate where Diesel knows PostgreSQL too.
impl diesel::query_source::TableNotEqual<agent_states::table> for reviews::table {}
impl diesel::query_source::TableNotEqual<reviews::table> for agent_states::table {}

async fn migrate(store: &SqliteStateStore) -> Result<usize, StateStoreError> {
    store
        .transact(|transaction| {
            let applied = transaction
                .sqlite()?
                .run_pending_migrations(MIGRATIONS)
                .map_err(StateStoreError::Application)?;
            Ok(applied.len())
        })
        .await
}

async fn add(store: &SqliteStateStore, agent_id: &'static str) -> Result<(), StateStoreError> {
    store
        .transact(move |transaction| {
            transaction.agents().save(&agent(agent_id))?;
            diesel::insert_into(reviews::table)
                .values((reviews::agent_id.eq(agent_id), reviews::verdict.eq("good")))
                .execute(transaction.sqlite()?)?;
            if agent_id == "refused" {
                return Err(StateStoreError::application("no more"));
            }
            Ok(())
        })
        .await
}

#[tokio::test]
async fn own_tables_and_migrations_live_in_the_same_file() -> TestResult {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("state.db");
    let store = SqliteStateStore::new(&path, false).await?;
    store.initialize().await?;
    let ours = store.get_migration_history().await?;
    assert_eq!(migrate(&store).await?, 1);
    assert_eq!(migrate(&store).await?, 0);
    add(&store, "a").await?;
    store.close().await?;

    let store = SqliteStateStore::new(&path, false).await?;
    store.initialize().await?;
    // Theirs are none of ours: not in the history, not pending, not a newer database.
    assert_eq!(store.get_migration_history().await?, ours);
    assert_eq!(store.migrations().pending().await?, []);
    let joined: Vec<(String, String)> = store
        .read(|transaction| {
            Ok(reviews::table
                .inner_join(agent_states::table.on(agent_states::agent_id.eq(reviews::agent_id)))
                .select((agent_states::name, reviews::verdict))
                .load(transaction.sqlite()?)?)
        })
        .await?;
    assert_eq!(joined, [("Agent a".to_owned(), "good".to_owned())]);
    Ok(())
}

#[tokio::test]
async fn own_rows_and_the_stores_commit_together_or_not_at_all() -> TestResult {
    let store = SqliteStateStore::temporary().await?;
    migrate(&store).await?;
    add(&store, "kept").await?;
    let refused = add(&store, "refused").await;
    assert!(
        matches!(refused, Err(StateStoreError::Application(_))),
        "{refused:?}"
    );
    assert_eq!(store.list_agents().await?, [agent("kept")]);
    let rows: i64 = store
        .read(|transaction| Ok(reviews::table.count().get_result(transaction.sqlite()?)?))
        .await?;
    assert_eq!(rows, 1);
    Ok(())
}

#[tokio::test]
async fn a_failed_migration_of_their_own_leaves_the_file_as_it_was() -> TestResult {
    let store = SqliteStateStore::temporary().await?;
    let result = store
        .transact(|transaction| {
            transaction
                .sqlite()?
                .run_pending_migrations(MIGRATIONS)
                .map_err(StateStoreError::Application)?;
            diesel::sql_query("CREATE TABLE agent_states (x)").execute(transaction.sqlite()?)?;
            Ok(())
        })
        .await;
    assert!(
        matches!(result, Err(StateStoreError::DatabaseError(_))),
        "{result:?}"
    );
    assert_eq!(
        migrate(&store).await?,
        1,
        "the first of them was rolled back too"
    );
    Ok(())
}
