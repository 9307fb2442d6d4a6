//! `run`: what it keeps, and what it passes through.

use std::process::{Command, Stdio};

use descartes_state::serde_json::{Value, json};

use crate::support::{Place, text};

/// Type and content of events.
pub(crate) fn said(events: &[Value]) -> Vec<(&str, &str)> {
    let pair = |event| (text(event, "event_type"), text(event, "content"));
    events.iter().map(pair).collect()
}

#[test]
fn a_run_leaves_agent_session_transitions_events_and_snapshot() {
    let place = Place::new();
    let script = "echo one; echo two; echo oops >&2; exit 3";
    let options = ["run", "--name", "worker", "--backend", "anthropic", "--"];
    let done = place.run(&[&options[..], &["sh", "-c", script]].concat());
    assert_eq!((done.code, done.text()), (3, "one\ntwo\n"), "{done:?}");
    let (first, summary) = done.stderr.split_once('\n').unwrap();
    assert_eq!(first, "oops");
    assert!(
        summary.contains("\"worker\" failed (exit code 3)"),
        "{summary}"
    );

    let agent = place.json(&["agents", "show", "worker"]);
    assert_eq!(
        (text(&agent, "name"), text(&agent, "status")),
        ("worker", "failed")
    );
    assert_eq!(agent["metadata"], json!({ "backend": "anthropic" }));

    let session = place.session();
    assert_eq!(
        (text(&session, "agent_id"), text(&session, "status")),
        ("worker", "failed")
    );
    assert!(session["ended_at"].as_i64() >= session["started_at"].as_i64());
    assert!(summary.contains(text(&session, "id")), "{summary}");

    let history = place.items(&["history", "worker"]);
    let steps: Vec<_> = history
        .iter()
        .map(|step| {
            let metadata = &step["metadata"];
            assert_eq!(metadata["session_id"], session["id"]);
            (
                text(metadata, "status_before"),
                text(metadata, "status_after"),
            )
        })
        .collect();
    assert_eq!(steps, [("idle", "running"), ("running", "failed")]);
    assert!(text(&history[0], "reason").starts_with("started as process "));
    assert_eq!(text(&history[1], "reason"), "exit code 3");
    assert_eq!(history[1]["state_before"], history[0]["state_after"]);
    assert_eq!(history[1]["state_after"], agent["state_data"]);

    let events = place.events();
    assert_eq!(events.len(), 3);
    for stream in ["stdout", "stderr"] {
        let of_stream = events.iter().filter(|event| event["event_type"] == stream);
        let contents: Vec<_> = of_stream.map(|event| text(event, "content")).collect();
        let expected: &[&str] = if stream == "stdout" {
            &["one", "two"]
        } else {
            &["oops"]
        };
        assert_eq!(contents, expected);
    }
    assert!(events.iter().all(|event| event["actor_id"] == "worker"));

    let snapshots = place.items(&["snapshots", "list", "worker"]);
    assert_eq!(snapshots.len(), 1);
    assert_eq!(snapshots[0]["state_data"], agent["state_data"]);
    assert_eq!(text(&snapshots[0], "status"), "failed");
}

#[test]
fn an_agent_is_named_after_its_command() {
    let place = Place::new();
    assert_eq!(place.run(&["run", "--", "/bin/sh", "-c", ":"]).code, 0);
    assert_eq!(
        text(&place.json(&["agents", "show", "sh"]), "status"),
        "completed"
    );
    assert_eq!(text(&place.session(), "status"), "completed");
}

#[test]
fn a_second_run_goes_on_with_the_agent_in_a_session_of_its_own() {
    let place = Place::new();
    place.run(&["run", "--name", "worker", "--", "false"]);
    let left = place.json(&["agents", "show", "worker"]);
    place.run(&["run", "--name", "worker", "--", "true"]);

    assert_eq!(
        place
            .items(&["sessions", "list", "--agent", "worker"])
            .len(),
        2
    );
    let history = place.items(&["history", "worker"]);
    assert_eq!(history.len(), 5);
    // What the first run left as the state is kept where the second begins.
    assert_eq!(history[2]["state_before"], left["state_data"]);
    let chain = history.windows(2);
    assert!(
        chain
            .into_iter()
            .all(|pair| pair[0]["state_after"] == pair[1]["state_before"])
    );
    assert_eq!(
        text(&place.json(&["agents", "show", "worker"]), "status"),
        "completed"
    );
}

