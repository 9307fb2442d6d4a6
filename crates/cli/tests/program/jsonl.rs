//! `run --jsonl`: real runs, the project's own sample, and lines of every kind.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use descartes_state::serde_json::{self, Value, json};

use crate::support::{Place, lines, text};

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sample-runs.jsonl")
}

/// What a file of runs holds, by its own words.
struct Runs {
    events: Vec<Value>,
    sessions: BTreeSet<String>,
    /// Each state, by agent: session, state before, state after.
    states: BTreeMap<String, Vec<(String, String, String)>>,
}

impl Runs {
    fn of(path: &Path) -> Self {
        let events: Vec<Value> = lines(path)
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let sessions = events.iter().map(|event| text(event, "run").to_owned());
        let mut last: BTreeMap<String, String> = BTreeMap::new();
        let mut states: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for event in events.iter().filter(|event| !event["state"].is_null()) {
            let (run, state) = (text(event, "run"), text(event, "state"));
            let before = last.insert(run.to_owned(), state.to_owned());
            let before = before.unwrap_or_else(|| "{}".to_owned());
            let of_agent = states.entry(text(event, "agent").to_owned()).or_default();
            of_agent.push((run.to_owned(), before, state.to_owned()));
        }
        Self {
            sessions: sessions.collect(),
            events,
            states,
        }
    }

    fn agents(&self) -> BTreeSet<&str> {
        self.events
            .iter()
            .map(|event| text(event, "agent"))
            .collect()
    }
}

/// Records the file, and compares all that is stored with all that is in it.
fn is_kept_whole(path: &Path) -> Value {
    let place = Place::new();
    let path_text = path.to_str().unwrap();
    let done = place.run(&["run", "--jsonl", "--json", "--", "cat", path_text]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stdout == std::fs::read(path).unwrap());
    let summary = done.summary();

    let runs = Runs::of(path);
    let own = text(&summary, "session_id");
    let sessions = place.items(&["sessions", "list"]);
    let mut ids: BTreeSet<String> = runs.sessions.clone();
    ids.insert(own.to_owned());
    assert_eq!(
        sessions
            .iter()
            .map(|session| text(session, "id").to_owned())
            .collect::<BTreeSet<_>>(),
        ids
    );
    assert!(
        sessions
            .iter()
            .all(|session| text(session, "status") == "completed")
    );

    let mut kept = 0;
    for session in &runs.sessions {
        let said = runs
            .events
            .iter()
            .filter(|event| text(event, "run") == session);
        let events = place.items(&["events", session]);
        assert_eq!(said.clone().count(), events.len(), "{session}");
        for (said, event) in said.zip(&events) {
            for key in ["event_type", "actor_type", "content"] {
                assert_eq!(said[key], event[key], "{key} of {said}");
            }
            assert_eq!(event["metadata"], json!({ "step": said["step"] }));
        }
        kept += events.len();
    }
    assert_eq!(kept, runs.events.len());
    assert_eq!(place.items(&["events", own]).len(), 0);

    for agent in runs.agents() {
        let record = place.json(&["agents", "show", agent]);
        assert_eq!(text(&record, "status"), "completed");
        let stored: Vec<_> = place
            .items(&["history", agent])
            .iter()
            .map(|step| {
                let session = text(&step["metadata"], "session_id");
                let (before, after) = (text(step, "state_before"), text(step, "state_after"));
                (session.to_owned(), before.to_owned(), after.to_owned())
            })
            .collect();
        let expected = runs.states.get(agent).cloned().unwrap_or_default();
        assert_eq!(stored, expected);
        let last = expected.last().map_or("{}", |(_, _, state)| state);
        assert_eq!(text(&record, "state_data"), last);
    }
    summary
}

#[test]
fn the_projects_own_sample_is_kept_whole() {
    let summary = is_kept_whole(&sample());
    assert_eq!(summary["events"], 34);
    assert_eq!(summary["named_sessions"], 4);
    // Six states, and the two steps of the run's own agent.
    assert_eq!(summary["transitions"], 8);
}

