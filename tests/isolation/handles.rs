//! The methods of the handles of the six aggregates, for the table.

use descartes_state::uuid::Uuid;
use descartes_state::{
    AgentFilter, AppendOptions, ChangeIf, Event, EventFilter, SaveIf, SessionFilter, SessionStatus,
    SnapshotFilter, SnapshotOptions, StateStoreError, Step, TaskFilter, TaskStatus,
    TransitionFilter,
};

use super::table::Method::{self, Counts, Shows, Writes};
use super::table::{FIRST, call, page};

const ANY: ChangeIf = ChangeIf::Any;

fn note() -> SnapshotOptions {
    SnapshotOptions::default().description("new")
}

pub(crate) fn table() -> Vec<(&'static str, Method)> {
    vec![
        (
            "agents.save",
            call!(Writes, |store, own| store
                .agents()
                .save(&own.agent("agent"))),
        ),
        (
            "agents.save_if",
            call!(Writes, |store, own| {
                store
                    .agents()
                    .save_if(&own.agent("not yet"), SaveIf::Absent)
            }),
        ),
        (
            "agents.step",
            call!(Writes, |store, own| {
                store.agents().step(
                    &Step::to(&own.agent("agent"))
                        .event(&own.event(90))
                        .session("session"),
                )
            }),
        ),
        (
            "agents.get",
            call!(Shows, |store, own| store.agents().get("agent")),
        ),
        (
            "agents.list",
            call!(Shows, |store, own| {
                store
                    .agents()
                    .list(&AgentFilter::default().include_deleted(), &page())
            }),
        ),
        (
            "agents.state",
            call!(Shows, |store, own| store.agents().state("agent")),
        ),
        (
            "agents.states",
            call!(Shows, |store, own| {
                store
                    .agents()
                    .states(&AgentFilter::default().include_deleted(), &page())
            }),
        ),
        (
            "agents.count",
            call!(Counts, |store, own| store
                .agents()
                .count(&AgentFilter::default().include_deleted())),
        ),
        (
            "agents.set_status",
            call!(Writes, |store, own| store
                .agents()
                .set_status("agent", "x", ANY)),
        ),
        (
            "agents.update",
            call!(Writes, |store, own| store.agents().update(
                "agent",
                ANY,
                |state| {
                    state.status = "updated".into();
                    Ok(())
                }
            )),
        ),
        (
            "agents.delete",
            call!(Writes, |store, own| store.agents().delete("agent", ANY)),
        ),
        (
            "agents.undelete",
            call!(Writes, |store, own| store.agents().undelete("deleted", ANY)),
        ),
        (
            "agents.purge",
            call!(Writes, |store, own| store.agents().purge("agent", ANY)),
        ),
        (
            "transitions.record",
            call!(Writes, |store, own| store
                .transitions()
                .record(&own.draft())),
        ),
        (
            "transitions.get",
            call!(Shows, |store, own| store.transitions().get(&FIRST)),
        ),
        (
            "transitions.list",
            call!(Shows, |store, own| store
                .transitions()
                .list(&TransitionFilter::default(), &page())),
        ),
        (
            "transitions.count",
            call!(Counts, |store, own| store
                .transitions()
                .count(&TransitionFilter::default())),
        ),
        (
            "transitions.purge_before",
            call!(Writes, |store, own| store
                .transitions()
                .purge_before(i64::MAX)),
        ),
        (
            "snapshots.create",
            call!(Writes, |store, own| store
                .snapshots()
                .create("agent", &note())),
        ),
        (
            "snapshots.get",
            call!(Shows, |store, own| store.snapshots().get(&own.snapshot)),
        ),
        (
            "snapshots.list",
            call!(Shows, |store, own| {
                store
                    .snapshots()
                    .list(&SnapshotFilter::default().include_expired(), &page())
            }),
        ),
        (
            "snapshots.count",
            call!(Counts, |store, own| {
                store
                    .snapshots()
                    .count(&SnapshotFilter::default().include_expired())
            }),
        ),
        (
            "snapshots.restore",
            call!(Writes, |store, own| store
                .snapshots()
                .restore(&own.snapshot, ANY)),
        ),
        (
            "snapshots.update",
            call!(Writes, |store, own| store.snapshots().update(
                &own.snapshot,
                &note(),
                ANY
            )),
        ),
        (
            "snapshots.purge",
            call!(Writes, |store, own| store
                .snapshots()
                .purge(&own.snapshot, ANY)),
        ),
        (
            "snapshots.purge_expired",
            call!(Writes, |store, own| store.snapshots().purge_expired()),
        ),
        (
            "events.append",
            call!(Writes, |store, own| store
                .events()
                .append(&own.event(1_000))),
        ),
        (
            "events.append_with",
            call!(Writes, |store, own| store.events().append_with(
                &Event {
                    metadata: None,
                    ..own.event(1_000)
                },
                AppendOptions::default().metadata_text("{}")
            )),
        ),
        (
            "events.append_all",
            call!(Writes, |store, own| store
                .events()
                .append_all(&[own.event(1_000), own.event(1_001)])),
        ),
        (
            "events.append_all_with",
            call!(Writes, |store, own| store.events().append_all_with(&[
                (&own.event(1_000), AppendOptions::default()),
                (
                    &own.event(1_001),
                    AppendOptions::default().searchable(false)
                ),
            ])),
        ),
        (
            "events.get",
            call!(Shows, |store, own| store.events().get(&FIRST)),
        ),
        (
            "events.ids_between",
            call!(Counts, |store, own| async {
                let (events, last) = (store.events(), Uuid::max());
                let ids = events.ids_between(&FIRST, &last, 100).await?;
                Ok::<_, StateStoreError>(ids.len())
            }),
        ),
        (
            "events.list",
            call!(Shows, |store, own| store
                .events()
                .list(&EventFilter::default(), &page())),
        ),
        (
            "events.count",
            call!(Counts, |store, own| store
                .events()
                .count(&EventFilter::default())),
        ),
        (
            "events.search",
            call!(Shows, |store, own| store.events().search(
                "word",
                &EventFilter::default(),
                &page()
            )),
        ),
        (
            "events.search_beginnings",
            call!(Shows, |store, own| store.events().search_beginnings(
                "wo",
                &EventFilter::default(),
                &page()
            )),
        ),
        (
            "events.purge_before",
            call!(Writes, |store, own| store.events().purge_before(i64::MAX)),
        ),
        (
            "tasks.save",
            call!(Writes, |store, own| store.tasks().save(&own.task(1))),
        ),
        (
            "tasks.save_if",
            call!(Writes, |store, own| store
                .tasks()
                .save_if(&own.task(1_000), SaveIf::Absent)),
        ),
        (
            "tasks.get",
            call!(Shows, |store, own| store.tasks().get(&FIRST)),
        ),
        (
            "tasks.list",
            call!(Shows, |store, own| {
                store
                    .tasks()
                    .list(&TaskFilter::default().include_deleted(), &page())
            }),
        ),
        (
            "tasks.count",
            call!(Counts, |store, own| store
                .tasks()
                .count(&TaskFilter::default().include_deleted())),
        ),
        (
            "tasks.set_status",
            call!(Writes, |store, own| store.tasks().set_status(
                &FIRST,
                TaskStatus::Dead,
                ANY
            )),
        ),
        (
            "tasks.delete",
            call!(Writes, |store, own| store.tasks().delete(&FIRST, ANY)),
        ),
        (
            "tasks.undelete",
            call!(Writes, |store, own| store
                .tasks()
                .undelete(&Uuid::from_u128(2), ANY)),
        ),
        (
            "tasks.purge",
            call!(Writes, |store, own| store.tasks().purge(&FIRST, ANY)),
        ),
        (
            "sessions.start",
            call!(Writes, |store, own| store
                .sessions()
                .start(&own.session("not yet"))),
        ),
        (
            "sessions.save_if",
            call!(Writes, |store, own| store
                .sessions()
                .save_if(&own.session("session"), SaveIf::Any)),
        ),
        (
            "sessions.touch",
            call!(Writes, |store, own| store.sessions().touch("session", ANY)),
        ),
        (
            "sessions.end",
            call!(Writes, |store, own| store.sessions().end(
                "session",
                SessionStatus::Failed,
                ANY
            )),
        ),
        (
            "sessions.get",
            call!(Shows, |store, own| store.sessions().get("session")),
        ),
        (
            "sessions.list",
            call!(Shows, |store, own| {
                store
                    .sessions()
                    .list(&SessionFilter::default().include_deleted(), &page())
            }),
        ),
        (
            "sessions.count",
            call!(Counts, |store, own| {
                store
                    .sessions()
                    .count(&SessionFilter::default().include_deleted())
            }),
        ),
        (
            "sessions.delete",
            call!(Writes, |store, own| store.sessions().delete("session", ANY)),
        ),
        (
            "sessions.undelete",
            call!(Writes, |store, own| store
                .sessions()
                .undelete("deleted", ANY)),
        ),
        (
            "sessions.purge",
            call!(Writes, |store, own| store.sessions().purge("session", ANY)),
        ),
    ]
}
