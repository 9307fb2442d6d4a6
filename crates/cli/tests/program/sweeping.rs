//! Runs that die: their sessions don't stay open.
#![cfg(target_os = "linux")]

use rustix::process::Signal;

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state_testing::connect;

use crate::support::{Place, Running, eventually, text};

fn start_one(place: &Place, name: &str) -> (Running, String) {
    let script = "echo '{\"session_id\":\"shared\",\"content\":\"here\"}'; read go";
    let mut running = place.start(&["run", "--jsonl", "--name", name, "--", "sh", "-c", script]);
    running.wait_for_end_of_stdout("\n");
    let session = eventually(|| {
        place
            .items(&["sessions", "list", "--agent", name])
            .into_iter()
            .find(|session| session["metadata"].get("recorder").is_some())
            .map(|session| text(&session, "id").to_owned())
    });
    eventually(|| {
        let sessions = place.items(&["sessions", "list"]);
        let shared = sessions.iter().find(|session| session["id"] == "shared")?;
        let runs = shared["metadata"]["open_in"].as_array()?;
        runs.iter()
            .any(|run| *run == session.as_str())
            .then_some(())
    });
    (running, session)
}

fn session(place: &Place, id: &str) -> descartes_state::serde_json::Value {
    place
        .items(&["sessions", "list"])
        .into_iter()
        .find(|session| text(session, "id") == id)
        .unwrap()
}

#[test]
fn a_killed_run_is_marked_and_closed_and_one_that_was_stopped_is_not() {
    let place = Place::new();
    let (killed, dead) = start_one(&place, "killed");
    let (mut stopped, alive) = start_one(&place, "stopped");
    eventually(|| {
        (session(&place, "shared")["metadata"]["open_in"]
            .as_array()?
            .len()
            == 2)
            .then_some(())
    });
    killed.signal(Signal::KILL);
    drop(killed.done());
    // Not in the middle of a write: it would keep the lock.
    eventually(|| {
        stopped.signal(Signal::STOP);
        let path = place.path().join("data/agent_state.db");
        let is_free = connect(&path).batch_execute("BEGIN IMMEDIATE; ROLLBACK;");
        if is_free.is_err() {
            stopped.signal(Signal::CONT);
        }
        is_free.ok()
    });
    assert_eq!(session(&place, &dead)["liveness"], "dead");
    assert_eq!(session(&place, &alive)["liveness"], "alive");
    let swept = place.json(&["sessions", "sweep", "--silent-for", "0"]);
    assert_eq!(swept["closed"].as_array().unwrap().len(), 1, "{swept}");
    let closed = session(&place, &dead);
    assert_eq!(text(&closed, "status"), "abandoned");
    let events = place.items(&["events", &dead]);
    assert!(
        text(events.last().unwrap(), "content").contains("abandoned"),
        "{events:?}"
    );
    let agent = place.json(&["agents", "show", "killed"]);
    assert_eq!(text(&agent, "status"), "abandoned");
    // The other goes on, and so does the session that both wrote to.
    assert_eq!(text(&session(&place, &alive), "status"), "active");
    assert_eq!(text(&session(&place, "shared"), "status"), "active");
    stopped.signal(Signal::CONT);
    stopped.write("go\n");
    assert_eq!(stopped.done().code, 0);
    assert_eq!(text(&session(&place, &alive), "status"), "completed");
    // The dead one can't leave it: the next sweep does.
    place.json(&["sessions", "sweep"]);
    assert_eq!(text(&session(&place, "shared"), "status"), "abandoned");
    let left = std::fs::read_dir(place.path().join("data/agent_state.db.runs"));
    assert_eq!(left.unwrap().count(), 0);
}

#[test]
fn the_next_run_closes_what_a_killed_one_left() {
    let place = Place::new();
    let (killed, dead) = start_one(&place, "killed");
    killed.signal(Signal::KILL);
    drop(killed.done());
    assert_eq!(place.run(&["run", "--", "true"]).code, 0);
    assert_eq!(text(&session(&place, &dead), "status"), "abandoned");
    assert_eq!(text(&session(&place, "shared"), "status"), "abandoned");
}

#[test]
fn a_session_of_several_runs_ends_with_the_last_and_its_worst_end() {
    let place = Place::new();
    let line = "echo '{\"session_id\":\"shared\",\"content\":\"here\"}'";
    let script = format!("{line}; read go; exit 3");
    let mut failing = place.start(&["run", "--jsonl", "--name", "a", "--", "sh", "-c", &script]);
    failing.wait_for_end_of_stdout("\n");
    let script = format!("{line}; read go");
    let mut well = place.start(&["run", "--jsonl", "--name", "b", "--", "sh", "-c", &script]);
    well.wait_for_end_of_stdout("\n");
    eventually(|| {
        let sessions = place.items(&["sessions", "list"]);
        let shared = sessions.iter().find(|session| session["id"] == "shared")?;
        (shared["metadata"]["open_in"].as_array()?.len() == 2).then_some(())
    });
    failing.write("go\n");
    assert_eq!(failing.done().code, 3);
    assert_eq!(text(&session(&place, "shared"), "status"), "active");
    well.write("go\n");
    assert_eq!(well.done().code, 0);
    let shared = session(&place, "shared");
    assert_eq!(text(&shared, "status"), "failed");
    assert!(shared["metadata"].get("open_in").is_none(), "{shared}");
}
