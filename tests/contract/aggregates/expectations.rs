//! `Expected` in all its cells: every operation that takes one, on no row, a row, and a soft-deleted row.

use descartes_state::uuid::Uuid;
use descartes_state::{
    AgentFilter, Expected, PageRequest, Session, SessionFilter, SessionStatus, SnapshotOptions,
    SqliteStateStore, StateStoreError, Task, TaskFilter, TaskStatus,
};

use descartes_state_testing::{TestResult, agent, dump, task};

/// What the row of a cell is before the call.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Row {
    Missing,
    Live,
    Deleted,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Operation {
    Save,
    /// What must find a row: a status, a touch, an end, a soft delete.
    Change,
    Delete,
    Undelete,
    Purge,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    Done,
    NotFound,
    Conflict,
    Deleted,
}

/// The table in `src/expected.rs`, and what undelete and purge say of deleted rows.
fn outcome(operation: Operation, row: Row, expected: Expected, revision: i64) -> Outcome {
    use Operation::{Change, Delete, Purge, Save, Undelete};
    let matches = expected == Expected::Any || expected == Expected::Revision(revision);
    match (row, expected, operation) {
        (Row::Missing, Expected::Any | Expected::Absent, Save) => Outcome::Done,
        (Row::Missing, _, _) => Outcome::NotFound,
        (Row::Live, _, _) if matches => Outcome::Done,
        (Row::Live, _, _) => Outcome::Conflict,
        (Row::Deleted, Expected::Any | Expected::Absent, Save | Undelete | Purge) => Outcome::Done,
        (Row::Deleted, Expected::Any | Expected::Absent, _) => Outcome::NotFound,
        (Row::Deleted, _, Undelete | Purge) if matches => Outcome::Done,
        (Row::Deleted, _, Undelete | Purge) => Outcome::Conflict,
        (Row::Deleted, _, Save | Change | Delete) => Outcome::Deleted,
    }
}

#[derive(Debug, Clone, Copy)]
enum Aggregate {
    Agents,
    Tasks,
    Sessions,
}

impl Aggregate {
    async fn run(
        self,
        store: &SqliteStateStore,
        (operation, id, expected): (Operation, Uuid, Expected),
    ) -> Result<Option<i64>, StateStoreError> {
        let text = id.to_string();
        let (agents, tasks, sessions) = (store.agents(), store.tasks(), store.sessions());
        let revision = match (self, operation) {
            (Self::Agents, Operation::Save) => agents.save_if(&agent(&text), expected).await,
            (Self::Agents, Operation::Change) => agents.set_status(&text, "busy", expected).await,
            (Self::Agents, Operation::Delete) => agents.delete(&text, expected).await,
            (Self::Agents, Operation::Undelete) => agents.undelete(&text, expected).await,
            (Self::Agents, Operation::Purge) => {
                return agents.purge(&text, expected).await.map(|()| None);
            }
            (Self::Tasks, Operation::Save) => {
                tasks.save_if(&Task { id, ..task("x") }, expected).await
            }
            (Self::Tasks, Operation::Change) => {
                tasks.set_status(&id, TaskStatus::Done, expected).await
            }
            (Self::Tasks, Operation::Delete) => tasks.delete(&id, expected).await,
            (Self::Tasks, Operation::Undelete) => tasks.undelete(&id, expected).await,
            (Self::Tasks, Operation::Purge) => {
                return tasks.purge(&id, expected).await.map(|()| None);
            }
            (Self::Sessions, Operation::Save) => {
                sessions.save_if(&Session::new(&text, "a"), expected).await
            }
            (Self::Sessions, Operation::Change) => sessions.touch(&text, expected).await,
            (Self::Sessions, Operation::Delete) => sessions.delete(&text, expected).await,
            (Self::Sessions, Operation::Undelete) => sessions.undelete(&text, expected).await,
            (Self::Sessions, Operation::Purge) => {
                return sessions.purge(&text, expected).await.map(|()| None);
            }
        };
        revision.map(Some)
    }

