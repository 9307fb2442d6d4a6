//! `SaveIf` and `ChangeIf` in all their cells: every operation that takes one, on no row, a row, and a soft-deleted row.

use descartes_state::uuid::Uuid;
use descartes_state::{
    AgentFilter, AnyStateStore, ChangeIf, PageRequest, Revision, SaveIf, Session, SessionFilter,
    SessionStatus, SnapshotOptions, StateStoreError, StoreOptions, Task, TaskFilter, TaskStatus,
};
use descartes_state_testing::{Place, TestResult, agent, dump, task};

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

/// What a call expects of the row, whichever of the two types it takes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Condition {
    Any,
    Absent,
    Revision(i64),
}

impl Condition {
    fn save(self) -> SaveIf {
        match self {
            Self::Any => SaveIf::Any,
            Self::Absent => SaveIf::Absent,
            Self::Revision(revision) => SaveIf::Revision(revision.into()),
        }
    }

    /// There is no change of what must be absent.
    fn change(self) -> ChangeIf {
        match self {
            Self::Any | Self::Absent => ChangeIf::Any,
            Self::Revision(revision) => ChangeIf::Revision(revision.into()),
        }
    }
}

/// The tables in `src/condition.rs`, and what undelete and purge say of deleted rows.
fn outcome(operation: Operation, row: Row, condition: Condition, revision: i64) -> Outcome {
    use Operation::{Change, Delete, Purge, Save, Undelete};
    let matches = condition == Condition::Any || condition == Condition::Revision(revision);
    match (row, condition, operation) {
        (Row::Missing, Condition::Any | Condition::Absent, Save) => Outcome::Done,
        (Row::Missing, _, _) => Outcome::NotFound,
        (Row::Live, _, _) if matches => Outcome::Done,
        (Row::Live, _, _) => Outcome::Conflict,
        (Row::Deleted, Condition::Any | Condition::Absent, Save) => Outcome::Done,
        (Row::Deleted, Condition::Any, Undelete | Purge) => Outcome::Done,
        (Row::Deleted, Condition::Any, _) => Outcome::NotFound,
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
        store: &AnyStateStore,
        (operation, id, condition): (Operation, Uuid, Condition),
    ) -> Result<Option<i64>, StateStoreError> {
        let text = id.to_string();
        let (agents, tasks, sessions) = (store.agents(), store.tasks(), store.sessions());
        let revision = match (self, operation) {
            (Self::Agents, Operation::Save) => {
                agents.save_if(&agent(&text), condition.save()).await
            }
            (Self::Agents, Operation::Change) => {
                agents.set_status(&text, "busy", condition.change()).await
            }
            (Self::Agents, Operation::Delete) => agents.delete(&text, condition.change()).await,
            (Self::Agents, Operation::Undelete) => agents.undelete(&text, condition.change()).await,
            (Self::Agents, Operation::Purge) => {
                return agents.purge(&text, condition.change()).await.map(|()| None);
            }
            (Self::Tasks, Operation::Save) => {
                tasks
                    .save_if(&Task { id, ..task("x") }, condition.save())
                    .await
            }
            (Self::Tasks, Operation::Change) => {
                tasks
                    .set_status(&id, TaskStatus::Done, condition.change())
                    .await
            }
            (Self::Tasks, Operation::Delete) => tasks.delete(&id, condition.change()).await,
            (Self::Tasks, Operation::Undelete) => tasks.undelete(&id, condition.change()).await,
            (Self::Tasks, Operation::Purge) => {
                return tasks.purge(&id, condition.change()).await.map(|()| None);
            }
            (Self::Sessions, Operation::Save) => {
                sessions
                    .save_if(&Session::new(&text, "a"), condition.save())
                    .await
            }
            (Self::Sessions, Operation::Change) => sessions.touch(&text, condition.change()).await,
            (Self::Sessions, Operation::Delete) => sessions.delete(&text, condition.change()).await,
            (Self::Sessions, Operation::Undelete) => {
                sessions.undelete(&text, condition.change()).await
            }
            (Self::Sessions, Operation::Purge) => {
                return sessions
                    .purge(&text, condition.change())
                    .await
                    .map(|()| None);
            }
        };
        revision.map(|revision| Some(revision.get()))
    }

    /// The row's revision, and whether it is soft-deleted.
    async fn look(
        self,
        store: &AnyStateStore,
        id: Uuid,
    ) -> Result<Option<(i64, bool)>, StateStoreError> {
        let text = id.to_string();
        let page = PageRequest::new(1_000);
        let mut rows: Vec<(i64, bool)> = match self {
            Self::Agents => {
                let filter = AgentFilter::default().include_deleted();
                let rows = store.agents().list(&filter, &page).await?.items.into_iter();
                let rows = rows.filter(|row| row.state.agent_id == text);
                rows.map(|row| (row.revision.get(), row.is_deleted))
                    .collect()
            }
            Self::Tasks => {
                let filter = TaskFilter::default().include_deleted();
                let rows = store.tasks().list(&filter, &page).await?.items.into_iter();
                let rows = rows.filter(|row| row.task.id == id);
                rows.map(|row| (row.revision.get(), row.is_deleted))
                    .collect()
            }
            Self::Sessions => {
                let filter = SessionFilter::default().include_deleted();
                let rows = store
                    .sessions()
                    .list(&filter, &page)
                    .await?
                    .items
                    .into_iter();
                let rows = rows.filter(|row| row.id == text);
                rows.map(|row| (row.revision.get(), row.is_deleted))
                    .collect()
            }
        };
        assert!(rows.len() <= 1);
        Ok(rows.pop())
    }

    /// A row of the kind that the cell wants, at revision 3 or 4.
    async fn make(self, store: &AnyStateStore, row: Row) -> Result<(Uuid, i64), StateStoreError> {
        let id = Uuid::now_v7();
        if row != Row::Missing {
            for _ in 0..3 {
                self.run(store, (Operation::Save, id, Condition::Any))
                    .await?;
            }
        }
        if row == Row::Deleted {
            self.run(store, (Operation::Delete, id, Condition::Any))
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
    for store in Place::everywhere(StoreOptions::default()).await {
        for operation in [Save, Change, Delete, Undelete, Purge] {
            for row in [Row::Missing, Row::Live, Row::Deleted] {
                for choice in 0..5 {
                    let (id, revision) = aggregate.make(&store, row).await?;
                    let condition = match choice {
                        0 => Condition::Any,
                        1 if operation == Save => Condition::Absent,
                        1 => continue,
                        2 => Condition::Revision(revision),
                        3 => Condition::Revision(revision - 1),
                        _ => Condition::Revision(revision + 1),
                    };
                    let cell = format!("{aggregate:?} {operation:?} of {row:?} {condition:?}");
                    let before = dump(&store, None).await?;
                    let result = aggregate.run(&store, (operation, id, condition)).await;
                    let after = aggregate.look(&store, id).await?;
                    let wanted = outcome(operation, row, condition, revision);
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
                        Err(StateStoreError::Deleted { id: named, .. })
                            if *named == id.to_string() =>
                        {
                            Outcome::Deleted
                        }
                        Err(StateStoreError::Conflict {
                            expected: asked,
                            actual,
                            ..
                        }) if *asked == condition.save() && actual.get() == revision => {
                            Outcome::Conflict
                        }
                        Err(error) => return Err(format!("{cell}: {error}").into()),
                    };
                    assert_eq!(found, wanted, "{cell}: {result:?}");
                    if result.is_err() {
                        assert_eq!(dump(&store, None).await?, before, "{cell}");
                    }
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
    for store in Place::everywhere(StoreOptions::default()).await {
        let snapshots = store.snapshots();
        let at = |revision: i64| ChangeIf::Revision(revision.into());
        let options = SnapshotOptions::default().description("new");
        store.save_agent_state(&agent("a")).await?;
        for missing in [ChangeIf::Any, at(1)] {
            let update = snapshots.update("none", &options, missing).await;
            assert!(
                matches!(update, Err(StateStoreError::NotFound { .. })),
                "{update:?}"
            );
            let purge = snapshots.purge("none", missing).await;
            assert!(
                matches!(purge, Err(StateStoreError::NotFound { .. })),
                "{purge:?}"
            );
            let restore = snapshots.restore("none", missing).await;
            assert!(
                matches!(restore, Err(StateStoreError::NotFound { .. })),
                "{restore:?}"
            );
        }
        let id = snapshots.create("a", &SnapshotOptions::default()).await?;
        let second = snapshots.update(&id, &options, ChangeIf::Any).await?;
        assert_eq!(second, Revision::from(2));
        let third = snapshots.update(&id, &options, second.into()).await?;
        assert_eq!(third, Revision::from(3));
        for wrong in [at(2), at(4)] {
            let update = snapshots
                .update(&id, &SnapshotOptions::default(), wrong)
                .await;
            assert!(
                matches!(&update, Err(StateStoreError::Conflict { entity: "snapshot", expected, actual, .. })
                if *expected == wrong.into() && *actual == third),
                "{update:?}"
            );
            let purge = snapshots.purge(&id, wrong).await;
            assert!(
                matches!(purge, Err(StateStoreError::Conflict { actual, .. }) if actual == third),
                "{purge:?}"
            );
        }
        let kept = snapshots.get(&id).await?.ok_or("the snapshot went")?;
        assert_eq!(
            (kept.description.as_deref(), kept.revision),
            (Some("new"), third)
        );
        snapshots.purge(&id, third.into()).await?;
        assert_eq!(snapshots.get(&id).await?, None);
    }
    Ok(())
}

#[tokio::test]
async fn a_restore_expects_the_revision_of_the_agent() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let (agents, snapshots) = (store.agents(), store.snapshots());
        let before = agents.save(&agent("a")).await?;
        let id = snapshots.create("a", &SnapshotOptions::default()).await?;
        let revision = agents.set_status("a", "busy", ChangeIf::Any).await?;
        let result = snapshots.restore(&id, before.into()).await;
        assert!(
            matches!(&result, Err(StateStoreError::Conflict { entity: "agent", actual, .. }) if *actual == revision),
            "{result:?}"
        );
        assert_eq!(
            agents.get("a").await?.map(|agent| agent.state.status),
            Some("busy".into())
        );
        let revision = snapshots.restore(&id, revision.into()).await?;
        let deleted = agents.delete("a", revision.into()).await?;
        let result = snapshots.restore(&id, deleted.into()).await;
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
        let restored = snapshots.restore(&id, ChangeIf::Any).await?;
        assert_eq!(restored.get(), deleted.get() + 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_session_ends_only_as_expected() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let sessions = store.sessions();
        let started = sessions.start(&Session::new("s", "a")).await?;
        let touched = sessions.touch("s", started.into()).await?;
        let result = sessions
            .end("s", SessionStatus::Completed, started.into())
            .await;
        assert!(
            matches!(result, Err(StateStoreError::Conflict { .. })),
            "{result:?}"
        );
        sessions
            .end("s", SessionStatus::Completed, touched.into())
            .await?;
    }
    Ok(())
}
