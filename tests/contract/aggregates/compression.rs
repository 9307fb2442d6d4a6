//! Compression: what is stored how, and that every row is read back alike.

use descartes_state::diesel::prelude::*;
use descartes_state::schema::{state_snapshots, state_transitions};
use descartes_state::{AgentState, Codec, SqliteStateStore, StoreOptions, TransitionDraft};

use descartes_state_testing::{TestResult, agent};

fn state(id: &str, bytes: usize) -> AgentState {
    AgentState {
        state_data: "abcdefgh".repeat(bytes / 8) + &"x".repeat(bytes % 8),
        ..agent(id)
    }
}

#[tokio::test]
async fn only_bodies_above_the_threshold_are_compressed() -> TestResult {
    let directory = tempfile::tempdir()?;
    let store = SqliteStateStore::new(directory.path().join("state.db"), true).await?;
    store.initialize().await?;
    // The guide's flag: 1 KiB is the threshold.
    for (bytes, codec) in [(0, Codec::Text), (1_024, Codec::Text), (1_025, Codec::Zstd)] {
        let state = state("a", bytes);
        store.save_agent_state(&state).await?;
        let record = store.agents().get("a").await?.ok_or("not saved")?;
        assert_eq!(
            (record.codec, record.state.state_data),
            (codec, state.state_data),
            "{bytes}"
        );
    }
    store.create_snapshot("a", None).await?;
    let large = "large".repeat(1_000);
    store
        .transitions()
        .record(&TransitionDraft::new("a", "small", &large))
        .await?;
    let codecs: ((i64, i64), i64) = store
        .read(|transaction| {
            let connection = transaction.sqlite()?;
            use state_transitions::{state_after_codec, state_before_codec};
            let both = (state_before_codec, state_after_codec);
            let transition = state_transitions::table
                .select(both)
                .get_result(connection)?;
            let codec = state_snapshots::state_data_codec;
            Ok((
                transition,
                state_snapshots::table
                    .select(codec)
                    .get_result(connection)?,
            ))
        })
        .await?;
    assert_eq!(codecs, ((0, 1), 1));
    let read = store.get_state_history("a", 1).await?.remove(0);
    assert_eq!(
        (read.state_before, read.state_after),
        ("small".to_owned(), large)
    );
    Ok(())
}

#[tokio::test]
async fn rows_of_both_kinds_are_read_whatever_the_flag_says() -> TestResult {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("state.db");
    let mut snapshots = Vec::new();
    for (round, compression) in [true, false, true].into_iter().enumerate() {
        let store =
            SqliteStateStore::open(&path, StoreOptions::default().compression(compression)).await?;
        store.initialize().await?;
        let id = format!("agent {round}");
        store.save_agent_state(&state(&id, 5_000 + round)).await?;
        store
            .record_state_transition("a", &"b".repeat(2_000), &"c".repeat(2_000), None)
            .await?;
        snapshots.push((store.create_snapshot(&id, None).await?, round));
        for (snapshot, round) in &snapshots {
            store.restore_snapshot(snapshot).await?;
            let id = format!("agent {round}");
            let read = store
                .load_agent_state(&id)
                .await?
                .map(|read| read.state_data);
            assert_eq!(read, Some(state(&id, 5_000 + round).state_data));
        }
        let history = store.get_state_history("a", 9).await?;
        assert_eq!(history.len(), round + 1);
        assert!(
            history
                .iter()
                .all(|row| row.state_before == "b".repeat(2_000))
        );
        // Saved again, as the flag says now.
        let codec = store.agents().get(&id).await?.map(|record| record.codec);
        assert_eq!(
            codec,
            Some(if compression {
                Codec::Zstd
            } else {
                Codec::Text
            })
        );
        store.close().await?;
    }
    Ok(())
}