#[test]
fn real_runs_of_agents_are_kept_whole() {
    let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/agent-runs.jsonl");
    if !real.exists() {
        eprintln!(
            "{} is not there: the project's own sample instead",
            real.display()
        );
        is_kept_whole(&sample());
        return;
    }
    let summary = is_kept_whole(&real);
    assert_eq!(summary["events"], 2_734);
    assert_eq!(summary["named_sessions"], 111);
    assert_eq!(summary["transitions"], 111 + 2);
}

#[test]
fn a_session_that_is_named_again_is_taken_up_again() {
    let place = Place::new();
    let path = sample();
    let command = ["run", "--jsonl", "--", "cat", path.to_str().unwrap()];
    for _ in 0..2 {
        let done = place.run(&command);
        assert_eq!(done.code, 0, "{}", done.stderr);
    }
    let sessions = place.items(&["sessions", "list"]);
    assert_eq!(sessions.len(), 4 + 2);
    assert!(
        sessions
            .iter()
            .all(|session| text(session, "status") == "completed")
    );
    assert_eq!(place.items(&["events", "sample/booking-1"]).len(), 12);
}

/// Records these lines with `--jsonl`; returns the events of the run's own session.
fn recorded(place: &Place, lines: &[&str]) -> Vec<Value> {
    std::fs::write(place.path().join("lines"), lines.join("\n") + "\n").unwrap();
    let done = place.run(&[
        "run", "--jsonl", "--json", "--name", "me", "--", "cat", "lines",
    ]);
    assert_eq!(done.code, 0, "{done:?}");
    place.items(&["events", text(&done.summary(), "session_id")])
}

#[test]
fn an_object_without_any_known_key_is_an_event_with_all_of_it() {
    let place = Place::new();
    let line = r#"{"level": "info", "msg": "hello there", "n": 1}"#;
    let events = recorded(&place, &[line]);
    assert_eq!(events.len(), 1);
    assert_eq!(
        (text(&events[0], "event_type"), text(&events[0], "content")),
        ("stdout", line)
    );
    assert_eq!(
        (text(&events[0], "actor_type"), text(&events[0], "actor_id")),
        ("agent", "me")
    );
    assert_eq!(
        events[0]["metadata"],
        json!({ "level": "info", "msg": "hello there", "n": 1 })
    );
}

