//! An application's own table and migrations in the store's file, written in one transaction with the store's rows.
//!
//! Run it with `cargo run --example own_tables`.

#![allow(clippy::print_stdout, reason = "an example shows what it read")]

use std::error::Error;

use descartes_state::diesel::{self, prelude::*};
use descartes_state::schema::agent_states;
use descartes_state::serde_json::json;
use descartes_state::{AgentState, SqliteStateStore, StateStoreError};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use schema::reviews;

// Their versions are dates, as the Diesel command makes them; the store's own have four digits.
const MIGRATIONS: EmbeddedMigrations = embed_migrations!("examples/own_tables/migrations");

mod schema {
    use descartes_state::diesel;
    use descartes_state::schema::agent_states;

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
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = SqliteStateStore::temporary().await?;
    store
        .transact(|transaction| {
            let connection = transaction.sqlite()?;
            let applied = connection.run_pending_migrations(MIGRATIONS);
            applied.map(drop).map_err(StateStoreError::Application)
        })
        .await?;

    // The agent's state and its review are committed together, or not at all.
    store
        .transact(|transaction| {
            transaction.agents().save(&AgentState {
                agent_id: "agent_001".to_owned(),
                name: "Reviewer".to_owned(),
                status: "idle".to_owned(),
                metadata: json!({}),
                state_data: "{}".to_owned(),
                created_at: 1_763_856_000,
                updated_at: 1_763_856_000,
                version: 1,
            })?;
            diesel::insert_into(reviews::table)
                .values((
                    reviews::agent_id.eq("agent_001"),
                    reviews::verdict.eq("good"),
                ))
                .execute(transaction.sqlite()?)?;
            Ok(())
        })
        .await?;

    let rows: Vec<(String, String)> = store
        .read(|transaction| {
            Ok(reviews::table
                .inner_join(agent_states::table.on(agent_states::agent_id.eq(reviews::agent_id)))
                .select((agent_states::name, reviews::verdict))
                .load(transaction.sqlite()?)?)
        })
        .await?;
    for (name, verdict) in rows {
        println!("{name}: {verdict}");
    }
    Ok(store.close().await?)
}
