//! Transitions with an id of the caller's: recorded again, they add nothing.

use descartes_state::error::ErrorKind;
use descartes_state::{SqliteStateStore, TransitionDraft, TransitionFilter, new_id};

use descartes_state_testing::TestResult;

#[tokio::test]
async fn a_transition_that_is_recorded_again_is_there_once() -> TestResult {
    for compression in [false, true] {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("state.db");
        let store = SqliteStateStore::new(path, compression).await?;
        store.initialize().await?;
        let id = new_id();
        let draft = TransitionDraft::new("a", "x".repeat(3000), "y".repeat(3000))
            .id(id)
            .reason("why")
            .metadata(serde_json::json!({ "b": 1, "a": [1.5] }));
        let seq = store.transitions().record(&draft).await?;
        assert_eq!(store.transitions().record(&draft).await?, seq);
        // Also with its time, where that was left to the store at first; another time is another transition.
        let record = store.transitions().get(&id).await?.ok_or("none")?;
        let at = record.transition.timestamp;
        assert_eq!(
            store
                .transitions()
                .record(&draft.clone().timestamp(at))
                .await?,
            seq
        );
        for other in [
            draft.clone().timestamp(at + 1),
            draft.clone().reason("other"),
            draft.clone().metadata(serde_json::json!({ "b": 1 })),
            TransitionDraft::new("a", "x", "y").id(id).reason("why"),
        ] {
            let refused = store.transitions().record(&other).await;
            let kind = refused.err().map(|error| error.kind());
            assert_eq!(kind, Some(ErrorKind::Conflict));
        }
        // The same id under another prefix is another transition.
        let other = store.with_prefix("other");
        assert_ne!(other.transitions().record(&draft).await?, seq);
        let all = TransitionFilter::default();
        assert_eq!(store.transitions().count(&all).await?, 1);
        // Without an id, each is a new one; and the time is the caller's where they give it.
        let draft = TransitionDraft::new("b", "x", "y").timestamp(7);
        let first = store.transitions().record(&draft).await?;
        assert_ne!(store.transitions().record(&draft).await?, first);
        assert_eq!(store.get_state_history("b", 9).await?[0].timestamp, 7);
    }
    Ok(())
}
