//! `run`: what it keeps, and what it passes through.

use std::io::Write as _;
use std::process::{Command, Stdio};

use descartes_state::serde_json::{self, Value, json};

use crate::support::{Place, eventually, finish, start_unheard, text};

/// Type and content of events.
fn said(events: &[Value]) -> Vec<(&str, &str)> {
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
fn every_byte_passes_through_and_none_is_lost() {
    let place = Place::new();
    let bytes: Vec<u8> = (0..20_u8)
        .flat_map(|round| (0..=255_u8).map(move |byte| byte.wrapping_mul(7).wrapping_add(round)))
        .collect();
    std::fs::write(place.path().join("bytes"), &bytes).unwrap();
    let done = place.run(&["run", "--", "cat", "bytes"]);
    assert_eq!(done.stdout, bytes);

    // The lines, put together again, are the bytes.
    let mut kept = Vec::new();
    for event in place.events() {
        match event["metadata"]["raw_hex"].as_str() {
            Some(digits) => {
                assert!(text(&event, "content").contains('\u{fffd}'));
                kept.extend(digits.as_bytes().chunks(2).map(|pair| {
                    u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()
                }));
            }
            None => kept.extend(text(&event, "content").as_bytes()),
        }
        if event["metadata"].get("unterminated").is_none() {
            kept.push(b'\n');
        }
    }
    assert!(kept == bytes, "{} of {} bytes", kept.len(), bytes.len());
}

#[test]
fn a_last_line_without_a_newline_is_kept_and_marked() {
    let place = Place::new();
    place.run(&["run", "--", "printf", "one\\n\\nlast"]);
    let events = place.events();
    assert_eq!(
        said(&events),
        [("stdout", "one"), ("stdout", ""), ("stdout", "last")]
    );
    let marked: Vec<_> = events
        .iter()
        .map(|event| event["metadata"].get("unterminated"))
        .collect();
    assert_eq!(marked, [None, None, Some(&json!(true))]);
    assert_eq!(events[2]["metadata"]["line"], 3);
}

#[test]
fn output_comes_at_once_and_input_goes_to_the_command() {
    let place = Place::new();
    let script = "printf 'name? '; read name; echo \"hello $name\"";
    let mut running = place.start(&["run", "--", "sh", "-c", script]);
    // There is no newline yet.
    running.wait_for_stdout("name? ");
    running.write("you\n");
    let done = running.done();
    assert_eq!((done.code, done.text()), (0, "name? hello you\n"));
}

#[test]
fn a_line_is_in_the_store_while_the_command_still_runs() {
    let place = Place::new();
    let mut running = place.start(&["run", "--", "sh", "-c", "echo first; read go; echo second"]);
    running.wait_for_stdout("first\n");
    let found = eventually(|| {
        let page = place.json(&["search", "first"]);
        page["items"].as_array().unwrap().first().cloned()
    });
    assert_eq!(text(&found, "content"), "first");
    assert_eq!(text(&place.session(), "status"), "active");
    assert_eq!(
        text(&place.json(&["agents", "show", "sh"]), "status"),
        "running"
    );
    running.write("go\n");
    assert_eq!(running.done().code, 0);
    assert_eq!(place.events().len(), 2);
}

#[test]
fn a_line_above_the_limit_comes_in_parts_and_loses_nothing() {
    let place = Place::new();
    let line = "aü".repeat(1000);
    let file = format!("{line}\nshort\n");
    std::fs::write(place.path().join("long"), &file).unwrap();
    let done = place.run(&["run", "--line-limit", "1024", "--", "cat", "long"]);
    assert_eq!(done.text(), file);

    let events = place.events();
    let (last, parts) = events.split_last().unwrap();
    assert_eq!(
        (text(last, "content"), &last["metadata"]["line"]),
        ("short", &json!(2))
    );
    assert!(last["metadata"].get("part").is_none());
    let contents: Vec<_> = parts.iter().map(|part| text(part, "content")).collect();
    assert_eq!(contents.concat(), line);
    assert!(contents.iter().all(|content| content.len() <= 1024));
    for (place, part) in parts.iter().enumerate() {
        let metadata = &part["metadata"];
        assert_eq!(
            (&metadata["line"], &metadata["part"]),
            (&json!(1), &json!(place + 1))
        );
        let is_last = place + 1 == parts.len();
        assert_eq!(
            metadata["parts"],
            if is_last {
                json!(parts.len())
            } else {
                Value::Null
            }
        );
    }
}

#[test]
fn a_line_of_many_megabytes_is_one_event_without_a_limit_of_ones_own() {
    let place = Place::new();
    let script = "head -c 5000000 /dev/zero | tr '\\0' x; echo";
    let done = place.run(&["run", "--json", "--", "sh", "-c", script]);
    assert_eq!(done.stdout.len(), 5_000_001);
    assert_eq!(done.summary()["events"], 1);
    assert_eq!(text(&place.events()[0], "content").len(), 5_000_000);
}

#[test]
fn a_long_line_that_is_no_text_loses_nothing() {
    let place = Place::new();
    let bytes = [vec![0xFF; 1_200_000], b"\n".to_vec()].concat();
    std::fs::write(place.path().join("bytes"), &bytes).unwrap();
    let done = place.run(&["run", "--", "cat", "bytes"]);
    assert_eq!(
        (done.code, done.stdout.len()),
        (0, bytes.len()),
        "{}",
        done.stderr
    );
    let events = place.events();
    let digits: usize = events
        .iter()
        .map(|event| text(&event["metadata"], "raw_hex").len())
        .sum();
    assert_eq!(digits, 2 * 1_200_000);
    assert_eq!(events.last().unwrap()["metadata"]["parts"], events.len());
}

#[test]
fn lines_commit_in_batches_of_at_most_256() {
    let place = Place::new();
    let mut command = place.command(&["run", "--", "seq", "5000"]);
    let done = finish(command.env("RUST_LOG", "descartes_state=debug"));
    let commits = done.stderr.matches("operation=\"transact\"").count();
    // The three steps of the agent's life, and the lines.
    assert!(
        (3 + 5000_usize.div_ceil(256)..200).contains(&commits),
        "{commits}"
    );
}

/// One line that is longer than the memory that it may take.
#[cfg(target_os = "linux")]
#[test]
fn memory_stays_bounded_however_long_a_line_is() {
    let place = Place::new();
    let script = "head -c 160000000 /dev/zero | tr '\\0' x; read go";
    let arguments = ["run", "--line-limit", "65536", "--", "sh", "-c", script];
    let mut running = place.start(&arguments);
    let pid = running.pid();
    // All but the last part, which waits for the end of the line.
    let parts = 160_000_000 / 65_536;
    eventually(|| {
        let sessions = place.run(&["sessions", "list", "--json"]);
        let sessions: Value = serde_json::from_slice(&sessions.stdout).ok()?;
        let session = sessions["items"][0]["id"].as_str()?;
        let newest = place.json(&["events", session, "--limit", "1"]);
        (newest["items"][0]["metadata"]["part"] == parts).then_some(())
    });
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    running.write("go\n");
    let done = running.done();
    assert_eq!((done.code, done.stdout.len()), (0, 160_000_000));
    assert!(kilobytes < 150_000, "{kilobytes} kB");
}

#[test]
fn a_reader_that_goes_away_ends_neither_the_command_nor_the_recording() {
    let place = Place::new();
    let script = "read go; for i in 1 2 3 4 5 6 7 8 9; do echo $i; done; echo end >&2";
    let (child, mut stdin) = start_unheard(&mut place.command(&["run", "--", "sh", "-c", script]));
    stdin.write_all(b"go\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(
        stderr.contains("standard output is no longer passed on"),
        "{stderr}"
    );
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert_eq!(place.events().len(), 10);
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
