//! The life of a session: started, touched, ended.

use descartes_state::serde_json::json;
use descartes_state::{
    ChangeIf, ManualClock, Revision, SaveIf, Session, SessionStatus, StateStoreError,
};

use descartes_state_testing::{NOW, Place, TestResult};

/// A store on each database, and its clock.
async fn stores() -> Result<Vec<(Place, ManualClock)>, StateStoreError> {
    Ok(Place::everywhere_at(NOW).await)
}

#[tokio::test]
async fn a_session_begins_active_at_the_clocks_time() -> TestResult {
    for (store, _) in stores().await? {
        let metadata = json!({ "host": "\u{1f980}" });
        let session = Session::new("s", "agent that need not exist").metadata(metadata.clone());
        assert_eq!(store.sessions().start(&session).await?, Revision::from(1));
        let record = store.sessions().get("s").await?.ok_or("not started")?;
        assert_eq!(record.started_at, NOW);
        assert_eq!(record.ended_at, None);
        assert_eq!(record.status, SessionStatus::Active);
        assert_eq!(record.metadata, Some(metadata));
        assert_eq!(
            (record.created_at, record.updated_at, record.recorded_at),
            (NOW, NOW, NOW * 1_000_000)
        );
        let earlier = Session::new("earlier", "a").started_at(-5);
        store.sessions().start(&earlier).await?;
        let record = store
            .sessions()
            .get("earlier")
            .await?
            .ok_or("not started")?;
        assert_eq!((record.started_at, record.created_at), (-5, NOW));
    }
    Ok(())
}

#[tokio::test]
async fn a_session_saved_again_without_a_start_keeps_the_stored_one() -> TestResult {
    for (store, clock) in stores().await? {
        let sessions = store.sessions();
        for (id, given, expected) in [("given", Some(5), 5), ("taken from the clock", None, NOW)] {
            let mut session = Session::new(id, "a");
            session.started_at = given;
            sessions.start(&session).await?;
            clock.advance_seconds(60);
            session.started_at = None;
            session.status = SessionStatus::Suspended;
            sessions.save_if(&session, SaveIf::Any).await?;
            let record = sessions.get(id).await?.ok_or("gone")?;
            assert_eq!(record.started_at, expected, "{id}");
            assert_eq!(record.status, SessionStatus::Suspended);
            // A start that the save names is written.
            session.started_at = Some(-9);
            sessions.save_if(&session, SaveIf::Any).await?;
            let record = sessions.get(id).await?.ok_or("gone")?;
            assert_eq!(record.started_at, -9, "{id}");
            clock.advance_seconds(-60);
        }
        // One that was deleted begins again.
        sessions.delete("given", ChangeIf::Any).await?;
        clock.advance_seconds(7);
        sessions.start(&Session::new("given", "a")).await?;
        let record = sessions.get("given").await?.ok_or("gone")?;
        assert_eq!(record.started_at, NOW + 7);
    }
    Ok(())
}

#[tokio::test]
async fn a_touch_moves_only_updated_at() -> TestResult {
    for (store, clock) in stores().await? {
        store.sessions().start(&Session::new("s", "a")).await?;
        let before = store.sessions().get("s").await?.ok_or("not started")?;
        clock.advance_seconds(60);
        assert_eq!(
            store.sessions().touch("s", ChangeIf::Any).await?,
            Revision::from(2)
        );
        let after = store.sessions().get("s").await?.ok_or("not started")?;
        assert_eq!(
            (after.started_at, after.status, after.metadata),
            (before.started_at, before.status, before.metadata)
        );
        assert_eq!((after.created_at, after.updated_at), (NOW, NOW + 60));
    }
    Ok(())
}

