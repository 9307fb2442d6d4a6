//! `run` and signals: the command ends, and the record is whole.

use descartes_state::serde_json::Value;
use rustix::process::Signal;

use crate::support::{Place, Running, in_a_terminal, text};

/// Whether this program ignores a signal, as under `nohup`: the program under test then does so too.
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.unwrap_or(0) >> (signal.as_raw() - 1) & 1 == 1
}

fn ready(place: &Place, options: &[&str], script: &str) -> Running {
    let arguments = [&["run"], options, &["--", "sh", "-c", script]].concat();
    let mut running = place.start(&arguments);
    running.wait_for_end_of_stdout("ready\n");
    running
}

#[test]
fn a_signal_ends_the_command_and_closes_the_session_as_terminated() {
    for (signal, name) in [
        (Signal::INT, "SIGINT"),
        (Signal::TERM, "SIGTERM"),
        (Signal::HUP, "SIGHUP"),
    ] {
        if is_ignored(signal) {
            eprintln!("{name} is ignored here: not tried");
            continue;
        }
        let place = Place::new();
        let running = ready(&place, &["--name", "worker"], "echo ready; exec sleep 600");
        running.signal(signal);
        let done = running.done();
        assert_eq!(done.code, 128 + signal.as_raw(), "{done:?}");

        assert_eq!(text(&place.session(), "status"), "terminated");
        assert!(place.session()["ended_at"].is_i64());
        let agent = place.json(&["agents", "show", "worker"]);
        assert_eq!(text(&agent, "status"), "terminated");
        let history = place.items(&["history", "worker"]);
        assert_eq!(
            text(history.last().unwrap(), "reason"),
            format!("{name}: signal {}", signal.as_raw())
        );
        assert_eq!(text(&place.events()[0], "content"), "ready");
        assert_eq!(place.items(&["snapshots", "list", "worker"]).len(), 1);
    }
}

#[test]
fn what_a_command_says_while_it_cleans_up_is_kept_and_its_exit_code_given() {
    let place = Place::new();
    let script = "trap 'echo cleaned; exit 7' TERM; echo ready; while :; do read x; done";
    let running = ready(&place, &[], script);
    running.signal(Signal::TERM);
    let done = running.done();
    assert_eq!(
        (done.code, done.text()),
        (7, "ready\ncleaned\n"),
        "{done:?}"
    );
    assert_eq!(place.events().len(), 2);
    assert_eq!(text(&place.session(), "status"), "terminated");
}

#[test]
fn a_command_that_ignores_the_signal_is_killed_after_the_grace() {
    let place = Place::new();
    let script = "trap '' TERM; echo ready; exec sleep 600";
    let running = ready(&place, &["--grace", "0.1"], script);
    running.signal(Signal::TERM);
    let done = running.done();
    assert_eq!(done.code, 128 + 9, "{done:?}");
    assert_eq!(text(&place.session(), "status"), "terminated");
}

#[test]
fn a_second_signal_kills_at_once() {
    let place = Place::new();
    let script = "trap 'echo heard' TERM; echo ready; while :; do read x; done";
    let mut running = ready(&place, &["--grace", "100000"], script);
    running.signal(Signal::TERM);
    running.wait_for_end_of_stdout("heard\n");
    running.signal(Signal::TERM);
    let done = running.done();
    assert_eq!(done.code, 128 + 9, "{done:?}");
}

#[test]
fn a_signal_ends_the_wait_for_output_that_others_hold_open() {
    let place = Place::new();
    let script = "(trap '' HUP INT TERM; exec sleep 600) & echo $! > pid; echo ready";
    let running = ready(&place, &["--linger", "forever"], script);
    // The command itself has ended by then.
    crate::support::eventually(|| {
        let history = place.items(&["history", "sh"]);
        let has_exited = |transition: &Value| transition["reason"] == "exit code 0";
        history.iter().any(has_exited).then_some(())
    });
    running.signal(Signal::TERM);
    let done = running.done();
    let pid = std::fs::read_to_string(place.path().join("pid")).unwrap();
    let pid = rustix::process::Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
    assert_eq!(text(&place.session(), "status"), "completed", "{done:?}");
    assert_eq!(place.events().len(), 1);
}

