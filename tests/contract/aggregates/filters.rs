//! Filters and counts: each filter alone and with others, and that a count is the length of its list.

use descartes_state::uuid::Uuid;
use descartes_state::{
    AgentFilter, AgentState, ChangeIf, Event, EventFilter, PageRequest, Session, SessionFilter,
    SessionStatus, SnapshotFilter, StoreOptions, Task, TaskFilter, TaskStatus, TimeRange,
    TransitionDraft, TransitionFilter, page::Order,
};

use descartes_state_testing::{Place, TestResult, agent, event, task};

fn oldest() -> PageRequest {
    PageRequest::new(100).order(Order::Ascending)
}

fn range(from: i64, until: i64) -> TimeRange {
    TimeRange::default().from(from).until(until)
}

/// The texts of the list that a filter picks, after a look whether the count says the same.
macro_rules! picked {
    ($handle:expr, $filter:expr, $text:expr) => {{
        let filter = $filter;
        let items = $handle.list(&filter, &oldest()).await?.items;
        assert_eq!(
            $handle.count(&filter).await?,
            i64::try_from(items.len())?,
            "{filter:?}"
        );
        items.into_iter().map($text).collect::<Vec<String>>()
    }};
}

#[tokio::test]
async fn agents_are_picked_by_status_time_and_deletion() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let rows = [
            ("a", "idle", 10),
            ("b", "busy", 20),
            ("c", "idle", 30),
            ("d", "idle", 20),
        ];
        for (id, status, updated_at) in rows {
            let status = status.to_owned();
            store
                .save_agent_state(&AgentState {
                    status,
                    updated_at,
                    ..agent(id)
                })
                .await?;
        }
        store.delete_agent("d").await?;
        let agents = store.agents();
        let all = AgentFilter::default;
        let id = |row: descartes_state::AgentRecord| row.state.agent_id;
        assert_eq!(picked!(agents, all(), id), ["a", "b", "c"]);
        assert_eq!(picked!(agents, all().status("idle"), id), ["a", "c"]);
        assert_eq!(picked!(agents, all().status("IDLE"), id), [""; 0]);
        // From the first second on, up to but not including the last.
        assert_eq!(
            picked!(agents, all().updated(range(10, 30)), id),
            ["a", "b"]
        );
        assert_eq!(
            picked!(agents, all().updated(TimeRange::default().from(20)), id),
            ["b", "c"]
        );
        assert_eq!(
            picked!(agents, all().updated(TimeRange::default().until(20)), id),
            ["a"]
        );
        assert_eq!(picked!(agents, all().updated(range(30, 10)), id), [""; 0]);
        assert_eq!(
            picked!(agents, all().status("idle").updated(range(11, 99)), id),
            ["c"]
        );
        assert_eq!(
            picked!(agents, all().include_deleted(), id),
            ["a", "b", "c", "d"]
        );
        assert_eq!(
            picked!(agents, all().include_deleted().status("idle"), id),
            ["a", "c", "d"]
        );
        let deleted = agents
            .list(&all().include_deleted(), &oldest())
            .await?
            .items;
        assert_eq!(
            deleted.iter().map(|row| row.is_deleted).collect::<Vec<_>>(),
            [false, false, false, true]
        );
    }
    Ok(())
}

#[tokio::test]
async fn transitions_are_picked_by_agent_and_time() -> TestResult {
    for (store, clock) in Place::everywhere_at(10).await {
        for (agent, after) in [("a", "1"), ("b", "2"), ("a", "3")] {
            store
                .transitions()
                .record(&TransitionDraft::new(agent, "", after))
                .await?;
            clock.advance_seconds(10);
        }
        let transitions = store.transitions();
        let all = TransitionFilter::default;
        let after = |row: descartes_state::TransitionRecord| row.transition.state_after;
        assert_eq!(picked!(transitions, all(), after), ["1", "2", "3"]);
        assert_eq!(picked!(transitions, all().agent("a"), after), ["1", "3"]);
        assert_eq!(
            picked!(transitions, all().time(range(10, 30)), after),
            ["1", "2"]
        );
        assert_eq!(
            picked!(transitions, all().agent("a").time(range(11, 31)), after),
            ["3"]
        );
    }
    Ok(())
}

#[tokio::test]
async fn snapshots_are_picked_by_agent_and_time() -> TestResult {
    for (store, clock) in Place::everywhere_at(10).await {
        for (id, text) in [("a", "1"), ("b", "2"), ("a", "3")] {
            store.save_agent_state(&agent(id)).await?;
            store.create_snapshot(id, Some(text.to_owned())).await?;
            clock.advance_seconds(10);
        }
        let snapshots = store.snapshots();
        let all = SnapshotFilter::default;
        let text = |row: descartes_state::SnapshotRecord| row.description.unwrap_or_default();
        assert_eq!(picked!(snapshots, all(), text), ["1", "2", "3"]);
        assert_eq!(picked!(snapshots, all().agent("a"), text), ["1", "3"]);
        assert_eq!(
            picked!(snapshots, all().created(range(10, 30)), text),
            ["1", "2"]
        );
        assert_eq!(
            picked!(snapshots, all().agent("a").created(range(11, 31)), text),
            ["3"]
        );
    }
    Ok(())
}

