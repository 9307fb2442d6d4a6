//! Errors: a stable name for each kind, and what is behind one stands in its text or is its source, never both, never neither.

use std::error::Error as _;
use std::io;

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::error::ErrorKind;
use descartes_state::serde_json::json;
use descartes_state::{
    AgentFilter, ChangeIf, Limits, Page, PageRequest, Revision, SaveIf, Session, SessionStatus,
    SnapshotOptions, SqliteStateStore, StateStoreError, StoreOptions,
};

use descartes_state_testing::{TestResult, agent, block_on, connect_to_tamper};

/// One error of each kind that a caller can bring about on an open store, under the name that programs go by.
async fn failures(
    store: &SqliteStateStore,
) -> Result<Vec<(&'static str, StateStoreError)>, Box<dyn std::error::Error>> {
    let any = ChangeIf::Any;
    let agents = store.agents();
    agents.save(&agent("a")).await?;
    agents.save(&agent("deleted")).await?;
    let deleted_at = agents.delete("deleted", any).await?;
    store.sessions().start(&Session::new("s", "a")).await?;
    store
        .sessions()
        .end("s", SessionStatus::Completed, any)
        .await?;
    let wrong = SaveIf::Revision(Revision::from(9));
    let inner = store.clone();
    let mut failures = vec![
        (
            "not_found",
            agents.delete("none", any).await.map(drop).unwrap_err(),
        ),
        (
            "deleted",
            agents
                .set_status("deleted", "busy", deleted_at.into())
                .await
                .unwrap_err(),
        ),
        (
            "conflict",
            agents.save_if(&agent("a"), wrong).await.unwrap_err(),
        ),
        (
            "invalid_state",
            store.sessions().touch("s", any).await.unwrap_err(),
        ),
        ("invalid_input", agents.get("").await.unwrap_err()),
        (
            "too_large",
            agents.get(&"x".repeat(1_000)).await.unwrap_err(),
        ),
        (
            "constraint",
            raw(store, "INSERT INTO events (namespace) VALUES (NULL)").await,
        ),
        ("database", raw(store, "no SQL").await),
        ("transaction_escaped", raw(store, "COMMIT").await),
        (
            "read_only",
            store
                .read(|tx| Ok(tx.sqlite()?.batch_execute("DELETE FROM events")?))
                .await
                .unwrap_err(),
        ),
        (
            "panicked",
            store
                .transact(|_| -> Result<(), _> { panic!("on purpose") })
                .await
                .unwrap_err(),
        ),
        (
            "application",
            store
                .transact(|_| -> Result<(), _> { Err(own()) })
                .await
                .unwrap_err(),
        ),
        (
            "reentrant",
            store
                .transact(move |_| block_on(inner.agents().get("a")).map(drop))
                .await
                .unwrap_err(),
        ),
    ];
    agents.save(&agent("b")).await?;
    failures.push(("too_many_rows", store.list_agents().await.unwrap_err()));
    connect_to_tamper(store.path())?
        .batch_execute("UPDATE agent_states SET metadata = '{' WHERE agent_id = 'b'")?;
    failures.push(("corrupt", agents.get("b").await.unwrap_err()));
    while store.migrations().revert().await.is_ok() {}
    failures.push(("migration", store.migrations().revert().await.unwrap_err()));
    failures.push(("not_initialized", agents.get("a").await.unwrap_err()));
    store.close().await?;
    failures.push(("closed", agents.get("a").await.unwrap_err()));
    Ok(failures)
}

fn own() -> StateStoreError {
    let cause = io::Error::other("the cause of the application's own error");
    StateStoreError::application(io::Error::new(io::ErrorKind::NotFound, cause))
}

async fn raw(store: &SqliteStateStore, sql: &'static str) -> StateStoreError {
    store
        .transact(move |tx| Ok(tx.sqlite()?.batch_execute(sql)?))
        .await
        .unwrap_err()
}

#[tokio::test]
async fn each_kind_of_error_has_its_name() -> TestResult {
    let options = StoreOptions::default().limits(Limits::default().list_rows(1));
    let store = SqliteStateStore::temporary_with(options).await?;
    for (name, error) in failures(&store).await? {
        assert_eq!(error.kind().as_str(), name, "{error:?}");
        assert_eq!(error.kind().to_string(), name);
        assert_eq!(json!(error.kind()), json!(name));
    }
    Ok(())
}

#[tokio::test]
async fn a_cause_is_in_the_text_or_the_source_and_only_an_applications_own_error_has_one()
-> TestResult {
    let options = StoreOptions::default().limits(Limits::default().list_rows(1));
    let store = SqliteStateStore::temporary_with(options).await?;
    for (name, error) in failures(&store).await? {
        let text = error.to_string();
        assert!(!text.is_empty() && !text.contains('\n'), "{name}: {text}");
        match error {
            StateStoreError::DatabaseError(ref wrapped) => {
                let cause = wrapped.get_ref().to_string();
                assert!(text.contains(&cause), "{name}: {text} hides {cause}");
                assert!(error.source().is_none() && wrapped.source().is_none());
            }
            StateStoreError::MigrationError(ref wrapped) => {
                let cause = wrapped.get_ref().to_string();
                assert!(text.contains(&cause), "{name}: {text} hides {cause}");
                assert!(error.source().is_none() && wrapped.source().is_none());
            }
            StateStoreError::Application(ref wrapped) => {
                assert_eq!(text, wrapped.to_string());
                let (source, own) = (error.source().map(ToString::to_string), wrapped.source());
                assert_eq!(source, own.map(ToString::to_string));
            }
            _ => assert!(error.source().is_none(), "{name}: {text}"),
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_kind_can_be_kept_and_compared_when_the_error_is_gone() -> TestResult {
    let store = SqliteStateStore::temporary().await?;
    let kind = store
        .snapshots()
        .create("none", &SnapshotOptions::default())
        .await
        .map_err(|error| error.kind());
    assert_eq!(kind, Err(ErrorKind::NotFound));
    let page: Result<Page<_>, _> = store
        .agents()
        .list(&AgentFilter::default(), &PageRequest::new(0))
        .await
        .map_err(|error| error.kind());
    assert_eq!(page, Err(ErrorKind::InvalidInput));
    Ok(())
}
