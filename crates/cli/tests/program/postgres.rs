//! The program on a PostgreSQL server; skipped where there is none.

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::serde_json::{Value, json};
use rustix::process::Signal;

use crate::support::{Place, eventually, text};

const LINES: &str = r#"{"run":"fix-1","agent":"coder","event_type":"thought","content":"I open the parser.","state":{"step":1},"n":1.50}
{"run":"fix-1","agent":"coder","event_type":"action","content":"打开 parser.rs","state":{"step":2}}
{"id":"x","content":"once"}
{"id":"x","content":"once"}
{"broken":
plain"#;

/// What every row has of its own.
const OWN: [&str; 14] = [
    "id",
    "event_id",
    "snapshot_id",
    "recorded_in",
    "open_in",
    "seq",
    "session_id",
    "created_at",
    "updated_at",
    "started_at",
    "ended_at",
    "timestamp",
    "recorded_at",
    // As many as the batches that the lines came in.
    "revision",
];

/// Drops what differs from run to run: ids and times, and the texts that hold them.
fn without_own(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| !OWN.contains(&key.as_str()) && key != "recorder");
            fields.values_mut().for_each(without_own);
        }
        Value::Array(items) => items.iter_mut().for_each(without_own),
        Value::String(text)
            if ["session", "process", "snapshot"]
                .iter()
                .any(|own| text.contains(own)) =>
        {
            text.clear();
        }
        _ => {}
    }
}

/// Records the same lines, and returns what every verb shows of them.
fn recorded(place: &Place) -> Vec<Value> {
    std::fs::write(place.path().join("lines"), LINES).unwrap();
    let ended = place.run(&["run", "--jsonl", "--name", "cat", "--", "cat", "lines"]);
    assert_eq!((ended.code, ended.text()), (0, LINES), "{ended:?}");
    let mut shown: Vec<Value> = [
        &["agents", "list"][..],
        &["agents", "show", "coder"],
        &["history", "coder", "--oldest-first"],
        &["history", "cat", "--oldest-first"],
        &["events", "fix-1", "--oldest-first"],
        &["search", "parser"],
        &["search", "打开"],
        &["search", "once", "--limit", "1"],
        &["search", "--word-prefix", "pars"],
        &["snapshots", "list", "coder"],
        &["search", "check"],
    ]
    .iter()
    .map(|arguments| place.json(arguments))
    .collect();
    let sessions = place.json(&["sessions", "list"]);
    let own = sessions["items"].as_array().unwrap();
    let own = own.iter().find(|session| session["agent_id"] == "cat");
    let own = text(own.unwrap(), "id").to_owned();
    shown.push(place.json(&["events", &own, "--oldest-first"]));
    let snapshots = place.json(&["snapshots", "list", "cat"]);
    let restored = place.json(&["snapshots", "restore", text(&snapshots["items"][0], "id")]);
    shown.extend([sessions, snapshots, restored]);
    shown.iter_mut().for_each(without_own);
    shown
}

#[test]
fn the_same_run_is_shown_the_same_by_a_file_and_by_a_server() {
    let Some(server) = Place::on_a_server() else {
        return;
    };
    let (on_server, in_file) = (recorded(&server), recorded(&Place::new()));
    for (server, file) in on_server.iter().zip(&in_file) {
        assert_eq!(server, file);
    }
    assert!(in_file[0]["items"].as_array().unwrap().len() == 2);
    assert!(
        std::fs::read_dir(server.path()).unwrap().count() == 1,
        "nothing but the lines is there"
    );
}

