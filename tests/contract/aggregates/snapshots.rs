//! Snapshots on their handle: expiry, update, what they keep.

use descartes_state::serde_json::json;
use descartes_state::{
    AgentState, ChangeIf, ManualClock, PageRequest, Revision, SnapshotFilter, SnapshotOptions,
    StateStoreError, StoreOptions,
};

use descartes_state_testing::{NOW, Place, TestResult, agent, on_connection};

/// A store on each database with an agent, and its clock.
async fn stores() -> Result<Vec<(Place, ManualClock)>, StateStoreError> {
    let stores = Place::everywhere_at(NOW).await;
    for (store, _) in &stores {
        store.save_agent_state(&agent("a")).await?;
    }
    Ok(stores)
}

#[tokio::test]
async fn a_snapshot_keeps_the_whole_state_and_its_description() -> TestResult {
    for (store, _) in stores().await? {
        let state = AgentState {
            metadata: json!({ "x": [1.5, null] }),
            version: 42,
            state_data: "s".repeat(3_000),
            ..agent("a")
        };
        store.save_agent_state(&state).await?;
        let options = SnapshotOptions::default()
            .description("why")
            .expires_at(NOW + 9);
        let id = store.snapshots().create("a", &options).await?;
        let kept = store.snapshots().get(&id).await?.ok_or("not made")?;
        assert_eq!(kept.id, id);
        assert_eq!(
            (kept.agent_id, kept.name, kept.status),
            ("a".into(), state.name, state.status)
        );
        assert_eq!(
            (kept.metadata, kept.state_data),
            (state.metadata, state.state_data)
        );
        assert_eq!((kept.version, kept.description), (42, Some("why".into())));
        assert_eq!((kept.created_at, kept.expires_at), (NOW, Some(NOW + 9)));
        assert_eq!(
            (kept.revision.get(), kept.recorded_at),
            (1, NOW * 1_000_000)
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_expired_snapshot_no_longer_counts() -> TestResult {
    for (store, clock) in stores().await? {
        let snapshots = store.snapshots();
        let soon = SnapshotOptions::default()
            .description("soon")
            .expires_at(NOW + 10);
        let id = snapshots.create("a", &soon).await?;
        let stays = snapshots.create("a", &SnapshotOptions::default()).await?;
        let (unexpired, all) = (
            SnapshotFilter::default(),
            SnapshotFilter::default().include_expired(),
        );
        let page = PageRequest::default();

        clock.advance_seconds(9);
        assert_eq!(store.list_snapshots("a").await?.len(), 2);
        snapshots.restore(&id, ChangeIf::Any).await?;

        clock.advance_seconds(1);
        assert_eq!(
            store.list_snapshots("a").await?,
            [(stays.clone(), None, NOW)]
        );
        assert_eq!(snapshots.get(&id).await?, None);
        assert_eq!(snapshots.count(&unexpired).await?, 1);
        assert_eq!(snapshots.list(&unexpired, &page).await?.items.len(), 1);
        for result in [
            store.restore_snapshot(&id).await,
            snapshots.update(&id, &soon, ChangeIf::Any).await.map(drop),
        ] {
            assert!(
                matches!(
                    result,
                    Err(StateStoreError::InvalidState {
                        entity: "snapshot",
                        state: "expired",
                        ..
                    })
                ),
                "{result:?}"
            );
        }
        // Who asks for expired ones finds it, until it is purged.
        assert_eq!(snapshots.count(&all).await?, 2);
        assert_eq!(snapshots.list(&all, &page).await?.items.len(), 2);
        assert_eq!(snapshots.purge_expired().await?, 1);
        assert_eq!(snapshots.purge_expired().await?, 0);
        assert_eq!(snapshots.count(&all).await?, 1);
        assert_eq!(
            snapshots.get(&stays).await?.map(|kept| kept.id),
            Some(stays)
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_expired_snapshot_can_be_purged_by_its_id() -> TestResult {
    for (store, clock) in stores().await? {
        let snapshots = store.snapshots();
        let id = snapshots
            .create("a", &SnapshotOptions::default().expires_at(NOW + 1))
            .await?;
        clock.advance_seconds(2);
        let wrong = ChangeIf::Revision(Revision::from(9));
        let conflict = snapshots.purge(&id, wrong).await;
        assert!(
            matches!(conflict, Err(StateStoreError::Conflict { .. })),
            "{conflict:?}"
        );
        snapshots.purge(&id, Revision::from(1).into()).await?;
        let all = SnapshotFilter::default().include_expired();
        assert_eq!(snapshots.count(&all).await?, 0);
    }
    Ok(())
}

#[tokio::test]
async fn a_restore_brings_back_the_stored_form_and_begins_no_agent() -> TestResult {
    let options = StoreOptions::default().compression(true);
    for store in Place::everywhere(options).await {
        let old = AgentState {
            state_data: "compress me ".repeat(1_000),
            metadata: json!({ "of": "the snapshot" }),
            version: 7,
            ..agent("a")
        };
        store.save_agent_state(&old).await?;
        let id = store.create_snapshot("a", None).await?;
        let new = AgentState {
            state_data: "short".to_owned(),
            metadata: json!(null),
            name: "renamed".to_owned(),
            status: "busy".to_owned(),
            version: 8,
            ..agent("a")
        };
        store.save_agent_state(&new).await?;
        let revision = store.snapshots().restore(&id, ChangeIf::Any).await?;
        assert_eq!(revision, Revision::from(3));
        let record = store.agents().get("a").await?.ok_or("gone")?;
        let restored = AgentState {
            updated_at: record.state.updated_at,
            ..old
        };
        assert_eq!(record.state, restored);
        // Copied inside the database: as many bytes as the snapshot has, not what they decode to.
        let (agent_bytes, snapshot_bytes): (i64, i64) = store
            .read(|tx| {
                use descartes_state::diesel::dsl::sql;
                use descartes_state::diesel::prelude::*;
                use descartes_state::diesel::sql_types::BigInt;
                use descartes_state::schema::{agent_states, state_snapshots};
                let size = || sql::<BigInt>("CAST(length(state_data) AS BIGINT)");
                let agent = agent_states::table.select(size());
                let snapshot = state_snapshots::table.select(size());
                Ok(on_connection!(tx, |connection| (
                    agent.get_result(&mut *connection)?,
                    snapshot.get_result(&mut *connection)?,
                )))
            })
            .await?;
        assert_eq!(agent_bytes, snapshot_bytes);
        assert!(agent_bytes < 1_000, "{agent_bytes} bytes");

        store.agents().purge("a", ChangeIf::Any).await?;
        let gone = store.restore_snapshot(&id).await;
        assert!(
            matches!(&gone, Err(StateStoreError::NotFound { .. })),
            "{gone:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_update_sets_description_and_expiry_and_nothing_else() -> TestResult {
    for (store, clock) in stores().await? {
        let snapshots = store.snapshots();
        let first = SnapshotOptions::default()
            .description("first")
            .expires_at(NOW + 10);
        let id = snapshots.create("a", &first).await?;
        let before = snapshots.get(&id).await?.ok_or("not made")?;
        clock.advance_seconds(1);
        assert_eq!(
            snapshots
                .update(&id, &SnapshotOptions::default(), ChangeIf::Any)
                .await?,
            Revision::from(2)
        );
        let mut after = snapshots.get(&id).await?.ok_or("gone")?;
        assert_eq!(
            (after.description.take(), after.expires_at.take()),
            (None, None)
        );
        assert_eq!(
            (after.revision.get(), after.recorded_at),
            (2, (NOW + 1) * 1_000_000)
        );
        after.description = before.description.clone();
        after.expires_at = before.expires_at;
        (after.revision, after.recorded_at) = (before.revision, before.recorded_at);
        assert_eq!(after, before);
        clock.advance_seconds(1_000);
        assert!(snapshots.get(&id).await?.is_some(), "it no longer expires");
    }
    Ok(())
}

#[tokio::test]
async fn a_new_snapshot_begins_above_every_deleted_one() -> TestResult {
    for (store, clock) in stores().await? {
        let snapshots = store.snapshots();
        let make = |expires_at| SnapshotOptions::default().expires_at(expires_at);
        let id = snapshots.create("a", &make(NOW + 5)).await?;
        for _ in 0..3 {
            snapshots.update(&id, &make(NOW + 5), ChangeIf::Any).await?;
        }
        snapshots.purge(&id, ChangeIf::Any).await?;
        let next = snapshots.create("a", &make(NOW + 5)).await?;
        assert_eq!(
            snapshots.get(&next).await?.map(|kept| kept.revision.get()),
            Some(5)
        );
        clock.advance_seconds(5);
        snapshots.purge_expired().await?;
        let last = snapshots.create("a", &make(NOW + 50)).await?;
        assert_eq!(
            snapshots.get(&last).await?.map(|kept| kept.revision.get()),
            Some(6)
        );
    }
    Ok(())
}
