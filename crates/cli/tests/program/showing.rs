//! What people see, and the documented shapes of JSON.

use descartes_state::diesel::prelude::*;
use descartes_state::schema::state_snapshots;
use descartes_state::serde_json::{Value, json};
use descartes_state::uuid::Uuid;
use descartes_state::{SnapshotOptions, Task, TaskStatus};

use crate::support::{Place, finish, start_unheard, text};

fn keys(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[test]
fn lists_are_documents_of_the_librarys_own_records() {
    let place = Place::new();
    place.run(&["run", "--name", "worker", "--", "echo", "word"]);
    place.store(async |store| {
        let task = Task {
            id: Uuid::now_v7(),
            title: "Do it".to_owned(),
            description: None,
            status: TaskStatus::InProgress,
            assigned_to: Some("worker".to_owned()),
            created_at: 1,
            updated_at: 2,
            metadata: None,
        };
        store.save_task(&task).await
    });
    let session = place.session();
    let record = ["namespace", "recorded_at"];
    let cases: [(&[&str], &[&str]); 7] = [
        (
            &["agents", "list"],
            &[
                "agent_id",
                "codec",
                "created_at",
                "is_deleted",
                "key",
                "metadata",
                "name",
                "revision",
                "state_data",
                "status",
                "updated_at",
                "version",
            ],
        ),
        (
            &["history", "worker"],
            &[
                "agent_id",
                "id",
                "metadata",
                "reason",
                "seq",
                "state_after",
                "state_before",
                "timestamp",
            ],
        ),
        (
            &["events", text(&session, "id")],
            &[
                "actor_id",
                "actor_type",
                "content",
                "created_at",
                "event_type",
                "git_commit",
                "id",
                "metadata",
                "seq",
                "session_id",
                "timestamp",
            ],
        ),
        (
            &["search", "word"],
            &[
                "actor_id",
                "actor_type",
                "content",
                "created_at",
                "event_type",
                "git_commit",
                "id",
                "metadata",
                "seq",
                "session_id",
                "timestamp",
            ],
        ),
        (
            &["tasks", "list"],
            &[
                "assigned_to",
                "created_at",
                "description",
                "id",
                "is_deleted",
                "metadata",
                "revision",
                "seq",
                "status",
                "title",
                "updated_at",
            ],
        ),
        (
            &["sessions", "list"],
            &[
                "agent_id",
                "created_at",
                "ended_at",
                "id",
                "is_deleted",
                "metadata",
                "revision",
                "seq",
                "started_at",
                "status",
                "updated_at",
            ],
        ),
        (
            &["snapshots", "list"],
            &[
                "agent_id",
                "created_at",
                "description",
                "expires_at",
                "id",
                "metadata",
                "name",
                "revision",
                "seq",
                "state_data",
                "status",
                "version",
            ],
        ),
    ];
    for (verb, expected) in cases {
        let page = place.json(verb);
        assert_eq!(keys(&page), ["end", "items", "next"]);
        let mut expected = [expected, &record].concat();
        expected.sort_unstable();
        assert_eq!(keys(&page["items"][0]), expected, "{verb:?}");
    }
    assert_eq!(
        place.json(&["agents", "show", "worker"]),
        place.json(&["agents", "list"])["items"][0]
    );
}

#[test]
fn filters_pick_what_they_say() {
    let place = Place::new();
    place.run(&[
        "run",
        "--name",
        "good",
        "--",
        "sh",
        "-c",
        "echo word; echo word >&2",
    ]);
    place.run(&["run", "--name", "bad", "--", "false"]);
    let count = |arguments: &[&str]| place.items(arguments).len();
    assert_eq!(count(&["agents", "list", "--status", "failed"]), 1);
    assert_eq!(count(&["agents", "list", "--status", "none"]), 0);
    assert_eq!(count(&["sessions", "list", "--agent", "good"]), 1);
    assert_eq!(count(&["sessions", "list", "--status", "completed"]), 1);
    assert_eq!(count(&["snapshots", "list", "bad"]), 1);
    assert_eq!(count(&["search", "word", "--type", "stderr"]), 1);
    let sessions = place.items(&["sessions", "list", "--agent", "good"]);
    let session = text(&sessions[0], "id");
    assert_eq!(count(&["events", session, "--type", "stdout"]), 1);
    assert_eq!(count(&["events", session, "--actor", "good"]), 2);
    assert_eq!(count(&["events", session, "--actor", "nobody"]), 0);
    assert_eq!(count(&["search", "word", "--session", session]), 2);
    assert_eq!(
        count(&["tasks", "list", "--status", "todo", "--assigned-to", "good"]),
        0
    );
}

#[test]
fn agents_come_by_id_in_either_order_and_page_on_in_it() {
    let place = Place::new();
    for name in ["b", "c", "a"] {
        place.run(&["run", "--name", name, "--", "true"]);
    }
    let ids = |arguments: &[&str]| {
        let items = place.items(arguments);
        let ids: Vec<String> = items
            .iter()
            .map(|item| text(item, "agent_id").to_owned())
            .collect();
        ids.concat()
    };
    assert_eq!(ids(&["agents", "list"]), "abc");
    let descending = ["agents", "list", "--descending"];
    assert_eq!(ids(&descending), "cba");
    let page = place.json(&[&descending[..], &["--limit", "2"]].concat());
    let next = text(&page, "next").to_owned();
    assert_eq!(ids(&[&descending[..], &["--after", &next]].concat()), "a");
    let turned = place.run(&["agents", "list", "--after", &next]);
    assert_eq!(turned.code, 2, "{turned:?}");
}

#[test]
fn search_takes_whatever_a_person_types_as_plain_words() {
    let place = Place::new();
    place.run(&["run", "--", "echo", "it's C++ (a-b) \"quoted\" AND more"]);
    let found = |words: &[&str]| place.items(&[&["search"], words].concat()).len();
    assert_eq!(found(&["it's"]), 1);
    assert_eq!(found(&["C++", "a-b"]), 1);
    assert_eq!(found(&["\"quoted", "(AND"]), 1);
    assert_eq!(found(&["more", "less"]), 0);
    assert_eq!(found(&["*"]), 0);
}

#[test]
fn nothing_that_is_stored_reaches_the_terminal_raw() {
    let place = Place::new();
    let script = "printf 'a\\033[31m\\033]0;title\\007b\\n\\rc\\tü\\302\\233x\\342\\200\\256y\\n'";
    place.run(&["run", "--name", "n\u{1b}[1m", "--", "sh", "-c", script]);
    let sessions = place.items(&["sessions", "list"]);
    let session = text(&sessions[0], "id");
    let verbs: [&[&str]; 8] = [
        &["agents", "list"],
        &["agents", "show", "n\u{1b}[1m"],
        &["history", "n\u{1b}[1m", "--full"],
        &["events", session],
        &["events", session, "--full"],
        &["search", "title"],
        &["sessions", "list"],
        &["snapshots", "list"],
    ];
    for verb in verbs {
        let done = place.run(verb);
        let obeyed = |character: char| {
            (character.is_control() && character != '\n') || character == '\u{202e}'
        };
        assert!(!done.text().contains(obeyed), "{verb:?}: {done:?}");
        assert_eq!(done.code, 0);
    }
    let shown = place.run(&["events", session]);
    let holds = |part: &str| shown.text().contains(part);
    assert!(
        holds("a\\u{1b}[31m\\u{1b}]0;title\\u{7}b") && holds("\\rc\\tü"),
        "{shown:?}"
    );
}

#[test]
fn columns_are_aligned_and_long_texts_cut_unless_wanted_whole() {
    let place = Place::new();
    let long = "x".repeat(300);
    place.run(&["run", "--name", "a-longer-name", "--", "echo", &long]);
    place.run(&["run", "--name", "b", "--", "echo", "short"]);
    let done = place.run(&["agents", "list"]);
    let column = |line: &str, word: &str| line.find(word).unwrap();
    let lines: Vec<&str> = done.text().lines().collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(column(lines[0], "STATUS"), column(lines[1], "completed"));
    assert_eq!(column(lines[0], "STATUS"), column(lines[2], "completed"));

    let cut = place.run(&["search", &long]);
    assert!(
        cut.text().contains("xx…") && !cut.text().contains(&long),
        "{cut:?}"
    );
    assert!(
        place
            .run(&["search", &long, "--full"])
            .text()
            .contains(&long)
    );
}

#[test]
fn colours_are_for_terminals_only() {
    let place = Place::new();
    place.run(&["run", "--", "true"]);
    assert!(!place.run(&["agents", "list"]).text().contains('\u{1b}'));
    let mut command = place.command(&["agents", "list"]);
    let done = finish(command.env("CLICOLOR_FORCE", "1"));
    assert!(done.text().contains('\u{1b}'), "{done:?}");
}

#[test]
fn times_are_local() {
    let place = Place::new();
    place.run(&["migrate", "run"]);
    place.store(async |store| {
        let agent = descartes_state::AgentState {
            agent_id: "a".to_owned(),
            name: "A".to_owned(),
            status: "idle".to_owned(),
            metadata: json!({}),
            state_data: "{}".to_owned(),
            created_at: 0,
            updated_at: 1_763_856_000,
            version: 1,
        };
        store.save_agent_state(&agent).await
    });
    for (zone, time) in [
        ("UTC0", "2025-11-23 00:00:00"),
        ("XYZ-9", "2025-11-23 09:00:00"),
    ] {
        let done = finish(place.command(&["agents", "list"]).env("TZ", zone));
        assert!(done.text().contains(time), "{zone}: {done:?}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::new();
    place.run(&["run", "--", "seq", "5000"]);
    let sessions = place.items(&["sessions", "list"]);
    let arguments = ["events", text(&sessions[0], "id"), "--limit", "10000"];
    for arguments in [&arguments[..], &[&arguments[..], &["--json"]].concat()] {
        let (child, _stdin) = start_unheard(&mut place.command(arguments));
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(output.stderr, b"", "{output:?}");
    }
}

#[test]
fn snapshots_are_made_listed_and_restored() {
    let place = Place::new();
    place.run(&["run", "--name", "worker", "--", "true"]);
    let made = place.json(&["snapshots", "create", "worker", "--description", "by hand"]);
    assert_eq!(keys(&made), ["agent_id", "snapshot_id"]);
    let then = place.json(&["agents", "show", "worker"]);
    place.run(&["run", "--name", "worker", "--", "false"]);
    assert_eq!(
        text(&place.json(&["agents", "show", "worker"]), "status"),
        "failed"
    );

    let listed = place.items(&["snapshots", "list", "worker"]);
    assert_eq!(listed.len(), 3);
    assert_eq!(listed[1]["id"], made["snapshot_id"]);
    assert_eq!(text(&listed[1], "description"), "by hand");
    let restored = place.json(&["snapshots", "restore", text(&made, "snapshot_id")]);
    assert_eq!(
        keys(&restored),
        ["agent_id", "revision", "snapshot_id", "status"]
    );
    let now = place.json(&["agents", "show", "worker"]);
    for key in ["state_data", "status", "name", "metadata", "version"] {
        assert_eq!(now[key], then[key], "{key}");
    }
    assert_eq!(now["revision"], restored["revision"]);
}

#[test]
fn a_state_that_forbids_the_verb_is_exit_code_3_and_a_kind_of_its_own() {
    let place = Place::new();
    place.run(&["run", "--name", "worker", "--", "true"]);
    place.store(async |store| {
        let options = SnapshotOptions::default().expires_at(1);
        store.snapshots().create("worker", &options).await?;
        Ok(())
    });
    let path = place.database();
    let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    let expired: String = state_snapshots::table
        .filter(state_snapshots::expires_at.eq(1))
        .select(state_snapshots::id)
        .get_result(&mut connection)
        .unwrap();
    let done = place.run(&["snapshots", "restore", &expired, "--json"]);
    assert_eq!(done.code, 3, "{done:?}");
    let error = done.error();
    assert_eq!(text(&error, "kind"), "invalid_state");
    let message = text(&error, "message");
    assert!(
        message.contains(&expired) && message.contains("expired"),
        "{error}"
    );
}

#[test]
fn help_says_the_exit_codes_and_what_a_line_may_hold() {
    let place = Place::new();
    let help = place.run(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    assert!(help.text().contains("Exit codes:") && help.text().contains("125"));
    let help = place.run(&["run", "--help"]);
    assert!(help.text().contains("session_id") && help.text().contains("raw_hex"));
    assert_eq!(
        place.run(&["--version"]).text(),
        concat!("descartes-state ", env!("CARGO_PKG_VERSION"), "\n")
    );
    assert_eq!(place.run(&[]).code, 2);
}