    /// The row's revision, and whether it is soft-deleted.
    async fn look(
        self,
        store: &SqliteStateStore,
        id: Uuid,
    ) -> Result<Option<(i64, bool)>, StateStoreError> {
        let text = id.to_string();
        let page = PageRequest::new(1_000);
        let mut rows: Vec<(i64, bool)> = match self {
            Self::Agents => {
                let filter = AgentFilter::default().include_deleted();
                let rows = store.agents().list(&filter, &page).await?.items.into_iter();
                let rows = rows.filter(|row| row.state.agent_id == text);
                rows.map(|row| (row.revision, row.is_deleted)).collect()
            }
            Self::Tasks => {
                let filter = TaskFilter::default().include_deleted();
                let rows = store.tasks().list(&filter, &page).await?.items.into_iter();
                let rows = rows.filter(|row| row.task.id == id);
                rows.map(|row| (row.revision, row.is_deleted)).collect()
            }
            Self::Sessions => {
                let filter = SessionFilter::default().include_deleted();
                let rows = store
                    .sessions()
                    .list(&filter, &page)
                    .await?
                    .items
                    .into_iter();
                let rows = rows.filter(|row| row.session.id == text);
                rows.map(|row| (row.revision, row.is_deleted)).collect()
            }
        };
        assert!(rows.len() <= 1);
        Ok(rows.pop())
    }

    /// A row of the kind that the cell wants, at revision 3 or 4.
    async fn make(
        self,
        store: &SqliteStateStore,
        row: Row,
    ) -> Result<(Uuid, i64), StateStoreError> {
        let id = Uuid::now_v7();
        if row != Row::Missing {
            for _ in 0..3 {
                self.run(store, (Operation::Save, id, Expected::Any))
                    .await?;
            }
        }
        if row == Row::Deleted {
            self.run(store, (Operation::Delete, id, Expected::Any))
                .await?;
        }
        let revision = self
            .look(store, id)
            .await?
            .map_or(0, |(revision, _)| revision);
        Ok((id, revision))
    }
}

