//! `migrate status`, `migrate run` and `migrate revert`.

use descartes_state::serde_json::{self, Value, json};

use crate::support::{Place, text};

fn versions(list: &Value) -> Vec<i64> {
    let version = |migration: &Value| migration["version"].as_i64().unwrap();
    list.as_array().unwrap().iter().map(version).collect()
}

#[test]
fn run_makes_a_store_and_status_shows_it() {
    let place = Place::new();
    let made = place.json(&["migrate", "run"]);
    let all: Vec<i64> = made["applied"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_i64)
        .collect();
    assert_eq!(all, (1..=all.len() as i64).collect::<Vec<_>>());
    assert_eq!(place.json(&["migrate", "run"]), json!({ "applied": [] }));

    let status = place.json(&["migrate", "status"]);
    assert_eq!(
        (versions(&status["applied"]), &status["pending"]),
        (all.clone(), &json!([]))
    );
    let first = &status["applied"][0];
    assert_eq!(text(first, "name"), "create_agent_states");
    assert!(!text(first, "description").is_empty() && first["applied_at"].is_i64());
    let shown = place.run(&["migrate", "status"]);
    assert_eq!(shown.text().lines().count(), all.len() + 1);
}

#[test]
fn revert_without_yes_says_which_rows_would_go_and_changes_nothing() {
    let place = Place::new();
    place.run(&["run", "--", "echo", "one"]);
    let before = std::fs::read(place.database()).unwrap();
    let done = place.run(&["migrate", "revert"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(
        done.stderr.contains("nothing was changed") && done.stderr.contains("--yes"),
        "{done:?}"
    );
    assert!(std::fs::read(place.database()).unwrap() == before);
    assert_eq!(place.events().len(), 1);
}

#[test]
fn revert_with_yes_takes_one_migration_with_its_rows() {
    let place = Place::new();
    place.run(&["run", "--", "echo", "one"]);
    let count = versions(&place.json(&["migrate", "status"])["applied"]).len();
    // Down to the tables themselves, each with what the preview said.
    for left in (0..count).rev() {
        let preview = place.run(&["migrate", "revert", "--json"]);
        let preview: Value = serde_json::from_slice(&preview.stdout).unwrap();
        assert_eq!(preview["reverted"], false);
        let done = place.json(&["migrate", "revert", "--yes"]);
        assert_eq!(done["reverted"], true);
        assert_eq!(
            (&done["rows"], &done["migration"]["version"]),
            (&preview["rows"], &json!(left + 1))
        );
        for (name, rows) in [
            ("create_events", json!({ "events": 1 })),
            ("create_sessions", json!({ "sessions": 1 })),
            (
                "create_state_transitions",
                json!({ "state_transitions": 2 }),
            ),
            ("create_state_snapshots", json!({ "state_snapshots": 1 })),
            ("create_agent_states", json!({ "agent_states": 1 })),
        ] {
            if text(&done["migration"], "name") == name {
                assert_eq!(done["rows"], rows, "{name}");
            }
        }
        let status = place.json(&["migrate", "status"]);
        assert_eq!(versions(&status["applied"]).len(), left);
        assert_eq!(status["pending"][0]["applied_at"], Value::Null);
    }
    assert_eq!(place.run(&["agents", "list"]).code, 4);
    assert_eq!(place.run(&["migrate", "revert", "--yes"]).code, 1);
    assert_eq!(place.run(&["migrate", "run"]).code, 0);
    assert_eq!(place.items(&["agents", "list"]).len(), 0);
}
