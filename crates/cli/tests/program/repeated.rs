//! The same input of `run --jsonl` once more, and an id with other content.

use descartes_state::serde_json::Value;

use crate::support::{Place, text};

#[test]
fn the_same_input_once_more_adds_nothing_and_moves_no_state_back() {
    let place = Place::new();
    let named = "{\"session_id\":\"s\",\"id\":1,\"content\":\"one\",\"state\":{\"n\":1}}\n\
                 {\"session_id\":\"s\",\"id\":1,\"content\":\"one\",\"state\":{\"n\":1}}\n\
                 {\"session_id\":\"s\",\"id\":1,\"content\":\"other\",\"state\":{\"n\":2}}\n";
    std::fs::write(place.path().join("named"), named).unwrap();
    std::fs::write(
        place.path().join("more"),
        "{\"session_id\":\"s\",\"id\":9,\"state\":{\"n\":9}}\n",
    )
    .unwrap();
    let run = |file: &str| {
        let done = place.run(&["run", "--jsonl", "--name", "me", "--", "cat", file]);
        assert_eq!(done.code, 0, "{done:?}");
    };
    run("named");
    run("more");
    run("named");
    let events = place.items(&["events", "s"]);
    let said: Vec<_> = events.iter().map(|event| text(event, "content")).collect();
    assert_eq!(
        said[..3],
        ["one", "one", "other"],
        "repeats within one input stay"
    );
    assert_eq!(events.len(), 4);
    assert_eq!(events[2]["metadata"]["other_content_of_id"], true);
    let changes = place
        .items(&["history", "me"])
        .into_iter()
        .filter(|transition| text(transition, "state_after").starts_with("{\"n"))
        .count();
    assert_eq!(changes, 4);

    // Without ids, by the name of the input.
    std::fs::write(place.path().join("plain"), "a\nb\na\n").unwrap();
    for source in ["x", "x", "y"] {
        let done = place.run(&[
            "run", "--source", source, "--name", "it", "--", "cat", "plain",
        ]);
        assert_eq!(done.code, 0, "{done:?}");
    }
    assert_eq!(
        place.items(&["search", "a"]).len() + place.items(&["search", "b"]).len(),
        6
    );
}

#[test]
fn an_id_that_stood_for_something_else_in_an_earlier_input_is_marked() {
    let place = Place::new();
    let run = |line: &str| {
        std::fs::write(place.path().join("input"), line).unwrap();
        let arguments = [
            "run", "--jsonl", "--json", "--name", "me", "--", "cat", "input",
        ];
        assert_eq!(place.run(&arguments).code, 0);
    };
    let marks = || -> Vec<bool> {
        let events = place.items(&["events", "s"]);
        let mark = |event: &Value| event["metadata"].get("other_content_of_id").is_some();
        events.iter().map(mark).collect()
    };
    run("{\"session_id\":\"s\",\"id\":\"a\",\"content\":\"one\"}\n");
    run("{\"session_id\":\"s\",\"id\":\"b\",\"content\":\"one\"}\n");
    run("{\"session_id\":\"s\",\"id\":\"a\",\"content\":\"two\"}\n");
    assert_eq!(marks(), [false, false, true]);
    // Each of them once more, and equal ones more often than before.
    run("{\"session_id\":\"s\",\"id\":\"a\",\"content\":\"two\"}\n");
    run("{\"session_id\":\"s\",\"id\":\"b\",\"content\":\"one\"}\n");
    assert_eq!(marks(), [false, false, true]);
    run(&"{\"session_id\":\"s\",\"id\":\"b\",\"content\":\"one\"}\n".repeat(3));
    assert_eq!(marks(), [false, false, true, false, false]);
}
