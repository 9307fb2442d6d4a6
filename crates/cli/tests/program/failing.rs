//! `run` where the store fails: the command goes on, nothing is lost silently, and the exit code says so.

use std::process::Command;

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::diesel::{Connection, SqliteConnection};

use crate::support::{PROGRAM, Place, finish, text};

/// Another program that holds the database's write lock.
fn lock(place: &Place) -> SqliteConnection {
    let path = place.database();
    let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    connection
        .batch_execute("PRAGMA busy_timeout = 60000; BEGIN IMMEDIATE;")
        .unwrap();
    connection
}

const TALK: &str =
    "echo ready; read go; i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; exit 3";

#[test]
fn a_store_that_fails_midway_stops_neither_the_command_nor_its_output() {
    let place = Place::new();
    let mut running = place.start(&["run", "--timeout", "0.1", "--", "sh", "-c", TALK]);
    running.wait_for_stdout("ready\n");
    crate::support::eventually(|| (place.run(&["search", "ready"]).stdout.len() > 1).then_some(()));
    let lock = lock(&place);
    running.write("go\n");
    let done = running.done();
    drop(lock);

    let expected: String = (0..2000).map(|number| format!("line {number}\n")).collect();
    assert_eq!(done.text(), format!("ready\n{expected}"));
    assert_eq!(done.code, 125, "{}", done.stderr);
    assert!(
        done.stderr
            .contains("recording stopped, the command goes on"),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr.contains("2000 events were NOT recorded"),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr.contains("the end of the run was NOT recorded"),
        "{}",
        done.stderr
    );
    // What was acknowledged before is there.
    assert_eq!(text(&place.events()[0], "content"), "ready");
}

#[test]
fn a_store_that_comes_back_while_the_command_runs_lacks_nothing() {
    let place = Place::new();
    let script = "echo ready; read go; echo late; read go; echo last; exit 3";
    let mut running = place.start(&[
        "run",
        "--timeout",
        "0.1",
        "--json",
        "--",
        "sh",
        "-c",
        script,
    ]);
    running.wait_for_stdout("ready\n");
    crate::support::eventually(|| (place.items(&["search", "ready"]).len() == 1).then_some(()));
    let lock = lock(&place);
    running.write("go\n");
    running.wait_for_stderr("lines are kept in memory");
    drop(lock);
    running.wait_for_stderr("nothing is lost");
    running.write("go\n");
    let done = running.done();
    assert_eq!(done.code, 3, "{}", done.stderr);
    let summary = done.summary();
    assert_eq!(summary["events"], 2, "{summary}");
    assert_eq!(summary["late_events"], 1);
    assert_eq!(summary["lost_events"], 0);
    assert_eq!(summary["end_recorded"], true);
    let contents: Vec<_> = place
        .items(&["events", text(&summary, "session_id")])
        .iter()
        .map(|event| text(event, "content").to_owned())
        .collect();
    assert_eq!(contents, ["ready", "late", "last"], "in their order");
}

#[test]
fn a_store_that_is_locked_at_the_end_is_waited_for_as_long_as_was_said() {
    let place = Place::new();
    let mut running = place.start(&[
        "run",
        "--timeout",
        "60",
        "--json",
        "--",
        "sh",
        "-c",
        "echo ready; read go; echo last",
    ]);
    running.wait_for_stdout("ready\n");
    crate::support::eventually(|| (place.items(&["search", "ready"]).len() == 1).then_some(()));
    let lock = lock(&place);
    running.write("go\n");
    running.wait_for_stderr("lines are kept in memory");
    drop(lock);
    let done = running.done();
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(done.summary()["end_recorded"], true);
    assert_eq!(text(&place.session(), "status"), "completed");
    let agent = place.json(&["agents", "show", "sh"]);
    assert_eq!(text(&agent, "status"), "completed");
}

#[test]
fn an_agent_that_is_deleted_meanwhile_costs_no_line() {
    let place = Place::new();
    let line = |number: u32| {
        format!("echo '{{\"agent\":\"a\",\"content\":\"{number}\",\"state\":{{\"n\":{number}}}}}'")
    };
    let script = format!("{}; read go; {}", line(1), line(2));
    let arguments = ["run", "--jsonl", "--json", "--name", "me", "--", "sh", "-c"];
    let mut running = place.start(&[&arguments[..], &[&script]].concat());
    running.wait_for_end_of_stdout("\n");
    crate::support::eventually(|| (place.items(&["agents", "list"]).len() == 2).then_some(()));
    place.store(async |store| store.delete_agent("a").await);
    running.write("go\n");
    let done = running.done();
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(done.summary()["events"], 2, "{}", done.stderr);
    let agent = place.json(&["agents", "show", "a"]);
    assert_eq!(text(&agent, "state_data"), "{\"n\":2}");
}

