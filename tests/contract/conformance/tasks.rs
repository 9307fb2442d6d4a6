//! Tasks: saved, read, listed.

use std::sync::Arc;

use descartes_state::uuid::Uuid;
use descartes_state::{StateStore, StateStoreError, Task, TaskStatus};
use proptest::prelude::*;
use tokio::runtime::Handle;

use super::agents::too_many;
use super::configurations::LIST_ROWS;
use descartes_state_testing::{TestResult, any_id, any_json, any_text, for_all, task};

type Store = Arc<dyn StateStore>;

fn any_task() -> impl Strategy<Value = Task> {
    let id = any::<u128>().prop_map(Uuid::from_u128);
    let status = proptest::sample::select(TaskStatus::ALL);
    let description = proptest::option::of(any_text());
    let assigned_to = proptest::option::of(any_id());
    let metadata = proptest::option::of(any_json());
    (
        id,
        any_text(),
        description,
        status,
        assigned_to,
        any::<[i64; 2]>(),
        metadata,
    )
        .prop_map(
            |(id, title, description, status, assigned_to, [created_at, updated_at], metadata)| {
                Task {
                    id,
                    title,
                    description,
                    status,
                    assigned_to,
                    created_at,
                    updated_at,
                    metadata,
                }
            },
        )
}

pub(crate) async fn every_field_of_a_task_comes_back(store: Store) -> TestResult {
    let runtime = Handle::current();
    for_all(48, any_task, move |task| {
        let read = runtime.block_on(async {
            store.save_task(&task).await?;
            store.get_task(&task.id).await
        });
        let read = read.map_err(|error: StateStoreError| TestCaseError::fail(error.to_string()))?;
        let text = |task: &Task| task.metadata.as_ref().map(ToString::to_string);
        prop_assert_eq!(read.as_ref().map(text), Some(text(&task)));
        prop_assert_eq!(read, Some(task));
        Ok(())
    })
    .await
}

pub(crate) async fn saving_a_task_again_replaces_everything_but_created_at(
    store: Store,
) -> TestResult {
    let first = task("first");
    store.save_task(&first).await?;
    let second = Task {
        id: first.id,
        title: "second".to_owned(),
        description: None,
        status: TaskStatus::Dead,
        assigned_to: None,
        created_at: 77,
        updated_at: 88,
        metadata: None,
    };
    store.save_task(&second).await?;
    let expected = Task {
        created_at: first.created_at,
        ..second
    };
    assert_eq!(store.get_task(&first.id).await?, Some(expected.clone()));
    assert_eq!(store.get_tasks().await?, [expected]);
    Ok(())
}

pub(crate) async fn an_unknown_task_is_none(store: Store) -> TestResult {
    assert_eq!(store.get_task(&Uuid::now_v7()).await?, None);
    assert_eq!(store.get_task(&Uuid::nil()).await?, None);
    assert_eq!(store.get_tasks().await?, []);
    Ok(())
}

pub(crate) async fn tasks_are_listed_newest_first_by_their_first_save(store: Store) -> TestResult {
    let tasks = ["one", "two", "three"].map(task);
    for task in &tasks {
        store.save_task(task).await?;
    }
    // A change moves nothing.
    store.save_task(&tasks[0]).await?;
    let mut newest_first = tasks.to_vec();
    newest_first.reverse();
    assert_eq!(store.get_tasks().await?, newest_first);
    Ok(())
}

pub(crate) async fn too_many_tasks_are_an_error_never_a_cut(store: Store) -> TestResult {
    for _ in 0..LIST_ROWS {
        store.save_task(&task("x")).await?;
    }
    assert_eq!(store.get_tasks().await?.len(), LIST_ROWS);
    store.save_task(&task("x")).await?;
    too_many(store.get_tasks().await, "tasks().list(..)");
    Ok(())
}
