//! Which index serves each hot operation, over 100,000 rows: by the server's own counters, of a store with one connection.

use std::collections::BTreeMap;

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::diesel::prelude::*;
use descartes_state::diesel::sql_query;
use descartes_state::diesel::sql_types::{BigInt, Text};
use descartes_state::page::Order;
use descartes_state::{
    AgentFilter, EventFilter, PageRequest, PostgresStateStore, SessionFilter, SnapshotFilter, Step,
    StoreOptions, TaskFilter, TransitionFilter,
};
use descartes_state_testing::{agent, event, task};

use crate::open_with;

/// 100,000 rows in each table, of 100 agents, sessions and types; one of ten is under no prefix.
const ROWS: &str = "
    INSERT INTO agent_states (key, namespace, agent_id, name, status, metadata, state_data, version, created_at, updated_at, recorded_at)
    SELECT OF_TENANT || ':a' || n, OF_TENANT, 'a' || n, 'n', 's' || n % 100, '{}', '{}', 1, n, n, n FROM generate_series(1, 100000) n;
    INSERT INTO state_transitions (namespace, id, agent_id, state_before, state_before_codec, state_after, state_after_codec, timestamp, recorded_at)
    SELECT OF_TENANT, gen_random_uuid(), 'a' || n % 100, 'x', 0, 'y', 0, n, n FROM generate_series(1, 100000) n;
    INSERT INTO state_snapshots (namespace, id, agent_id, name, status, metadata, state_data, version, created_at, recorded_at)
    SELECT OF_TENANT, gen_random_uuid(), 'a' || n % 100, 'n', 's', '{}', '{}', 1, n, n FROM generate_series(1, 100000) n;
    INSERT INTO events (namespace, id, event_type, timestamp, session_id, actor_type, actor_id, content, created_at, recorded_at, search_words)
    SELECT OF_TENANT, gen_random_uuid(), 't' || n % 100, n, 's' || n % 100, 'agent', 'a' || n % 100, 'word w' || n, n, n,
        array_to_tsvector(ARRAY['in:', 'w' || n, 'word']) FROM generate_series(1, 100000) n;
    INSERT INTO tasks (namespace, id, title, status, assigned_to, created_at, updated_at, recorded_at)
    SELECT OF_TENANT, gen_random_uuid(), 't', 'todo', 'a' || n % 100, n, n, n FROM generate_series(1, 100000) n;
    INSERT INTO sessions (namespace, id, agent_id, started_at, status, created_at, updated_at, recorded_at)
    SELECT OF_TENANT, 's' || n, 'a' || n % 100, n, 'active', n, n, n FROM generate_series(1, 100000) n;
    ANALYZE;
";

#[derive(QueryableByName)]
struct Scans {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = BigInt)]
    scans: i64,
}

/// How often each index was used, and each table read whole.
async fn scans(store: &PostgresStateStore) -> BTreeMap<String, i64> {
    let scans = store.read(|tx| {
        let connection = tx.postgres()?;
        connection.batch_execute("SELECT pg_stat_force_next_flush()")?;
        Ok(())
    });
    scans.await.unwrap();
    let scans = store.read(|tx| {
        let scans = sql_query(
            "SELECT indexrelname::text AS name, idx_scan AS scans FROM pg_stat_user_indexes
             WHERE schemaname = current_schema()
             UNION ALL SELECT 'all of ' || relname, seq_scan FROM pg_stat_user_tables
             WHERE schemaname = current_schema() AND n_live_tup > 1000",
        );
        Ok(scans.load::<Scans>(tx.postgres()?)?)
    });
    let scans = scans.await.unwrap().into_iter();
    scans.map(|row| (row.name, row.scans)).collect()
}

/// How often each operation runs.
const CALLS: i64 = 12;

#[tokio::test]
async fn every_hot_operation_is_served_by_its_index() {
    let Some((schema, store)) = open_with(StoreOptions::default().readers(1)).await else {
        return;
    };
    let tenant = "CASE (n / 100) % 10 WHEN 0 THEN '' ELSE 'tenant' END";
    let rows = ROWS.replace(
        "OF_TENANT || ':a' || n",
        "CASE (n / 100) % 10 WHEN 0 THEN 'a' || n ELSE 'tenant:a' || n END",
    );
    schema
        .connect()
        .batch_execute(&rows.replace("OF_TENANT", tenant))
        .unwrap();
    let page = || PageRequest::new(100);
    let oldest = || page().order(Order::Ascending);
    macro_rules! served {
        ($($call:expr => $index:literal;)+) => {$({
            let before = scans(&store).await;
            // Often enough that the server goes over to a plan for any values. Counting ends what it has planned.
            for _ in 0..CALLS {
                $call.await.unwrap();
            }
            let after = scans(&store).await;
            let used: BTreeMap<&str, i64> = after
                .iter()
                .map(|(name, scans)| (&**name, scans - before.get(name).unwrap_or(&0)))
                .filter(|(_, scans)| *scans > 0)
                .collect();
            let what = stringify!($call);
            let by_index: i64 = $index.split('|').filter_map(|index| used.get(index)).sum();
            assert!(by_index >= CALLS, "{what} used {used:?}");
            assert!(!used.keys().any(|name| name.starts_with("all of")), "{what} used {used:?}");
        })+};
    }
    let all_events = EventFilter::default;
    served! {
        store.agents().get("a77") => "agent_states_pkey";
        store.agents().state("a77") => "agent_states_pkey";
        store.agents().save(&agent("a77")) => "agent_states_pkey";
        store.agents().step(&Step::to(&agent("a78")).event(&event("word"))) => "agent_states_pkey";
        store.agents().set_status("a79", "busy", descartes_state::ChangeIf::Any) => "agent_states_by_agent";
        store.agents().states(&AgentFilter::default(), &page()) => "agent_states_by_agent";
        store.agents().list(&AgentFilter::default().status("s7"), &page()) => "agent_states_by_status";
        store.transitions().list(&TransitionFilter::default().agent("a7"), &page()) => "state_transitions_by_agent";
        store.transitions().list(&TransitionFilter::default(), &oldest()) => "state_transitions_by_sequence";
        store.snapshots().list(&SnapshotFilter::default().agent("a7"), &page()) => "state_snapshots_by_agent";
        store.events().append(&event("word")) => "events_namespace_id_key";
        store.events().list(&all_events().session("s7"), &page()) => "events_by_session";
        store.events().list(&all_events().event_type("t7"), &page()) => "events_by_type";
        store.events().list(&all_events().actor("a7"), &page()) => "events_by_actor";
        store.events().list(&all_events(), &oldest()) => "events_by_sequence|events_pkey";
        store.events().search("w77", &all_events(), &page()) => "events_by_words";
        store.events().search("word", &all_events(), &page()) => "events_by_sequence|events_pkey";
        store.tasks().list(&TaskFilter::default().assigned_to("a7"), &page()) => "tasks_by_assignee";
        store.tasks().save(&task("x")) => "tasks_namespace_id_key";
        store.sessions().get("s77") => "sessions_namespace_id_key";
        store.sessions().list(&SessionFilter::default().agent("a7"), &page()) => "sessions_by_agent";
    }
    let found = store.events().search("word", &all_events(), &page()).await;
    assert_eq!(found.unwrap().items.len(), 100);
}
