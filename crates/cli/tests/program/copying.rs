//! `copy`: from a file to a file, to a server and back.

use descartes_state::serde_json::json;
use rustix::process::Signal;

use crate::support::{Place, in_a_terminal_with, text};

/// A store with a run of so many lines, in the file `data/agent_state.db`.
fn recorded(lines: u32) -> Place {
    let place = Place::new();
    let last = lines.to_string();
    let ended = place.run(&["run", "--name", "count", "--", "seq", &last]);
    assert_eq!(ended.code, 0, "{ended:?}");
    place
}

const FILE: &str = "data/agent_state.db";

#[test]
fn a_store_is_copied_to_a_file_and_shown_the_same() {
    let place = recorded(2000);
    let copied = place.json(&["copy", "--from", FILE, "--to", "new/copy.db"]);
    let events = &copied["tables"][0];
    assert_eq!(events["table"], "events");
    assert_eq!(
        (&events["rows"], &events["copied"]),
        (&json!(2000), &json!(2000))
    );
    let session = text(&place.session(), "id").to_owned();
    for arguments in [
        &["agents", "list"][..],
        &["history", "count"],
        &["events", &session],
        &["search", "1999"],
        &["snapshots", "list"],
    ] {
        let of_copy = [arguments, &["--db", "new/copy.db"]].concat();
        assert_eq!(place.json(arguments), place.json(&of_copy));
    }
    // The copy is one file.
    let files = std::fs::read_dir(place.path().join("new")).unwrap();
    let logs = files.filter(|file| {
        let name = file.as_ref().unwrap().file_name();
        name.to_string_lossy().ends_with("-wal")
    });
    assert_eq!(logs.count(), 0);
}

#[test]
fn a_copy_that_was_killed_goes_on_where_it_was() {
    let place = recorded(30_000);
    let arguments = ["copy", "--from", FILE, "--to", "copy.db"];
    for _ in 0..3 {
        let running = place.start(&arguments);
        crate::support::eventually(|| {
            let there = place.run(&["search", "1", "--db", "copy.db", "--limit", "1"]);
            (there.text().lines().count() > 1).then_some(())
        });
        running.signal(Signal::KILL);
        drop(running.done());
    }
    let report = place.json(&arguments);
    let events = &report["tables"][0];
    assert_eq!(events["rows"], json!(30_000));
    assert!(events["copied"].as_u64().unwrap() < 30_000, "{report}");
    let again = place.json(&arguments);
    assert_eq!(again["tables"][0]["copied"], json!(0));
}

#[test]
fn a_target_with_something_else_and_a_source_that_is_missing_are_refused() {
    let place = recorded(3);
    let other = ["run", "--db", "other.db", "--", "true"];
    assert_eq!(place.run(&other).code, 0);
    let refused = place.run(&["copy", "--from", FILE, "--to", "other.db", "--json"]);
    assert_eq!(
        (refused.code, &refused.error()["kind"]),
        (3, &json!("conflict"))
    );
    let refused = place.run(&["copy", "--from", "nowhere.db", "--to", "new.db", "--json"]);
    assert_eq!(
        (refused.code, &refused.error()["kind"]),
        (4, &json!("no_store"))
    );
    assert!(text(&refused.error(), "message").contains("--from names another"));
    assert!(!place.path().join("new.db").exists());
    assert_eq!(place.run(&["copy", "--from", FILE]).code, 2);
}

#[test]
fn a_store_goes_to_a_server_and_back() {
    let Some(server) = Place::on_a_server() else {
        return;
    };
    let place = recorded(2000);
    let url = server.schema().url();
    let there = place.json(&["copy", "--from", FILE, "--to", &url]);
    let back = place.json(&["copy", "--from", &url, "--to", "back.db"]);
    assert_eq!(there["tables"], back["tables"]);
    assert_eq!(place.session(), server.session());
    // The server goes on where the file was.
    let ended = server.run(&["run", "--name", "count", "--", "echo", "more"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let found = server.json(&["search", "more"]);
    assert_eq!(found["items"][0]["seq"], json!(2001));
}

#[test]
fn only_what_is_under_the_prefix_is_copied() {
    let place = recorded(3);
    let tenant = [
        "run", "--prefix", "tenant", "--name", "count", "--", "seq", "5",
    ];
    assert_eq!(place.run(&tenant).code, 0);
    let copy = ["copy", "--from", FILE, "--to", "copy.db", "--prefix"];
    let only = place.json(&[&copy[..], &["tenant"]].concat());
    assert_eq!(only["tables"][0]["copied"], json!(5));
    let none = place.json(&[&copy[..], &[""]].concat());
    assert_eq!(none["tables"][0]["copied"], json!(3));
    let rest = place.json(&copy[..5]);
    assert_eq!(
        (&rest["tables"][0]["rows"], &rest["tables"][0]["copied"]),
        (&json!(8), &json!(0))
    );
}

#[test]
fn a_terminal_shows_how_far_it_is() {
    let place = recorded(5000);
    let arguments = format!("copy --from {FILE} --to copy.db");
    let Some(running) = in_a_terminal_with(&place, &arguments) else {
        return;
    };
    let ended = running.done();
    assert_eq!(ended.code, 0, "{ended:?}");
    let shown = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(shown.contains("of 5,"), "{shown}");
    assert!(shown.contains("hold the same"), "{shown}");
}