/// What the call did; that an error wrote nothing, and that it names the row and both revisions.
async fn every_cell(aggregate: Aggregate) -> TestResult {
    use Operation::{Change, Delete, Purge, Save, Undelete};
    let store = SqliteStateStore::temporary().await?;
    for operation in [Save, Change, Delete, Undelete, Purge] {
        for row in [Row::Missing, Row::Live, Row::Deleted] {
            for choice in 0..5 {
                let (id, revision) = aggregate.make(&store, row).await?;
                let expected = match choice {
                    0 => Expected::Any,
                    1 => Expected::Absent,
                    2 => Expected::Revision(revision),
                    3 => Expected::Revision(revision - 1),
                    _ => Expected::Revision(revision + 1),
                };
                let cell = format!("{aggregate:?} {operation:?} of {row:?} {expected:?}");
                let before = dump(&store, None).await?;
                let result = aggregate.run(&store, (operation, id, expected)).await;
                let after = aggregate.look(&store, id).await?;
                let wanted = outcome(operation, row, expected, revision);
                let found = match &result {
                    Ok(given) => {
                        let is_deleted = operation == Delete;
                        if operation == Purge {
                            assert_eq!(after, None, "{cell}");
                        } else if operation == Undelete && row == Row::Live {
                            assert_eq!(
                                (*given, after),
                                (Some(revision), Some((revision, false))),
                                "{cell}"
                            );
                        } else {
                            let next = after.map_or(0, |(revision, _)| revision);
                            // The one above: 0 stands for no row at all.
                            assert!(
                                row == Row::Missing || next == revision + 1,
                                "{cell}: {after:?}"
                            );
                            assert_eq!(
                                (*given, after),
                                (Some(next), Some((next, is_deleted))),
                                "{cell}"
                            );
                        }
                        Outcome::Done
                    }
                    Err(StateStoreError::NotFound { id: named, .. })
                        if *named == id.to_string() =>
                    {
                        Outcome::NotFound
                    }
                    Err(StateStoreError::Deleted { id: named, .. }) if *named == id.to_string() => {
                        Outcome::Deleted
                    }
                    Err(StateStoreError::Conflict {
                        expected: asked,
                        actual,
                        ..
                    }) if *asked == expected && *actual == revision => Outcome::Conflict,
                    Err(error) => return Err(format!("{cell}: {error}").into()),
                };
                assert_eq!(found, wanted, "{cell}: {result:?}");
                if result.is_err() {
                    assert_eq!(dump(&store, None).await?, before, "{cell}");
                }
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_expectation_of_agents_has_its_outcome() -> TestResult {
    every_cell(Aggregate::Agents).await
}

#[tokio::test]
async fn every_expectation_of_tasks_has_its_outcome() -> TestResult {
    every_cell(Aggregate::Tasks).await
}

#[tokio::test]
async fn every_expectation_of_sessions_has_its_outcome() -> TestResult {
    every_cell(Aggregate::Sessions).await
}

#[tokio::test]
async fn every_expectation_of_snapshots_has_its_outcome() -> TestResult {
    let store = SqliteStateStore::temporary().await?;
    let snapshots = store.snapshots();
    let options = SnapshotOptions::default().description("new");
    store.save_agent_state(&agent("a")).await?;
    for missing in [Expected::Any, Expected::Absent, Expected::Revision(1)] {
        let update = snapshots.update("none", &options, missing).await;
        assert!(
            matches!(update, Err(StateStoreError::NotFound { .. })),
            "{update:?}"
        );
        let delete = snapshots.delete("none", missing).await;
        assert!(
            matches!(delete, Err(StateStoreError::NotFound { .. })),
            "{delete:?}"
        );
        let restore = snapshots.restore("none", missing).await;
        assert!(
            matches!(restore, Err(StateStoreError::NotFound { .. })),
            "{restore:?}"
        );
    }
    let id = snapshots.create("a", &SnapshotOptions::default()).await?;
    assert_eq!(snapshots.update(&id, &options, Expected::Any).await?, 2);
    assert_eq!(
        snapshots
            .update(&id, &options, Expected::Revision(2))
            .await?,
        3
    );
    for wrong in [
        Expected::Absent,
        Expected::Revision(2),
        Expected::Revision(4),
    ] {
        let update = snapshots
            .update(&id, &SnapshotOptions::default(), wrong)
            .await;
        assert!(
            matches!(&update, Err(StateStoreError::Conflict { entity: "snapshot", expected, actual: 3, .. })
                if *expected == wrong),
            "{update:?}"
        );
        let delete = snapshots.delete(&id, wrong).await;
        assert!(
            matches!(delete, Err(StateStoreError::Conflict { actual: 3, .. })),
            "{delete:?}"
        );
    }
    let kept = snapshots.get(&id).await?.ok_or("the snapshot went")?;
    assert_eq!(
        (kept.description.as_deref(), kept.revision),
        (Some("new"), 3)
    );
    snapshots.delete(&id, Expected::Revision(3)).await?;
    assert_eq!(snapshots.get(&id).await?, None);
    Ok(())
}

#[tokio::test]
async fn a_restore_expects_the_revision_of_the_agent() -> TestResult {
    let store = SqliteStateStore::temporary().await?;
    let (agents, snapshots) = (store.agents(), store.snapshots());
    agents.save(&agent("a")).await?;
    let id = snapshots.create("a", &SnapshotOptions::default()).await?;
    let revision = agents.set_status("a", "busy", Expected::Any).await?;
    for wrong in [Expected::Absent, Expected::Revision(revision - 1)] {
        let result = snapshots.restore(&id, wrong).await;
        assert!(
            matches!(&result, Err(StateStoreError::Conflict { entity: "agent", actual, .. }) if *actual == revision),
            "{result:?}"
        );
    }
    assert_eq!(
        agents.get("a").await?.map(|agent| agent.state.status),
        Some("busy".into())
    );
    let revision = snapshots.restore(&id, Expected::Revision(revision)).await?;
    let deleted = agents.delete("a", Expected::Revision(revision)).await?;
    let result = snapshots.restore(&id, Expected::Revision(deleted)).await;
    assert!(
        matches!(
            result,
            Err(StateStoreError::Deleted {
                entity: "agent",
                ..
            })
        ),
        "{result:?}"
    );
    assert_eq!(snapshots.restore(&id, Expected::Absent).await?, deleted + 1);
    Ok(())
}

#[tokio::test]
async fn a_session_ends_only_as_expected() -> TestResult {
    let store = SqliteStateStore::temporary().await?;
    let sessions = store.sessions();
    let started = sessions.start(&Session::new("s", "a")).await?;
    let touched = sessions.touch("s", Expected::Revision(started)).await?;
    for wrong in [Expected::Absent, Expected::Revision(started)] {
        let result = sessions.end("s", SessionStatus::Completed, wrong).await;
        assert!(
            matches!(result, Err(StateStoreError::Conflict { .. })),
            "{result:?}"
        );
    }
    sessions
        .end("s", SessionStatus::Completed, Expected::Revision(touched))
        .await?;
    Ok(())
}