#[test]
fn what_has_no_room_in_memory_is_counted_and_the_rest_is_kept() {
    let place = Place::new();
    let talk = "echo ready; read go; echo one; read go; seq 1000; echo said; read go";
    // Room for some ten lines.
    let mut running = place.start(&[
        "run",
        "--buffer",
        "10000",
        "--timeout",
        "0.1",
        "--json",
        "--",
        "sh",
        "-c",
        talk,
    ]);
    running.wait_for_stdout("ready\n");
    crate::support::eventually(|| (place.items(&["search", "ready"]).len() == 1).then_some(()));
    let lock = lock(&place);
    running.write("go\n");
    running.wait_for_stderr("lines are kept in memory");
    running.write("go\n");
    running.wait_for_end_of_stdout("said\n");
    running.wait_for_stderr("recording stopped");
    drop(lock);
    running.wait_for_stderr("is written again");
    running.write("go\n");
    let done = running.done();
    assert_eq!(done.code, 125, "{}", done.stderr);
    let summary = done.summary();
    let number = |key: &str| summary[key].as_u64().unwrap();
    let kept = number("events") + number("late_events");
    assert_eq!(kept + number("lost_events"), 1003, "{summary}");
    assert!(
        number("lost_events") > 0 && number("late_events") > 0,
        "{summary}"
    );
    assert_eq!(place.events().len() as u64, kept);
    // The command itself ended well; the session says what the store missed.
    let session = place.session();
    assert_eq!(text(&session, "status"), "completed");
    assert_eq!(session["metadata"]["lost_events"], number("lost_events"));
}

#[test]
fn a_full_disk_stops_neither_the_command_nor_its_output() {
    let place = Place::new();
    assert_eq!(place.run(&["migrate", "run"]).code, 0);
    // No file of the program may grow beyond 1 MB; the system's signal for that doesn't kill it.
    let script = "ulimit -f 2000; exec \"$@\"";
    let talk = "i=0; while [ $i -lt 400 ]; do printf '%010000d\\n' $i; i=$((i+1)); done";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", PROGRAM, "run", "--timeout", "1"]);
    command.args(["--", "sh", "-c", talk]);
    place.prepare(&mut command);
    let done = finish(&mut command);
    assert_eq!(done.code, 125, "{}", done.stderr);
    assert_eq!(done.stdout.len(), 400 * 10_001);
    assert!(
        done.stderr.contains("events were NOT recorded"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_command_that_cannot_be_recorded_from_the_start_is_not_started() {
    let place = Place::new();
    std::fs::write(
        place.path().join("file"),
        "this is no database, and long enough to be seen",
    )
    .unwrap();
    for database in ["file", "file/below.db", "/dev/null"] {
        let done = place.run(&["run", "--db", database, "--", "touch", "started"]);
        assert_eq!(done.code, 125, "{database}: {done:?}");
        assert_eq!(done.stderr.lines().count(), 1, "{done:?}");
        assert!(!place.path().join("started").exists(), "{database}");
    }
}

#[test]
fn a_locked_store_does_not_hold_up_a_signal() {
    let place = Place::new();
    assert_eq!(place.run(&["migrate", "run"]).code, 0);
    let lock = lock(&place);
    let running = place.start(&["run", "--", "touch", "started"]);
    // It waits for the lock now, or is about to; either way it must listen.
    crate::support::eventually(|| listens_to_sigterm(running.pid()).then_some(()));
    running.signal(rustix::process::Signal::TERM);
    let done = running.done();
    drop(lock);
    assert_eq!(done.code, 143, "{done:?}");
    assert!(!place.path().join("started").exists());
}

fn listens_to_sigterm(pid: u32) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else {
        // Without /proc nobody can tell: the signal then ends the program as it ends any other.
        return true;
    };
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = u64::from_str_radix(mask.unwrap_or("0").trim(), 16).unwrap_or(0);
    mask >> 14 & 1 == 1
}
