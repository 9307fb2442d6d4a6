//! States above their reader's limit: each is named with both numbers, and a list shows the rest.

use descartes_state::error::ErrorKind;
use descartes_state::{
    AgentFilter, AgentState, ChangeIf, Limits, PageRequest, SnapshotFilter, SqliteStateStore,
    StateStoreError, StoreOptions, TransitionDraft, TransitionFilter,
};

use descartes_state_testing::{TestResult, agent};

const MIB: usize = 1024 * 1024;

/// A store whose options allow states of so many bytes, on a file in which one agent has 65 MiB, more than the default.
async fn store_of(
    directory: &tempfile::TempDir,
    bytes: usize,
) -> Result<SqliteStateStore, StateStoreError> {
    let options = StoreOptions::default()
        .compression(true)
        .limits(Limits::default().state_bytes(bytes));
    let store = SqliteStateStore::open(directory.path().join("state.db"), options).await?;
    store.initialize().await?;
    Ok(store)
}

fn assert_both_numbers(error: &StateStoreError) {
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    let text = error.to_string();
    for number in [65 * MIB, 64 * MIB] {
        assert!(text.contains(&number.to_string()), "{text}");
    }
}

#[tokio::test]
async fn a_list_shows_the_rest_and_names_what_is_too_large() -> TestResult {
    let directory = tempfile::tempdir()?;
    let writer = store_of(&directory, 100 * MIB).await?;
    let large = AgentState {
        state_data: "x".repeat(65 * MIB),
        ..agent("b")
    };
    for state in [agent("a"), large.clone(), agent("c")] {
        writer.save_agent_state(&state).await?;
    }
    let snapshot = writer.create_snapshot("b", None).await?;
    writer.create_snapshot("a", None).await?;
    let draft = TransitionDraft::new("b", "small", &large.state_data);
    writer.transitions().record(&draft).await?;
    let draft = TransitionDraft::new("b", "small", "small");
    writer.transitions().record(&draft).await?;
    writer.close().await?;

    let store = store_of(&directory, 64 * MIB).await?;
    let refused = store.load_agent_state("b").await;
    assert_both_numbers(&refused.err().ok_or("it was read")?);
    let page = store
        .agents()
        .list(&AgentFilter::default(), &PageRequest::new(2))
        .await?;
    assert_eq!(page.items.len(), 1);
    let [omitted] = &*page.omitted else {
        return Err(format!("{:?}", page.omitted).into());
    };
    assert_eq!(
        (&*omitted.id, omitted.field, omitted.bytes, omitted.limit),
        ("b", "state_data", 65 * MIB as u64, 64 * MIB as u64)
    );
    // It takes its place in the page, and the next one begins behind it.
    let next = PageRequest::new(2).after(page.next.ok_or("no next page")?);
    let rest = store.agents().list(&AgentFilter::default(), &next).await?;
    assert_eq!(rest.items[0].state.agent_id, "c");
    assert_eq!((rest.items.len(), rest.omitted.len()), (1, 0));
    let ids: Vec<_> = store.list_agents().await?;
    let ids: Vec<_> = ids.iter().map(|agent| &*agent.agent_id).collect();
    assert_eq!(ids, ["a", "c"]);

    let page = PageRequest::new(10);
    let snapshots = store
        .snapshots()
        .list(&SnapshotFilter::default(), &page)
        .await?;
    assert_eq!(snapshots.items[0].agent_id, "a");
    assert_eq!(snapshots.omitted[0].id, snapshot);
    let transitions = store
        .transitions()
        .list(&TransitionFilter::default(), &page)
        .await?;
    assert_eq!(transitions.items.len(), 1);
    assert_eq!(transitions.omitted[0].field, "state_after");
    assert_eq!(store.get_state_history("b", 10).await?.len(), 1);

    // What is stored may go back to where it was, whatever it measures.
    store.agents().save(&agent("b")).await?;
    store.snapshots().restore(&snapshot, ChangeIf::Any).await?;
    let refused = store.load_agent_state("b").await;
    assert_both_numbers(&refused.err().ok_or("it was read")?);
    store.close().await?;
    let reader = store_of(&directory, 100 * MIB).await?;
    assert_eq!(
        reader
            .load_agent_state("b")
            .await?
            .ok_or("not restored")?
            .state_data
            .len(),
        65 * MIB
    );
    Ok(())
}