#[test]
fn a_line_with_a_nul_byte_is_kept_whole_where_the_server_can_keep_none() {
    let Some(place) = Place::on_a_server() else {
        return;
    };
    let script =
        r#"printf 'a\0b\n\0\n'; printf '{"content":"c\\u0000d"}\n'; head -c 600000 /dev/zero"#;
    let ended = place.run(&["run", "--jsonl", "--json", "--", "sh", "-c", script]);
    assert_eq!(
        (ended.code, &ended.summary()["lost_events"]),
        (0, &json!(0))
    );
    let events = place.events();
    assert_eq!(events[0]["content"], "a\u{fffd}b");
    assert_eq!(events[0]["metadata"]["raw_hex"], "610062");
    assert_eq!(events[1]["metadata"]["raw_hex"], "00");
    assert_eq!(events[2]["content"], r#"{"content":"c\u0000d"}"#);
    let reason = &events[2]["metadata"]["not_structured"];
    assert!(reason.as_str().unwrap().contains("NUL"), "{reason}");
    let digits = events[3..]
        .iter()
        .filter(|event| event["metadata"].get("interim").is_none())
        .map(|event| text(&event["metadata"], "raw_hex").len())
        .sum::<usize>();
    assert_eq!(digits, 1_200_000);
}

#[test]
fn lines_that_come_while_the_connections_are_cut_are_all_recorded() {
    let Some(place) = Place::on_a_server() else {
        return;
    };
    let script =
        "while read go; do i=0; while [ $i -lt 50 ]; do echo $go $i; i=$((i+1)); done; done";
    let mut running = place.start(&["run", "--json", "--strict", "--", "sh", "-c", script]);
    let schema = place.schema();
    let mut connection = schema.connect();
    for round in 0..6 {
        running.write(&format!("{round}\n"));
        running.wait_for_line();
        schema.cut(&mut connection);
        running.wait_for_end_of_stdout(&format!("{round} 49\n"));
    }
    let ended = running.done();
    assert_eq!(ended.code, 0, "{ended:?}");
    let contents: Vec<String> = place
        .events()
        .iter()
        .filter(|event| event["metadata"].get("interim").is_none())
        .map(|event| text(event, "content").to_owned())
        .collect();
    let expected: Vec<String> = (0..6)
        .flat_map(|round| (0..50).map(move |line| format!("{round} {line}")))
        .collect();
    assert_eq!(contents, expected);
}

#[test]
#[cfg(target_os = "linux")]
fn a_run_that_was_killed_is_known_as_dead_by_its_process_and_swept() {
    let Some(place) = Place::on_a_server() else {
        return;
    };
    let mut running = place.start(&[
        "run",
        "--name",
        "gone",
        "--",
        "sh",
        "-c",
        "echo up; read go",
    ]);
    running.wait_for_stdout("up\n");
    let recorded = || (place.items(&["sessions", "list"]).len() == 1).then_some(());
    eventually(recorded);
    assert_eq!(place.session()["liveness"], "alive");
    running.signal(Signal::KILL);
    drop(running.done());
    assert_eq!(place.session()["liveness"], "dead");
    let swept = place.json(&["sessions", "sweep"]);
    assert_eq!(swept["closed"].as_array().unwrap().len(), 1, "{swept}");
    assert_eq!(place.session()["status"], "abandoned");
    assert_eq!(
        place.json(&["agents", "show", "gone"])["status"],
        "abandoned"
    );
}

#[test]
fn migrations_of_a_server_are_shown_reverted_and_run_again() {
    let Some(place) = Place::on_a_server() else {
        return;
    };
    let refused = place.run(&["agents", "list", "--json"]);
    assert_eq!(
        (refused.code, &refused.error()["kind"]),
        (4, &json!("no_store"))
    );
    let applied = place.json(&["migrate", "run"])["applied"].clone();
    let status = place.json(&["migrate", "status"]);
    assert_eq!(
        status["applied"].as_array().unwrap().len(),
        applied.as_array().unwrap().len()
    );
    assert!(!status.to_string().contains("FTS5"), "{status}");
    assert_eq!(place.run(&["migrate", "revert"]).code, 1);
    place.json(&["migrate", "revert", "--yes"]);
    assert_eq!(
        place.json(&["migrate", "run"])["applied"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn no_output_shows_the_password_of_a_url() {
    let urls = [
        "postgres://ada:s3cret@[::1x/db",
        "postgres://ada:s3cret@h:99999/db",
        "postgres://ada:s3cret@localhost:1/db",
        "postgres://ada:s3cret@localhost:1/db?nonsense=1",
        "postgres://ada:s3cret@localhost:1/db?connect_timeout=s3",
        "postgres://localhost:1/db?user=ada&password=s3cret",
        "postgresql://ada:s3cret@localhost:1,localhost:2/db",
        "postgres://ada:s3cret%00@localhost:1/db",
        "postgres://ada:s3/cret@localhost:1/db",
        "postgres://ada:s3@cret@localhost:1/db",
        "postgres://localhost:1/db?password=s3&cret",
        "postgres://localhost:1/db?password=s3&cret=1",
        "postgress://ada:s3cret@localhost/db",
        "POSTGRES://ada:s3cret@localhost/db",
        "\"postgres://ada:s3cret@localhost/db\"",
    ];
    let place = Place::new();
    for url in urls {
        for arguments in [
            &["agents", "list"][..],
            &["run", "--", "true"],
            &["migrate", "run"],
            &["--help"],
            &["copy", "postgres://ada:s3cret@localhost:1/db"],
        ] {
            for is_variable in [true, false] {
                let mut command = place.command(arguments);
                if is_variable {
                    command.env("DESCARTES_STATE_DB", url);
                } else {
                    command.args(["--db", url]);
                    if arguments[0] == "run" {
                        continue;
                    }
                }
                command.env("RUST_LOG", "trace");
                let ended = crate::support::finish(&mut command);
                let said = format!("{}{}", String::from_utf8_lossy(&ended.stdout), ended.stderr);
                assert!(!said.contains("cret"), "{said}");
                let is_help = arguments == ["--help"];
                assert_eq!(ended.code == 0, is_help, "{url} {arguments:?}: {said}");
            }
        }
    }
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn a_server_that_refuses_is_named_and_the_command_is_not_run() {
    let place = Place::new();
    let mut command = place.command(&["run", "--json", "--", "touch", "ran"]);
    command.env("DESCARTES_STATE_DB", "postgres://ada@localhost:1/state");
    let ended = crate::support::finish(&mut command);
    assert_eq!(
        (ended.code, &ended.error()["kind"]),
        (125, &json!("recording"))
    );
    assert!(text(&ended.error(), "message").contains("localhost"));
    assert!(!place.path().join("ran").exists());
}

#[test]
fn a_table_that_somebody_holds_is_busy_after_the_timeout() {
    let Some(place) = Place::on_a_server() else {
        return;
    };
    place.json(&["migrate", "run"]);
    let mut holder = place.schema().connect();
    holder
        .batch_execute("BEGIN; LOCK TABLE agent_states")
        .unwrap();
    let refused = place.run(&["agents", "list", "--timeout", "0.2", "--json"]);
    assert_eq!(
        (refused.code, &refused.error()["kind"]),
        (5, &json!("busy"))
    );
    holder.batch_execute("ROLLBACK").unwrap();
    assert_eq!(place.items(&["agents", "list"]).len(), 0);
}
