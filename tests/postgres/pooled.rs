//! PgBouncer before the server: what works in its session mode, and that another mode is refused.

use std::io::Write;
use std::process::Command;

use descartes_state::diesel;
use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::diesel::dsl::sql;
use descartes_state::diesel::prelude::*;
use descartes_state::diesel::sql_types::Text;
use descartes_state::error::DatabaseFailure;
use descartes_state::{
    AnyStateStore, CopyOptions, EventFilter, PostgresStateStore, StateStoreError, Step,
    StoreOptions, copy_store,
};
use descartes_state_testing::{PostgresSchema, agent, event, numbered_event, repository, soon};
use tempfile::TempDir;

use crate::shared::{CALLERS, at_once};

/// A PgBouncer of its own before the tests' server.
struct Pooler {
    directory: TempDir,
    server: String,
    settings: &'static [&'static str],
}

impl Pooler {
    /// Starts one; `None` where there is no server, or no PgBouncer, which is said in the tests' output.
    fn start(settings: &'static [&'static str]) -> Option<(Self, PostgresSchema)> {
        let server = PostgresSchema::new()?.url();
        let mut parts = server.split(['?', '&']);
        let pooler = Self {
            directory: tempfile::tempdir().unwrap(),
            server: parts
                .find_map(|part| part.strip_prefix("host="))?
                .to_owned(),
            settings,
        };
        let Some(url) = pooler.start_again() else {
            // Not by a macro, whose output is captured.
            let _unheard = writeln!(
                std::io::stderr(),
                "SKIPPED: a test on PgBouncer, which isn't installed"
            );
            return None;
        };
        Some((pooler, PostgresSchema::on(url)))
    }

    /// Kills it, where it runs, and starts it; returns the server's URL through it.
    fn start_again(&self) -> Option<String> {
        let mut script = self.script("pool");
        let started = script.arg(&self.server).args(self.settings).output();
        let started = started.unwrap();
        if started.status.code() == Some(3) {
            return None;
        }
        assert!(started.status.success(), "{started:?}");
        let url = String::from_utf8(started.stdout).unwrap();
        Some(url.trim_end().to_owned())
    }

    fn script(&self, action: &str) -> Command {
        let mut script = Command::new(repository().join(".ci/postgres"));
        script.arg(action).arg(self.directory.path());
        script
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _killed = self.script("unpool").status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everything_works_through_a_pooler_in_session_mode_also_after_it_was_killed() {
    let Some((pooler, schema)) = Pooler::start(&["pool_mode=session"]) else {
        return;
    };
    let store = schema.open(StoreOptions::default()).await;
    for round in 0..2 {
        let first = numbered_event(round, "first words");
        store.save_agent_state(&agent("a")).await.unwrap();
        store.events().append(&first).await.unwrap();
        let (state, second) = (agent("a"), event("second words"));
        let step = Step::to(&state).event(&second);
        store.agents().step(&step).await.unwrap();
        let mut batch = store.batch();
        batch.agents().save(&agent("b")).unwrap();
        batch.events().append(&event("third words")).unwrap();
        batch.commit().await.unwrap();
        let rows = store.transact(|tx| {
            use descartes_state::schema::postgres::agent_states;
            tx.events().append(&event("fourth words"))?;
            let rows: i64 = agent_states::table.count().get_result(tx.postgres()?)?;
            Ok(rows)
        });
        assert_eq!(
            rows.await.unwrap(),
            2 + i64::from(round > 0) * CALLERS as i64
        );
        let counted = store.read(|tx| tx.events().count(&EventFilter::default()));
        let found = store.search_events("words").await.unwrap();
        assert_eq!(counted.await.unwrap(), found.len() as i64);
        assert_eq!(found.len(), 4 * (round as usize + 1));
        let saved = at_once(&store, |store, caller| async move {
            let state = agent(&format!("caller-{caller}"));
            store.save_agent_state(&state).await?;
            store.load_agent_state(&state.agent_id).await
        });
        for loaded in saved.await {
            assert!(loaded.unwrap().is_some());
        }
        pooler.start_again().unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("copy.db");
    let file = AnyStateStore::open(file.to_str().unwrap(), StoreOptions::default()).await;
    let file = file.unwrap();
    file.initialize().await.unwrap();
    let server = AnyStateStore::open(&schema.url(), StoreOptions::default()).await;
    copy_store(&server.unwrap(), &file, CopyOptions::default())
        .await
        .unwrap();
    assert_eq!(file.list_agents().await.unwrap().len(), 2 + CALLERS);
}

/// Opens a store where that must be refused for good.
async fn refusal(url: &str) -> StateStoreError {
    let opened = PostgresStateStore::connect(url, StoreOptions::default());
    let error = soon(opened).await.unwrap_err();
    assert!(!error.is_retryable(), "{error}");
    error
}

#[tokio::test]
async fn a_pooler_that_keeps_no_session_is_refused_at_once_with_what_to_set() {
    const MODES: [&[&str]; 3] = [
        &["pool_mode=transaction"],
        &["pool_mode=transaction", "server_round_robin=1"],
        &["pool_mode=statement"],
    ];
    for settings in MODES {
        let Some((_pooler, schema)) = Pooler::start(settings) else {
            return;
        };
        // At first it has one session to give, then two.
        for sessions in 1..=2 {
            let error = refusal(&schema.url()).await;
            assert!(
                matches!(&error, StateStoreError::Unsupported { reason } if reason.contains("pool_mode=session")),
                "{settings:?}, {sessions}: {error}"
            );
            // Nothing was told to a session that is somebody else's.
            let timeout = diesel::select(sql::<Text>("current_setting('statement_timeout')"));
            let timeout: String = timeout.get_result(&mut schema.connect()).unwrap();
            assert_eq!(timeout, "0", "{settings:?}, {sessions}");
            let mut connections: Vec<_> = (0..2).map(|_| schema.connect()).collect();
            let waits: Vec<_> = connections
                .drain(..)
                .map(|mut connection| {
                    std::thread::spawn(move || connection.batch_execute("SELECT pg_sleep(0.1)"))
                })
                .collect();
            for wait in waits {
                wait.join().unwrap().unwrap();
            }
        }
    }
}

#[tokio::test]
async fn what_the_pooler_does_not_take_in_the_url_is_refused_and_named() {
    let Some((_pooler, schema)) = Pooler::start(&["pool_mode=session"]) else {
        return;
    };
    let error = refusal(&format!("{}&options=-cgeqo%3Doff", schema.url())).await;
    let StateStoreError::DatabaseError(failure) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(failure.kind(), DatabaseFailure::CannotOpen, "{error}");
    let expected = "unsupported startup parameter: options";
    assert!(error.to_string().contains(expected), "{error}");
}