#[test]
fn what_an_application_keeps_of_the_agent_stays() {
    let place = Place::new();
    place.run(&["migrate", "run"]);
    place.store(async |store| {
        let agent = descartes_state::AgentState {
            agent_id: "worker".to_owned(),
            name: "The Worker".to_owned(),
            status: "paused".to_owned(),
            metadata: json!({ "team": 7 }),
            state_data: "precious".to_owned(),
            created_at: 5,
            updated_at: 5,
            version: 3,
        };
        store.save_agent_state(&agent).await
    });
    place.run(&["run", "--name", "worker", "--", "true"]);
    let agent = place.json(&["agents", "show", "worker"]);
    assert_eq!(
        (text(&agent, "name"), &agent["created_at"]),
        ("The Worker", &json!(5))
    );
    assert_eq!(agent["metadata"], json!({ "team": 7, "backend": "local" }));
    let history = place.items(&["history", "worker"]);
    assert_eq!(text(&history[0], "state_before"), "precious");
}

#[test]
fn the_exit_code_is_that_of_the_command_and_as_env_has_it_where_there_is_none() {
    let place = Place::new();
    std::fs::write(place.path().join("no-program"), "data").unwrap();
    let cases: [(&[&str], i32, &str, &str); 6] = [
        (&["true"], 0, "completed", "exit code 0"),
        (&["sh", "-c", "exit 255"], 255, "failed", "exit code 255"),
        (&["sh", "-c", "kill -9 $$"], 137, "failed", "signal 9"),
        (&["sh", "-c", "kill -TERM $$"], 143, "failed", "signal 15"),
        (&["./no-program"], 126, "failed", "cannot be executed"),
        (&["./not-there"], 127, "failed", "was not found"),
    ];
    for (number, (command, code, status, reason)) in cases.into_iter().enumerate() {
        let name = format!("case-{number}");
        let done = place.run(&[&["run", "--name", &name, "--"], command].concat());
        assert_eq!(done.code, code, "{command:?}: {done:?}");
        assert_eq!(done.stderr.lines().count(), 1, "{done:?}");
        assert_eq!(
            text(&place.json(&["agents", "show", &name]), "status"),
            status
        );
        let session = &place.items(&["sessions", "list", "--agent", &name])[0];
        assert_eq!(text(session, "status"), status);
        let history = place.items(&["history", &name]);
        let last = history.last().unwrap();
        assert!(text(last, "reason").contains(reason), "{last}");
    }
}

#[test]
fn output_of_whatever_the_command_leaves_behind_is_kept_too() {
    let place = Place::new();
    assert!(
        Command::new("mkfifo")
            .arg(place.path().join("fifo"))
            .status()
            .unwrap()
            .success()
    );
    let script = "(read go < fifo; echo late) & echo early";
    let mut running = place.start(&["run", "--", "sh", "-c", script]);
    running.wait_for_stdout("early\n");
    std::fs::write(place.path().join("fifo"), "go\n").unwrap();
    let done = running.done();
    assert_eq!((done.code, done.text()), (0, "early\nlate\n"));
    assert_eq!(
        said(&place.events()),
        [("stdout", "early"), ("stdout", "late")]
    );
}

#[test]
fn the_summary_is_one_json_object_where_it_is_asked_for() {
    let place = Place::new();
    let done = place.run(&["run", "--json", "--", "sh", "-c", "echo one; echo two >&2"]);
    assert_eq!(done.text(), "one\n");
    let summary = done.summary();
    let expected = json!({
        "agent_id": "sh", "status": "completed", "reason": "exit code 0", "exit_code": 0, "signal": null,
        "stdout_lines": 1, "stderr_lines": 1, "events": 2, "transitions": 2, "named_sessions": 0,
        "lost_events": 0, "failure": null, "database": "data/agent_state.db",
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&summary[key], value, "{key}");
    }
    assert_eq!(summary["session_id"], place.session()["id"]);
    assert_eq!(
        summary["snapshot_id"],
        place.items(&["snapshots", "list"])[0]["id"]
    );
    assert!(summary["seconds"].is_f64());
}

#[test]
fn runs_at_the_same_time_disturb_each_other_in_nothing() {
    let place = Place::new();
    let script = "i=0; while [ $i -lt 300 ]; do echo $i; i=$((i+1)); done";
    let running: Vec<_> = (0..4)
        .map(|number| {
            let name = format!("worker-{number}");
            place.start(&["run", "--name", &name, "--", "sh", "-c", script])
        })
        .collect();
    for run in running {
        let done = run.done();
        assert_eq!(done.code, 0, "{done:?}");
    }
    let sessions = place.items(&["sessions", "list", "--status", "completed"]);
    assert_eq!(sessions.len(), 4);
    for session in sessions {
        let events = place.items(&["events", text(&session, "id")]);
        let expected: Vec<String> = (0..300).map(|number: u32| number.to_string()).collect();
        let contents: Vec<_> = events.iter().map(|event| text(event, "content")).collect();
        assert_eq!(contents, expected);
    }
}

#[test]
fn a_command_gets_what_looks_like_options_of_ours() {
    let place = Place::new();
    let mut command = place.command(&["run", "--", "echo", "--json", "--db", "x", "--help"]);
    let output = command.stderr(Stdio::null()).output().unwrap();
    assert_eq!(output.stdout, b"--json --db x --help\n");
}
