//! Children in the background that hold the output open when the command exits.
#![cfg(target_os = "linux")]

use std::process::Command;

use crate::support::{PROGRAM, Place, Running, eventually, text};

#[test]
fn an_exit_is_recorded_when_it_happens_and_a_signal_then_only_ends_the_waiting() {
    let place = Place::new();
    let mut running = place.start(&[
        "run",
        "--linger",
        "forever",
        "--json",
        "--",
        "sh",
        "-c",
        "sleep 1000 & echo $!; exit 3",
    ]);
    running.wait_for_end_of_stdout("\n");
    let exit = eventually(|| {
        let history = place.items(&["history", "sh"]);
        history
            .into_iter()
            .find(|transition| transition["reason"] == "exit code 3")
    });
    assert_eq!(exit["metadata"]["status_after"], "failed");
    assert_eq!(place.session()["status"], "active", "output may still come");
    running.signal(rustix::process::Signal::TERM);
    let done = running.done();
    assert_eq!(done.code, 3, "{done:?}");
    let summary = done.summary();
    assert_eq!(text(&summary, "status"), "failed");
    let held_by = summary["held_by"].as_array().unwrap();
    let sleeper = done.text().trim().to_owned();
    assert_eq!(held_by.as_slice(), [format!("sleep ({sleeper})")]);
    assert_eq!(text(&place.session(), "status"), "failed");
    // It goes on undisturbed.
    let killed = Command::new("kill").arg(&sleeper).status();
    assert!(killed.unwrap().success());
}

#[test]
fn who_writes_on_after_the_run_is_not_hurt() {
    let place = Place::new();
    let script =
        "(while [ ! -e stop ]; do echo x || touch broken; sleep 0.02; done; touch ended) & exit 0";
    let done = place.run(&["run", "--linger", "0", "--", "sh", "-c", script]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.stderr.contains("still held open by sh"), "{done:?}");
    std::fs::write(place.path().join("stop"), "").unwrap();
    eventually(|| place.path().join("ended").exists().then_some(()));
    assert!(!place.path().join("broken").exists());
}

#[test]
fn a_reader_that_rests_gets_all_of_it_after_the_exit() {
    for options in [&["run"][..], &["run", "--strict"]] {
        let place = Place::new();
        let rest = r#"exec 3<&0; "$@" </dev/null | { read go <&3; cat; }"#;
        let mut command = Command::new("sh");
        command.args(["-c", rest, "sh", PROGRAM]).args(options);
        // It fits into the pipes, so that the command exits, and nothing is taken from then on but what is on its way.
        command.args(["--linger", "0", "--", "seq", "20000"]);
        place.prepare(&mut command);
        let mut running = Running::new(&mut command);
        eventually(|| {
            let history = place.run(&["history", "seq"]);
            history.text().contains("exit code 0").then_some(())
        });
        running.write("go\n");
        let done = running.done();
        let expected: String = (1..=20_000).map(|number| format!("{number}\n")).collect();
        assert!(
            done.text() == expected,
            "{options:?}: {}",
            done.text().len()
        );
    }
}
