//! Where the store is, what reading does to it, and the exit codes.

use std::fs;
use std::process::Command;

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::diesel::{Connection, SqliteConnection};
use descartes_state::serde_json::Value;

use crate::support::{Done, Place, finish, text};

/// Every verb that must find a store.
const READING: [&[&str]; 12] = [
    &["agents", "list"],
    &["agents", "show", "a"],
    &["history", "a"],
    &["events", "s"],
    &["search", "word"],
    &["tasks", "list"],
    &["sessions", "list"],
    &["snapshots", "list"],
    &["snapshots", "create", "a"],
    &["snapshots", "restore", "x"],
    &["migrate", "status"],
    &["migrate", "revert"],
];

fn is_one_line(done: &Done) -> bool {
    done.stderr.starts_with("descartes-state: ") && done.stderr.lines().count() == 1
}

fn execute(place: &Place, sql: &str) {
    let path = place.database();
    let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    connection.batch_execute(sql).unwrap();
}

#[test]
fn reading_creates_nothing() {
    let place = Place::new();
    for verb in READING {
        let done = place.run(verb);
        assert_eq!(done.code, 4, "{verb:?}: {done:?}");
        assert!(
            is_one_line(&done) && done.stderr.contains("there is no store"),
            "{done:?}"
        );
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "{verb:?}");
    }
}

#[test]
fn reading_migrates_nothing() {
    let place = Place::new();
    fs::create_dir(place.path().join("data")).unwrap();
    fs::write(place.database(), "").unwrap();
    for verb in READING {
        place.run(verb);
        assert_eq!(fs::read(place.database()).unwrap(), b"", "{verb:?}");
    }

    assert_eq!(place.run(&["migrate", "run"]).code, 0);
    assert_eq!(place.run(&["migrate", "revert", "--yes"]).code, 0);
    let before = fs::read(place.database()).unwrap();
    for verb in READING {
        let done = place.run(verb);
        let expected = if verb[0] != "migrate" {
            4
        } else {
            i32::from(verb[1] == "revert")
        };
        assert_eq!(done.code, expected, "{verb:?}: {done:?}");
        assert!(fs::read(place.database()).unwrap() == before, "{verb:?}");
    }
}

#[test]
fn another_programs_file_and_a_newer_store_are_left_alone() {
    let place = Place::new();
    fs::create_dir(place.path().join("data")).unwrap();
    execute(
        &place,
        "CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1);",
    );
    let before = fs::read(place.database()).unwrap();
    for verb in READING.into_iter().chain([&["migrate", "run"][..]]) {
        let done = place.run(verb);
        assert_eq!(done.code, 4, "{verb:?}: {done:?}");
        assert!(fs::read(place.database()).unwrap() == before, "{verb:?}");
    }
    assert_eq!(place.run(&["run", "--", "true"]).code, 125);
    assert!(fs::read(place.database()).unwrap() == before);

    let place = Place::new();
    assert_eq!(place.run(&["migrate", "run"]).code, 0);
    execute(
        &place,
        "INSERT INTO __diesel_schema_migrations (version) VALUES ('9999');",
    );
    let done = place.run(&["agents", "list", "--json"]);
    assert_eq!(done.code, 4, "{done:?}");
    let error = done.error();
    assert_eq!(text(&error, "kind"), "no_store");
    assert!(text(&error, "message").contains("9999"), "{error}");
}

#[test]
fn the_file_may_be_named_before_or_after_the_verb_or_by_the_environment() {
    let place = Place::new();
    for (file, name) in [("one.db", "first"), ("two.db", "second")] {
        let done = place.run(&["--db", file, "run", "--name", name, "--", "true"]);
        assert_eq!(done.code, 0, "{done:?}");
    }
    let agent = |arguments: &[&str], environment: Option<&str>| {
        let mut command = place.command(arguments);
        if let Some(file) = environment {
            command.env("DESCARTES_STATE_DB", file);
        }
        let page = finish(&mut command).json();
        text(&page["items"][0], "agent_id").to_owned()
    };
    assert_eq!(
        agent(&["--db", "two.db", "agents", "list", "--json"], None),
        "second"
    );
    assert_eq!(
        agent(&["agents", "--db", "two.db", "list", "--json"], None),
        "second"
    );
    assert_eq!(
        agent(&["agents", "list", "--json", "--db", "two.db"], None),
        "second"
    );
    assert_eq!(
        agent(&["agents", "list", "--json"], Some("two.db")),
        "second"
    );
    let both = ["--db", "one.db", "--json", "agents", "list"];
    assert_eq!(agent(&both, Some("two.db")), "first");
    let both = ["agents", "list", "--db", "one.db", "--json"];
    assert_eq!(agent(&both, Some("two.db")), "first");
    assert!(!place.database().exists());
}

#[test]
fn a_prefix_hides_all_others() {
    let place = Place::new();
    place.run(&[
        "--prefix", "left", "run", "--name", "worker", "--", "echo", "word",
    ]);
    let mut command = place.command(&["run", "--name", "worker", "--", "echo", "word"]);
    assert_eq!(
        finish(command.env("DESCARTES_STATE_PREFIX", "right")).code,
        0
    );
    for prefix in ["left", "right"] {
        let agents = place.items(&["agents", "list", "--prefix", prefix]);
        assert_eq!(agents.len(), 1);
        assert_eq!(text(&agents[0], "key"), format!("{prefix}:worker"));
        for verb in [
            &["search", "word"],
            &["sessions", "list"],
            &["snapshots", "list"],
        ] {
            let items = place.items(&[&verb[..], &["--prefix", prefix]].concat());
            assert_eq!(items.len(), 1, "{verb:?}");
        }
    }
    assert_eq!(place.items(&["agents", "list"]).len(), 0);
    assert_eq!(place.run(&["agents", "list", "--prefix", "a\tb"]).code, 0);
    assert_eq!(
        place
            .run(&["agents", "list", "--prefix", &"x".repeat(256)])
            .code,
        2
    );
}

