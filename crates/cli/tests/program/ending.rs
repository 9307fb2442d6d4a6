//! What ends with a command that was asked to end, and what goes on.

use descartes_state::serde_json::Value;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{PROGRAM, Place, Running, end, eventually, in_a_terminal, is_alive, text};

/// Starts the program without a terminal, whatever the tests were started from.
fn without_a_terminal(place: &Place, arguments: &[&str]) -> Running {
    let mut command = std::process::Command::new("setsid");
    command.arg(PROGRAM).args(arguments);
    place.prepare(&mut command);
    Running::new(&mut command)
}

/// Waits for a file that a script writes, and returns the words of its first line.
pub(crate) fn words(place: &Place, name: &str) -> Vec<String> {
    eventually(|| {
        let text = std::fs::read_to_string(place.path().join(name)).ok()?;
        let line = text.strip_suffix('\n')?;
        Some(line.split(' ').map(str::to_owned).collect())
    })
}

/// A child in the command's group; one that has lost its parent; and one in a session of its own that has.
const THREE: &str = "exec 3> /dev/null; sleep 600 >&3 2>&3 & a=$!; \
    sh -c 'sleep 600 >&3 2>&3 & echo $! > orphan'; \
    sh -c 'setsid sh -c \"echo \\$\\$ > daemon; exec sleep 600 >&3 2>&3\" &'; \
    while [ ! -s daemon ]; do sleep 0.01; done; echo $a $(cat orphan daemon) > all; ";

#[test]
fn without_a_terminal_an_ending_reaches_the_group_and_names_who_left_it() {
    let place = Place::new();
    let script = format!("{THREE} echo ready; wait; sleep 600");
    let mut running = without_a_terminal(&place, &["run", "--json", "--", "sh", "-c", &script]);
    running.wait_for_stdout("ready\n");
    let pids = words(&place, "all");
    running.signal(Signal::TERM);
    let done = running.done();
    let summary = done.summary();
    let survivors: Vec<&str> = summary["survivors"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(survivors, [format!("sleep ({})", pids[2])], "{done:?}");
    let alive: Vec<bool> = pids.iter().map(|pid| is_alive(pid)).collect();
    assert_eq!(alive, [false, false, true]);
    end(&pids[2]);
    let session = place.session();
    assert_eq!(text(&session["metadata"], "ending_reaches"), "group");
    assert_eq!(text(&session, "status"), "terminated");
}

#[test]
fn in_a_terminal_an_ending_reaches_every_descendant() {
    let place = Place::new();
    std::fs::write(
        place.path().join("script"),
        format!("{THREE} echo ready; wait; sleep 600"),
    )
    .unwrap();
    let Some(mut running) = in_a_terminal(&place, "-- sh script") else {
        return;
    };
    running.wait_for_stdout("ready\r\n");
    let pids = words(&place, "all");
    let session = place.session();
    assert_eq!(text(&session["metadata"], "ending_reaches"), "descendants");
    let recorder = session["metadata"]["recorder"]["pid"].as_i64().unwrap();
    let recorder = Pid::from_raw(i32::try_from(recorder).unwrap()).unwrap();
    kill_process(recorder, Signal::TERM).unwrap();
    running.done();
    for pid in pids {
        assert!(!is_alive(&pid));
    }
    assert_eq!(text(&place.session(), "status"), "terminated");
}

#[test]
fn what_does_not_end_within_the_grace_is_killed_with_all_the_rest() {
    let place = Place::new();
    let script = "trap '' TERM; sh -c 'echo $$ > deaf; while :; do sleep 0.05; done' & \
                  echo ready; while :; do sleep 0.05; done";
    let arguments = ["run", "--grace", "0.2", "--", "sh", "-c", script];
    let mut running = without_a_terminal(&place, &arguments);
    running.wait_for_stdout("ready\n");
    let deaf = words(&place, "deaf");
    running.signal(Signal::TERM);
    let done = running.done();
    assert_eq!(done.code, 137, "{done:?}");
    assert!(!is_alive(&deaf[0]));
}

#[test]
fn a_command_that_ends_by_itself_leaves_its_background_alone() {
    let place = Place::new();
    let script = format!("{THREE} exit 3");
    let done = without_a_terminal(&place, &["run", "--json", "--", "sh", "-c", &script]).done();
    assert_eq!(done.code, 3);
    assert_eq!(done.summary()["survivors"].as_array().unwrap().len(), 0);
    for pid in words(&place, "all") {
        assert!(is_alive(&pid));
        end(&pid);
    }
}

/// The recorder is the parent of whom the command leaves behind, and there may be any number of them in a long run.
#[test]
fn what_a_command_leaves_behind_is_reaped_once_it_has_ended() {
    let place = Place::new();
    let script = "i=0; while [ $i -lt 20 ]; do sh -c 'true &'; i=$((i+1)); done; echo ready; \
                  read x; exit 0";
    let mut running = without_a_terminal(&place, &["run", "--", "sh", "-c", script]);
    running.wait_for_stdout("ready\n");
    let recorder = running.pid().to_string();
    eventually(|| {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let mut stats =
            all.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
        let is_zombie = |stat: String| {
            let (_, rest) = stat.rsplit_once(") ").unwrap();
            let mut fields = rest.split(' ');
            fields.next() == Some("Z") && fields.next() == Some(&recorder)
        };
        (!stats.any(is_zombie)).then_some(())
    });
    running.write("\n");
    assert_eq!(running.done().code, 0);
}