#[test]
fn every_known_key_has_its_place() {
    let place = Place::new();
    let line = json!({
        "event_type": "tool_result", "content": {"ok": true}, "actor_type": "system", "actor_id": "clock",
        "agent": "helper", "session_id": "s-1", "run": "r-1", "metadata": {"a": 1}, "a": 2, "state": {"x": [1]},
    });
    assert_eq!(recorded(&place, &[&line.to_string()]).len(), 0);
    let events = place.items(&["events", "s-1"]);
    assert_eq!(events.len(), 1);
    let event = &events[0];
    assert_eq!(text(event, "event_type"), "tool_result");
    assert_eq!(text(event, "content"), r#"{"ok":true}"#);
    assert_eq!(
        (text(event, "actor_type"), text(event, "actor_id")),
        ("system", "clock")
    );
    assert_eq!(event["metadata"], json!({ "a": 1, "a_": 2, "run": "r-1" }));
    assert_eq!(
        text(&place.json(&["agents", "show", "helper"]), "state_data"),
        r#"{"x":[1]}"#
    );
    let history = place.items(&["history", "helper"]);
    assert_eq!(
        history[0]["metadata"],
        json!({ "session_id": "s-1", "event_id": event["id"] })
    );
}

#[test]
fn a_line_that_is_no_such_object_is_kept_as_it_is() {
    let place = Place::new();
    let too_long = json!({ "agent": "x".repeat(600) }).to_string();
    let too_large = json!({ "blob": "x".repeat(1_100_000) }).to_string();
    let lines = [
        "plain text",
        "[1, 2]",
        "\"text\"",
        "{\"cut\": ",
        "{\"actor_type\": \"robot\", \"content\": \"beep\"}",
        "{\"agent\": true}",
        "{\"run\": \"a\\u0000b\"}",
        &too_long,
        &too_large,
        "{\"no_number\": NaN}",
        "",
    ];
    let events = recorded(&place, &lines);
    let contents: Vec<_> = events.iter().map(|event| text(event, "content")).collect();
    assert_eq!(contents, lines);
    for (place, event) in events.iter().enumerate() {
        assert_eq!(text(event, "event_type"), "stdout");
        assert_eq!(event["metadata"]["line"], place + 1);
        let says_why = event["metadata"].get("not_structured").is_some();
        assert_eq!(says_why, lines[place].starts_with('{'), "{event}");
    }
}

#[test]
fn the_state_that_an_agent_prints_is_what_a_snapshot_restores() {
    let place = Place::new();
    recorded(
        &place,
        &[r#"{"state": {"step": 1}}"#, r#"{"state": {"step": 2}}"#],
    );
    let agent = place.json(&["agents", "show", "me"]);
    assert_eq!(
        (text(&agent, "state_data"), text(&agent, "status")),
        (r#"{"step": 2}"#, "completed")
    );
    let steps: Vec<_> = place
        .items(&["history", "me"])
        .iter()
        .map(|step| {
            (
                text(step, "state_before").to_owned(),
                text(step, "state_after").to_owned(),
            )
        })
        .filter(|(_, after)| after.contains("step"))
        .collect();
    let pair = |before: &str, after: &str| (before.to_owned(), after.to_owned());
    assert_eq!(
        steps,
        [
            pair("{}", r#"{"step": 1}"#),
            pair(r#"{"step": 1}"#, r#"{"step": 2}"#)
        ]
    );

    let snapshot = place.items(&["snapshots", "list", "me"])[0].clone();
    recorded(&place, &[r#"{"state": "elsewhere"}"#]);
    assert_eq!(
        text(&place.json(&["agents", "show", "me"]), "state_data"),
        "elsewhere"
    );
    assert_eq!(
        place
            .run(&["snapshots", "restore", text(&snapshot, "id")])
            .code,
        0
    );
    assert_eq!(
        text(&place.json(&["agents", "show", "me"]), "state_data"),
        r#"{"step": 2}"#
    );
}

#[test]
fn standard_error_is_structured_too() {
    let place = Place::new();
    let script = r#"echo '{"event_type": "alarm", "content": "fire"}' >&2"#;
    place.run(&["run", "--jsonl", "--", "sh", "-c", script]);
    let events = place.events();
    assert_eq!(
        (text(&events[0], "event_type"), text(&events[0], "content")),
        ("alarm", "fire")
    );
}

#[test]
fn without_the_option_an_object_is_a_line_like_any_other() {
    let place = Place::new();
    let line = r#"{"event_type":"thought","agent":"other"}"#;
    place.run(&["run", "--", "echo", line]);
    let events = place.events();
    assert_eq!(
        (text(&events[0], "event_type"), text(&events[0], "content")),
        ("stdout", line)
    );
    assert_eq!(place.items(&["agents", "list"]).len(), 1);
}

#[test]
fn nul_and_every_other_character_come_back() {
    let place = Place::new();
    let content = "a\0b\u{1b}[0m\u{202e}ü🙂\u{7f}";
    let line = json!({ "content": content, "state": content, "x": content }).to_string();
    let events = recorded(&place, &[&line]);
    assert_eq!(text(&events[0], "content"), content);
    assert_eq!(text(&events[0]["metadata"], "x"), content);
    assert_eq!(
        text(&place.json(&["agents", "show", "me"]), "state_data"),
        content
    );
}

#[test]
fn one_odd_field_costs_a_line_neither_its_session_nor_its_state() {
    let place = Place::new();
    let lines = [
        "{\"session_id\":\"s\",\"content\":\"half \\ud83d\",\"state\":{\"n\":1}}",
        "\u{feff}{\"session_id\":\"s\",\"role\":\"assistant\",\"content\":\"marked\",\"state\":{\"n\":2}}",
        "\u{1e}{\"session_id\":\"s\",\"role\":\"tool\",\"content\":\"record\",\"state\":{\"n\": 3.10}}",
        "{\"run\":42,\"actor_type\":\"assistant\",\"content\":\"number\",\"state\":{\"n\":1234567890123456789012}}",
        "{\"session_id\":\"s\",\"timestamp\":\"2025-11-23T00:00:00Z\",\"content\":\"then\"}",
    ];
    std::fs::write(place.path().join("lines"), lines.join("\n") + "\n").unwrap();
    let done = place.run(&[
        "run", "--jsonl", "--json", "--name", "me", "--", "cat", "lines",
    ]);
    assert_eq!(done.summary()["unstructured_lines"], 0, "{done:?}");
    let events = place.items(&["events", "s"]);
    let said: Vec<_> = events.iter().map(|event| text(event, "content")).collect();
    assert_eq!(said, ["half \u{fffd}", "marked", "record", "then"]);
    assert_eq!(events[3]["timestamp"], 1_763_856_000);
    assert_eq!(text(&events[1], "actor_type"), "agent");
    assert_eq!(text(&events[2], "actor_type"), "system");
    assert_eq!(place.items(&["events", "42"]).len(), 1);
    let states: Vec<_> = place
        .items(&["history", "me"])
        .iter()
        .map(|transition| text(transition, "state_after").to_owned())
        .filter(|state| state.starts_with("{\"n"))
        .collect();
    assert_eq!(
        states,
        [
            "{\"n\":1}",
            "{\"n\":2}",
            "{\"n\": 3.10}",
            "{\"n\":1234567890123456789012}"
        ]
    );
}

#[test]
fn metadata_keeps_its_digits_and_the_order_of_its_keys() {
    use descartes_state::diesel::prelude::*;
    use descartes_state::schema::events;

    let place = Place::new();
    let lines = [
        r#"{"content":"a","z":1.10,"a":12345678901234567890123,"m":{"e": 1e400,"d":[0.1000000000000000055511151231257827]}}"#,
        r#"{"content":"b","z":2.0,"metadata":{"y": 1.10, "b":-0,"a":1E5},"y":"\ud83d","id":7}"#,
    ];
    let kept = [
        r#"{"z":1.10,"a":12345678901234567890123,"m":{"e": 1e400,"d":[0.1000000000000000055511151231257827]}}"#,
        r#"{"y": 1.10, "b":-0,"a":1E5,"id":"7","z":2.0,"y_":"\ufffd"}"#,
    ];
    std::fs::write(place.path().join("lines"), lines.join("\n")).unwrap();
    let run = ["run", "--jsonl", "--json", "--", "cat", "lines"];
    let summary = place.run(&run).summary();
    assert_eq!(
        (&summary["events"], &summary["unstructured_lines"]),
        (&json!(2), &json!(0))
    );
    let mut connection = SqliteConnection::establish(place.database().to_str().unwrap()).unwrap();
    let stored: Vec<Option<String>> = events::table
        .filter(events::content.eq_any(["a", "b"]))
        .order(events::seq)
        .select(events::metadata)
        .load(&mut connection)
        .unwrap();
    let stored: Vec<_> = stored.iter().flatten().collect();
    assert_eq!(stored, kept);

    // Not read as JSON here: this reader has no number so large.
    let session = text(&summary, "session_id");
    let listed = place.run(&["events", session, "--json"]);
    assert!(listed.text().contains(kept[0]) && listed.text().contains(kept[1]));
    assert_eq!(listed.text().lines().count(), 1);
    let found = place.run(&["search", "b", "--json"]).json();
    assert_eq!(found["items"][0]["metadata"]["y"], 1.1);
}

#[test]
fn lines_that_cannot_be_used_are_counted_and_the_reason_is_said() {
    let place = Place::new();
    let lines =
        "{\"session_id\":\"s\",\"x\":NaN}\n{\"agent\":true}\nno object\n{\"content\":\"fine\"}\n";
    std::fs::write(place.path().join("lines"), lines).unwrap();
    let command = ["run", "--jsonl", "--name", "me", "--", "cat", "lines"];
    let done = place.run(&command);
    assert!(
        done.stderr.contains("2 lines could not be used as objects"),
        "{done:?}"
    );
    assert_eq!(done.code, 0);
}