#[tokio::test]
async fn a_session_ends_once_with_a_final_status() -> TestResult {
    use SessionStatus::{Abandoned, Active, Completed, Failed, Suspended, Terminated};
    for (store, clock) in stores().await? {
        let sessions = store.sessions();
        for status in [Completed, Failed, Terminated, Abandoned] {
            let id = status.as_str();
            sessions.start(&Session::new(id, "a")).await?;
            for open in [Active, Suspended] {
                let result = sessions.end(id, open, ChangeIf::Any).await;
                assert!(
                    matches!(
                        result,
                        Err(StateStoreError::InvalidInput {
                            field: "session status",
                            ..
                        })
                    ),
                    "{result:?}"
                );
            }
            clock.advance_seconds(5);
            sessions.end(id, status, ChangeIf::Any).await?;
            let ended = sessions.get(id).await?.ok_or("gone")?;
            assert_eq!(ended.status, status);
            assert_eq!(ended.ended_at, Some(ended.updated_at));
            assert!(ended.ended_at > Some(ended.started_at));
            for result in [
                sessions.touch(id, ChangeIf::Any).await,
                sessions.end(id, Failed, ChangeIf::Any).await,
            ] {
                assert!(
                    matches!(&result, Err(StateStoreError::InvalidState { entity: "session", id: named, state, .. })
                    if named == id && *state == id),
                    "{result:?}"
                );
            }
            assert_eq!(sessions.get(id).await?, Some(ended));
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_session_is_started_once_and_again_when_deleted() -> TestResult {
    for (store, _) in stores().await? {
        let sessions = store.sessions();
        sessions.start(&Session::new("s", "a")).await?;
        let again = sessions.start(&Session::new("s", "b")).await;
        assert!(
            matches!(
                again,
                Err(StateStoreError::Conflict {
                    entity: "session",
                    ..
                })
            ),
            "{again:?}"
        );
        sessions.delete("s", ChangeIf::Any).await?;
        assert_eq!(sessions.get("s").await?, None);
        assert_eq!(
            sessions.start(&Session::new("s", "b")).await?,
            Revision::from(3)
        );
        let agent = sessions.get("s").await?.map(|record| record.agent_id);
        assert_eq!(agent.as_deref(), Some("b"));
    }
    Ok(())
}

#[tokio::test]
async fn a_suspended_session_may_be_taken_up_again() -> TestResult {
    for (store, _) in stores().await? {
        let sessions = store.sessions();
        let mut session = Session::new("s", "a").started_at(1);
        sessions.start(&session).await?;
        session.status = SessionStatus::Suspended;
        sessions
            .save_if(&session, SaveIf::Revision(Revision::from(1)))
            .await?;
        sessions
            .touch("s", ChangeIf::Revision(Revision::from(2)))
            .await?;
        session.status = SessionStatus::Active;
        sessions
            .save_if(&session, SaveIf::Revision(Revision::from(3)))
            .await?;
        assert_eq!(sessions.get("s").await?.map(Session::from), Some(session));
    }
    Ok(())
}

#[tokio::test]
async fn a_session_has_an_end_only_when_it_is_over() -> TestResult {
    for (store, _) in stores().await? {
        let mut open = Session::new("s", "a");
        open.ended_at = Some(5);
        let mut over = Session::new("s", "a");
        over.status = SessionStatus::Completed;
        for session in [open, over] {
            let result = store.sessions().start(&session).await;
            assert!(
                matches!(
                    result,
                    Err(StateStoreError::InvalidInput {
                        field: "session",
                        ..
                    })
                ),
                "{result:?}"
            );
        }
        assert_eq!(store.sessions().get("s").await?, None);
    }
    Ok(())
}

#[tokio::test]
async fn undeleting_brings_the_session_back_as_it_was() -> TestResult {
    for (store, _) in stores().await? {
        let sessions = store.sessions();
        sessions
            .start(&Session::new("s", "a").metadata(json!([1])))
            .await?;
        let before = sessions.get("s").await?.ok_or("not started")?;
        sessions.delete("s", ChangeIf::Any).await?;
        sessions.undelete("s", ChangeIf::Any).await?;
        let after = sessions.get("s").await?.ok_or("not undeleted")?;
        assert_eq!(after.seq, before.seq);
        assert_eq!(Session::from(after), Session::from(before));
    }
    Ok(())
}