#[test]
fn each_failure_has_its_exit_code_and_one_line() {
    let place = Place::new();
    place.run(&["run", "--name", "worker", "--", "true"]);
    let snapshot = place.items(&["snapshots", "list"])[0].clone();
    let id = text(&snapshot, "id");
    let cases: [(&[&str], i32, &str); 16] = [
        (&["agents", "show", "nobody"], 1, "not_found"),
        (&["history", "nobody"], 1, "not_found"),
        (&["events", "nothing"], 1, "not_found"),
        (&["snapshots", "list", "nobody"], 1, "not_found"),
        (&["snapshots", "create", "nobody"], 1, "not_found"),
        (&["snapshots", "restore", "nothing"], 1, "not_found"),
        (&["migrate", "revert"], 1, "unconfirmed"),
        (&["no-such-verb"], 2, "usage"),
        (&["agents", "list", "--no-such-option"], 2, "usage"),
        (&["agents", "show", ""], 2, "usage"),
        (&["agents", "list", "--limit", "0"], 2, "usage"),
        (&["agents", "list", "--after", "nonsense"], 2, "usage"),
        (&["events", "s", "--after", "i7"], 2, "usage"),
        (&["sessions", "list", "--status", "asleep"], 2, "usage"),
        (&["run", "true"], 2, "usage"),
        (
            &["snapshots", "restore", id, "--if-revision", "1"],
            3,
            "conflict",
        ),
    ];
    for (arguments, code, kind) in cases {
        let done = place.run(arguments);
        assert_eq!(done.code, code, "{arguments:?}: {done:?}");
        assert!(is_one_line(&done), "{arguments:?}: {done:?}");

        let done = place.run(&[&["--json"], arguments].concat());
        assert_eq!(done.code, code, "{arguments:?}: {done:?}");
        let error = done.error();
        assert_eq!(text(&error, "kind"), kind, "{arguments:?}: {error}");
        assert!(!text(&error, "message").is_empty());
    }
}

#[test]
fn a_store_that_another_program_writes_is_read_at_once_and_busy_for_a_write() {
    let place = Place::new();
    place.run(&["run", "--name", "worker", "--", "true"]);
    let path = place.database();
    let mut lock = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    lock.batch_execute("BEGIN IMMEDIATE;").unwrap();
    // With a long timeout it would hang here.
    let done = place.run(&["agents", "list", "--timeout", "100000"]);
    assert_eq!(done.code, 0, "{done:?}");
    let done = place.run(&[
        "snapshots",
        "create",
        "worker",
        "--timeout",
        "0.1",
        "--json",
    ]);
    assert_eq!((done.code, text(&done.error(), "kind")), (5, "busy"));
}

#[test]
fn an_error_stays_in_one_line_whatever_it_quotes() {
    let place = Place::new();
    place.run(&["migrate", "run"]);
    let id = "a\nb\u{1b}[31m\u{202e}";
    let done = place.run(&["agents", "show", id]);
    assert!(is_one_line(&done), "{done:?}");
    assert!(!done.stderr.contains(['\u{1b}', '\u{202e}']), "{done:?}");
    let done = place.run(&["agents", id]);
    assert!(
        is_one_line(&done) && !done.stderr.contains('\u{1b}'),
        "{done:?}"
    );
}

#[test]
fn pages_hold_everything_once_in_either_order() {
    let place = Place::new();
    let script = "i=0; while [ $i -lt 25 ]; do echo word $i; i=$((i+1)); done";
    place.run(&["run", "--", "sh", "-c", script]);
    for name in ["b", "a", "c"] {
        place.run(&["run", "--name", name, "--", "true"]);
    }
    let sessions = place.items(&["sessions", "list", "--agent", "sh"]);
    let session = text(&sessions[0], "id");
    for verb in [
        &["events", session][..],
        &["search", "word"],
        &["sessions", "list"],
        &["agents", "list"],
    ] {
        for order in [&[][..], &["--oldest-first"]] {
            let all = &place.json(&[verb, order].concat())["items"];
            let mut paged = Vec::new();
            let mut cursor = None::<String>;
            loop {
                let mut arguments = [verb, order, &["--limit", "2"]].concat();
                if let Some(cursor) = &cursor {
                    arguments.extend(["--after", cursor]);
                }
                let page = place.json(&arguments);
                paged.extend(page["items"].as_array().unwrap().clone());
                match &page["next"] {
                    Value::Null => break,
                    next => cursor = next.as_str().map(str::to_owned),
                }
            }
            assert_eq!(&Value::Array(paged), all, "{verb:?} {order:?}");
        }
    }
    let done = place.run(&["events", session, "--limit", "2"]);
    assert!(done.stderr.contains("next page: --after b"), "{done:?}");
}

#[test]
fn tracing_is_silent_unless_asked_for() {
    let place = Place::new();
    place.run(&["migrate", "run"]);
    assert_eq!(
        place.run(&["tasks", "list"]).stderr,
        "descartes-state: nothing found\n"
    );
    let traced = |filter: &str| {
        let mut command: Command = place.command(&["tasks", "list"]);
        finish(command.env("RUST_LOG", filter))
    };
    let done = traced("descartes_state=debug");
    assert!(
        done.stderr.contains("tasks.list") && done.text().is_empty(),
        "{done:?}"
    );
    assert_eq!(traced("a=b=c").code, 2);
}