#[test]
fn sessions_and_agents_that_lines_named_are_terminated_as_well() {
    let place = Place::new();
    let script = r#"echo '{"run": "r", "agent": "a", "state": {"x": 1}}'; printf 'half'; echo; echo ready; exec sleep 600"#;
    let running = ready(&place, &["--jsonl"], script);
    running.signal(Signal::TERM);
    running.done();
    let sessions = place.items(&["sessions", "list", "--status", "terminated"]);
    assert_eq!(sessions.len(), 2);
    assert_eq!(
        text(&place.json(&["agents", "show", "a"]), "status"),
        "terminated"
    );
}

#[test]
fn a_line_that_was_not_finished_is_kept() {
    let place = Place::new();
    let mut running = place.start(&["run", "--", "sh", "-c", "printf unfinished; exec sleep 600"]);
    running.wait_for_stdout("unfinished");
    running.signal(Signal::TERM);
    running.done();
    assert_eq!(text(&place.events()[0], "content"), "unfinished");
}

#[test]
fn signals_that_mean_what_the_command_says_are_passed_on() {
    let place = Place::new();
    let script =
        "trap 'echo one' USR1; trap 'echo two; exit 0' USR2; echo ready; while :; do read x; done";
    let mut running = ready(&place, &[], script);
    running.signal(Signal::USR1);
    running.wait_for_end_of_stdout("one\n");
    running.signal(Signal::USR2);
    let done = running.done();
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(text(&place.session(), "status"), "completed");
}

#[test]
fn a_ctrl_c_in_a_terminal_reaches_the_command_once_and_starts_no_grace() {
    let place = Place::new();
    let script = "n=0; trap 'n=$((n+1)); echo heard $n' INT; echo ready; i=0; \
                  while [ $i -lt 8 ]; do sleep 0.1; i=$((i+1)); done; echo total $n";
    let arguments = format!("--grace 0.1 -- sh -c \"{}\"", script.replace('$', "\\$"));
    let Some(mut running) = in_a_terminal(&place, &arguments) else {
        return;
    };
    running.wait_for_end_of_stdout("ready\r\n");
    running.write("\x03");
    let done = running.done();
    let text_seen = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(text_seen.contains("total 1"), "{text_seen}");
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(text(&place.session(), "status"), "terminated");
}

#[test]
fn two_requests_that_come_together_are_one() {
    let place = Place::new();
    let script = "trap 'echo heard; sleep 0.3; echo cleaned; exit 3' TERM HUP; echo ready; \
                  while :; do sleep 0.01; done";
    let running = ready(&place, &["--grace", "100000"], script);
    // Both wait for it.
    running.signal(Signal::STOP);
    running.signal(Signal::TERM);
    running.signal(Signal::HUP);
    running.signal(Signal::CONT);
    let done = running.done();
    assert_eq!(done.text(), "ready\nheard\ncleaned\n", "{done:?}");
    assert_eq!(done.code, 3, "{done:?}");
}

#[test]
fn one_ctrl_c_ends_a_loop_of_a_shell_around_runs() {
    let place = Place::new();
    let line = format!(
        "bash -c 'while :; do {} run -- sh -c \"echo go; sleep 100\"; done'",
        crate::support::PROGRAM
    );
    let Some(mut running) = crate::support::shell_in_a_terminal(&place, &line) else {
        return;
    };
    running.wait_for_end_of_stdout("go\r\n");
    running.write("\x03");
    let done = running.done();
    assert_eq!(
        String::from_utf8_lossy(&done.stdout)
            .matches("go\r\n")
            .count(),
        1
    );
    assert_eq!(text(&place.session(), "status"), "terminated");
}

/// In a terminal the command is in the recorder's own group: what a shell sends to a job, both get.
#[test]
fn a_signal_to_the_whole_group_reaches_the_command_once() {
    let place = Place::new();
    let script = "n=0; trap 'n=$((n+1)); echo $n > heard' USR1; trap 'echo $n; exit 0' TERM; \\
                  echo ready; while :; do sleep 0.01; done";
    std::fs::write(place.path().join("script"), script).unwrap();
    let line = format!(
        "set -m; {} run -- sh script & read x; kill -USR1 %1; \\
         while [ ! -s heard ]; do sleep 0.01; done; sleep 0.3; kill -TERM %1; wait",
        crate::support::PROGRAM
    );
    let Some(mut running) = crate::support::shell_in_a_terminal(&place, &line) else {
        return;
    };
    running.wait_for_stdout_to_hold("ready\r\n");
    running.write("\n");
    let done = running.done();
    let seen = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(seen.contains("\n1\r\n"), "{seen}");
    assert_eq!(text(&place.session(), "status"), "terminated");
}
