//! `search`: what it finds of what a program printed, its index, and files that are not where they were.

use std::fs;

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::diesel::{Connection, SqliteConnection};

use crate::support::{Place, text};

const TALK: &str =
    r#"printf '明天开项目评审会议\n\033[31merror\033[0m seen\n{"a":"one\\ntwo"}\nrebuild it\n'"#;

#[test]
fn what_a_program_prints_is_found_as_a_person_sees_it() {
    let place = Place::new();
    place.run(&["run", "--", "sh", "-c", TALK]);
    for (arguments, hits) in [
        (&["search", "项目"][..], 1),
        (&["search", "error"], 1),
        (&["search", "two"], 1),
        (&["search", "err"], 0),
        (&["search", "--word-prefix", "err"], 1),
    ] {
        assert_eq!(place.items(arguments).len(), hits, "{arguments:?}");
    }
    // What is also a verb.
    let page = place.run(&["--json", "search", "--", "rebuild"]).json();
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
}

#[test]
fn the_index_is_checked_and_made_again() {
    let place = Place::new();
    place.run(&["run", "--", "sh", "-c", TALK]);
    assert_eq!(place.json(&["search", "check"])["search_index"], "sound");
    let path = place.database();
    let mut other = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    other
        .batch_execute("DROP TABLE events_search_data")
        .unwrap();
    drop(other);
    let damaged = place.run(&["search", "check"]);
    assert_eq!(damaged.code, 1);
    assert!(
        damaged.stderr.contains("`descartes-state search rebuild`"),
        "{damaged:?}"
    );
    // Agents don't need it.
    assert_eq!(place.items(&["agents", "list"]).len(), 1);
    assert_eq!(
        place.json(&["search", "rebuild"])["search_index"],
        "rebuilt"
    );
    assert_eq!(place.json(&["search", "check"])["search_index"], "sound");
    assert_eq!(place.items(&["search", "项目"]).len(), 1);
}

#[test]
fn a_list_is_followed_from_where_it_ended() {
    let place = Place::new();
    let run = |line: &str| place.run(&["run", "--name", "a", "--", "echo", line]);
    run("word one");
    let page = place.json(&["search", "word", "--oldest-first"]);
    assert!(page["next"].is_null());
    let end = text(&page, "end").to_owned();
    let follow = ["search", "word", "--oldest-first", "--after", &end];
    assert_eq!(place.json(&follow)["items"].as_array().unwrap().len(), 0);
    assert_eq!(text(&place.json(&follow), "end"), end);
    run("word two");
    assert_eq!(place.json(&follow)["items"][0]["content"], "word two");
}

#[test]
fn a_store_that_is_deleted_under_a_run_is_told_and_not_acknowledged() {
    let place = Place::new();
    let script = "echo ready; read go; echo lost";
    let mut running = place.start(&["run", "--", "sh", "-c", script]);
    running.wait_for_stdout("ready\n");
    crate::support::eventually(|| (place.items(&["search", "ready"]).len() == 1).then_some(()));
    fs::remove_file(place.database()).unwrap();
    running.write("go\n");
    let done = running.done();
    assert_eq!(done.code, 125, "{}", done.stderr);
    assert!(
        done.stderr.contains("no longer at its path"),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr.contains("events were NOT recorded"),
        "{}",
        done.stderr
    );
}

#[test]
fn what_the_system_says_of_a_path_is_said_by_its_name() {
    let place = Place::new();
    fs::write(place.path().join("file"), "").unwrap();
    let long = format!("{}.db", "n".repeat(300));
    // Its own name has room, that of a file beside it has none.
    let nearly = "n".repeat(251);
    std::os::unix::fs::symlink("loop", place.path().join("loop")).unwrap();
    for (path, name) in [
        ("file/x.db", "ENOTDIR"),
        (long.as_str(), "ENAMETOOLONG"),
        (nearly.as_str(), "ENAMETOOLONG"),
        ("loop/x.db", "symbolic links"),
    ] {
        let is_nearly = path == nearly;
        for (verb, code) in [(&["agents", "list"][..], 1), (&["run", "--", "true"], 125)] {
            if is_nearly && code == 1 {
                continue;
            }
            let done = place.run(&[&["--db", path], verb].concat());
            assert_eq!(done.code, code, "{done:?}");
            assert!(done.stderr.contains(name), "{}", done.stderr);
            assert!(!done.stderr.contains("makes one"), "{}", done.stderr);
        }
    }
    std::os::unix::fs::symlink("nowhere", place.path().join("dangling")).unwrap();
    let done = place.run(&["--db", "dangling/x.db", "run", "--", "true"]);
    assert_eq!(done.code, 125, "{done:?}");
    assert!(
        done.stderr.contains("a link that leads nowhere"),
        "{done:?}"
    );
    let names: Vec<_> = fs::read_dir(place.path()).unwrap().collect();
    assert_eq!(names.len(), 3, "{names:?}");
}