#[tokio::test]
async fn events_are_picked_by_session_type_actor_and_time() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let rows = [
            ("1", "s", "note", "x", 10),
            ("2", "t", "note", "y", 20),
            ("3", "s", "call", "y", 30),
            ("4", "s", "note", "y", 20),
        ];
        for (content, session_id, event_type, actor_id, timestamp) in rows {
            let event = Event {
                session_id: session_id.to_owned(),
                event_type: event_type.to_owned(),
                actor_id: actor_id.to_owned(),
                timestamp,
                ..event(&format!("{content} common"))
            };
            store.save_event(&event).await?;
        }
        let events = store.events();
        let all = EventFilter::default;
        let content = |row: descartes_state::EventRecord| row.event.content.replace(" common", "");
        let table = [
            (all(), vec!["1", "2", "3", "4"]),
            (all().session("s"), vec!["1", "3", "4"]),
            (all().event_type("note"), vec!["1", "2", "4"]),
            (all().actor("y"), vec!["2", "3", "4"]),
            (all().time(range(10, 30)), vec!["1", "2", "4"]),
            (all().session("s").event_type("note"), vec!["1", "4"]),
            (all().session("s").actor("y").time(range(15, 25)), vec!["4"]),
            (all().session("none"), vec![]),
        ];
        for (filter, wanted) in table {
            assert_eq!(
                picked!(events, filter.clone(), content),
                wanted,
                "{filter:?}"
            );
            // A search takes the same filters.
            let found = events.search("common", &filter, &oldest()).await?.items;
            let found: Vec<_> = found.into_iter().map(content).collect();
            assert_eq!(found, wanted, "{filter:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn tasks_are_picked_by_status_assignee_time_and_deletion() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let rows = [
            ("1", TaskStatus::Todo, Some("x"), 10),
            ("2", TaskStatus::Done, Some("x"), 20),
            ("3", TaskStatus::Todo, Some("y"), 30),
            ("4", TaskStatus::Todo, None, 20),
        ];
        let mut last = Uuid::nil();
        for (title, status, assigned_to, updated_at) in rows {
            let assigned_to = assigned_to.map(str::to_owned);
            let task = Task {
                status,
                assigned_to,
                updated_at,
                ..task(title)
            };
            store.save_task(&task).await?;
            last = task.id;
        }
        store.tasks().delete(&last, ChangeIf::Any).await?;
        let tasks = store.tasks();
        let all = TaskFilter::default;
        let title = |row: descartes_state::TaskRecord| row.task.title;
        assert_eq!(picked!(tasks, all(), title), ["1", "2", "3"]);
        assert_eq!(
            picked!(tasks, all().status(TaskStatus::Todo), title),
            ["1", "3"]
        );
        assert_eq!(picked!(tasks, all().assigned_to("x"), title), ["1", "2"]);
        assert_eq!(
            picked!(tasks, all().updated(range(10, 30)), title),
            ["1", "2"]
        );
        assert_eq!(
            picked!(
                tasks,
                all().assigned_to("x").status(TaskStatus::Done),
                title
            ),
            ["2"]
        );
        assert_eq!(
            picked!(
                tasks,
                all().include_deleted().status(TaskStatus::Todo),
                title
            ),
            ["1", "3", "4"]
        );
    }
    Ok(())
}

#[tokio::test]
async fn sessions_are_picked_by_agent_status_time_and_deletion() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let sessions = store.sessions();
        for (id, agent, started_at) in [
            ("1", "x", 10),
            ("2", "y", 20),
            ("3", "x", 30),
            ("4", "x", 20),
        ] {
            sessions
                .start(&Session::new(id, agent).started_at(started_at))
                .await?;
        }
        sessions
            .end("3", SessionStatus::Failed, ChangeIf::Any)
            .await?;
        sessions.delete("4", ChangeIf::Any).await?;
        let all = SessionFilter::default;
        let id = |row: descartes_state::SessionRecord| row.id;
        assert_eq!(picked!(sessions, all(), id), ["1", "2", "3"]);
        assert_eq!(picked!(sessions, all().agent("x"), id), ["1", "3"]);
        assert_eq!(
            picked!(sessions, all().status(SessionStatus::Active), id),
            ["1", "2"]
        );
        assert_eq!(
            picked!(sessions, all().started(range(10, 30)), id),
            ["1", "2"]
        );
        let failed = all()
            .agent("x")
            .status(SessionStatus::Failed)
            .started(range(30, 31));
        assert_eq!(picked!(sessions, failed, id), ["3"]);
        assert_eq!(
            picked!(sessions, all().include_deleted().agent("x"), id),
            ["1", "3", "4"]
        );
    }
    Ok(())
}
