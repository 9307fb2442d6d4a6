//! How often statements are prepared: once each, however often they run.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use descartes_state::diesel::connection::{
    Instrumentation, InstrumentationEvent, set_default_instrumentation,
};
use descartes_state::{
    ChangeIf, ManualClock, SaveIf, Session, SessionStatus, SnapshotOptions, SqliteStateStore, Step,
    TaskStatus, TransitionDraft,
};

use descartes_state_testing::{agent, numbered_event, numbered_task, open_in, quick};

/// What connections to one file did.
#[derive(Default)]
struct Seen {
    /// Statements that entered a connection's cache.
    prepared: Vec<String>,
    /// Statements that ran.
    ran: BTreeSet<String>,
}

static SEEN: Mutex<Option<Seen>> = Mutex::new(None);
/// What the path of the file under test holds; the other tests of this program have files of their own.
const NAME: &str = "counted";

#[derive(Default)]
struct Counter {
    is_counted: bool,
}

impl Instrumentation for Counter {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.get_or_insert_default();
        match event {
            InstrumentationEvent::StartEstablishConnection { url, .. } => {
                self.is_counted = url.contains(NAME);
            }
            InstrumentationEvent::CacheQuery { sql, .. } if self.is_counted && is_of_rows(sql) => {
                seen.prepared.push(sql.to_owned());
            }
            InstrumentationEvent::StartQuery { query, .. } if self.is_counted => {
                let text = query.to_string();
                let sql = text.split(" -- binds: ").next().unwrap_or_default();
                if is_of_rows(sql) {
                    seen.ran.insert(sql.to_owned());
                }
            }
            _ => {}
        }
    }
}

/// Not what frames a transaction, asks a connection about itself, or indexes what others wrote, whenever that is.
fn is_of_rows(sql: &str) -> bool {
    let verbs = ["SELECT ", "INSERT ", "UPDATE ", "DELETE "];
    verbs.iter().any(|verb| sql.starts_with(verb))
        && ![" pragma_", "events_search", "octet_length"]
            .iter()
            .any(|other| sql.contains(other))
}

fn taken() -> Seen {
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    seen.take().unwrap_or_default()
}

/// Every hot write once; `round` makes the rows new ones.
async fn write_everything(store: &SqliteStateStore, round: u128) {
    const ANY: ChangeIf = ChangeIf::Any;
    let id = format!("agent-{round}");
    let agents = store.agents();
    for _ in 0..2 {
        agents.save(&agent(&id)).await.unwrap();
    }
    agents.set_status(&id, "busy", ANY).await.unwrap();
    let stepping = format!("stepping-{round}");
    for _ in 0..2 {
        let state = agent(&stepping);
        let event = numbered_event(3_000 + round, "step");
        let step = Step::to(&state).event(&event);
        agents.step(&step).await.unwrap();
    }
    let taken = Step::to_status(&stepping, "busy");
    agents.step(&taken).await.unwrap();
    let id_of_step = numbered_event(4_000 + round, "").id;
    for _ in 0..2 {
        let taken = Step::to_state_data(&stepping, "{}").id(id_of_step);
        agents.step(&taken).await.unwrap();
    }
    let options = SnapshotOptions::default();
    store.snapshots().create(&id, &options).await.unwrap();
    agents.delete(&id, ANY).await.unwrap();
    agents.undelete(&id, ANY).await.unwrap();
    let tasks = store.tasks();
    let one = numbered_task(round);
    for _ in 0..2 {
        tasks.save(&one).await.unwrap();
    }
    tasks
        .set_status(&one.id, TaskStatus::Done, ANY)
        .await
        .unwrap();
    tasks.delete(&one.id, ANY).await.unwrap();
    tasks.undelete(&one.id, ANY).await.unwrap();
    let sessions = store.sessions();
    let session = Session::new(&id, "agent");
    for _ in 0..2 {
        sessions.save_if(&session, SaveIf::Any).await.unwrap();
    }
    sessions.touch(&id, ANY).await.unwrap();
    sessions.delete(&id, ANY).await.unwrap();
    sessions.undelete(&id, ANY).await.unwrap();
    sessions
        .end(&id, SessionStatus::Completed, ANY)
        .await
        .unwrap();
    let draft = TransitionDraft::new(&id, "{}", "{}");
    store.transitions().record(&draft).await.unwrap();
    for _ in 0..2 {
        store
            .save_event(&numbered_event(round, "one word"))
            .await
            .unwrap();
    }
    let other = store
        .save_event(&numbered_event(round, "other words"))
        .await;
    assert!(other.is_err());
    let batch = [
        numbered_event(1_000 + round, "one"),
        numbered_event(2_000 + round, "two"),
    ];
    store.events().append_all(&batch).await.unwrap();
    let id = numbered_event(round, "").id;
    let known = store.transact(move |tx| tx.events().ids_between(&id, &id, 1));
    assert_eq!(known.await.unwrap(), [id]);
}

#[tokio::test]
async fn a_statement_is_prepared_once_however_often_it_runs() {
    set_default_instrumentation(|| Some(Box::new(Counter::default()))).unwrap();
    let directory = tempfile::Builder::new().prefix(NAME).tempdir().unwrap();
    let clock = ManualClock::at_seconds(1_763_856_000);
    let store = open_in(&directory, quick().clock(clock)).await;
    taken();
    write_everything(&store, 0).await;
    let first = taken().prepared;
    let distinct: BTreeSet<_> = first.iter().cloned().collect();
    // Nothing was read, so there is one connection's cache.
    assert_eq!(distinct.len(), first.len(), "{first:#?}");
    assert!(distinct.len() > 20, "{distinct:#?}");

    for round in 1..100 {
        write_everything(&store, round).await;
    }
    let more = taken();
    // Before each checkpoint a fresh connection looks whose the file is.
    let again: Vec<_> = more
        .prepared
        .iter()
        .filter(|sql| !sql.contains("store_identity"))
        .collect();
    assert!(again.is_empty(), "prepared again: {again:#?}");
    // What ran and isn't in the cache was prepared at each run.
    let uncached = more.ran.difference(&distinct);
    // Once each time that the log begins again.
    let uncached: Vec<_> = uncached
        .filter(|sql| !sql.contains("store_identity"))
        .collect();
    assert!(uncached.is_empty(), "prepared at each run: {uncached:#?}");
}
