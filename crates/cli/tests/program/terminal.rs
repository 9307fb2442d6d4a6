//! A command at a terminal of its own (`run --pty`).
#![cfg(target_os = "linux")]

use descartes_state::serde_json::Value;
use rustix::process::{Pid, Signal, kill_process};

use crate::ending::words;
use crate::support::{
    PROGRAM, Place, Running, end, eventually, finish, in_a_terminal, is_alive, lines,
    shell_in_a_terminal, text,
};

/// The contents of the only session, in their order.
fn contents(place: &Place) -> Vec<String> {
    let whole = |event: &Value| event["metadata"].get("interim").is_none();
    let events = place.events().into_iter().filter(whole);
    events
        .map(|event| text(&event, "content").to_owned())
        .collect()
}

fn recorder(place: &Place) -> Pid {
    let session = eventually(|| {
        let session = place.database().exists().then(|| place.session())?;
        Some(session).filter(|session| session["metadata"]["recorder"]["pid"].is_number())
    });
    let pid = session["metadata"]["recorder"]["pid"].as_i64().unwrap();
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

#[test]
fn all_three_streams_are_a_terminal_and_its_output_is_one_stream() {
    let place = Place::new();
    let script = "for i in 0 1 2; do test -t $i || echo no; done; echo out; echo oops >&2; \
                  printf 'last \\033[31mred\\033[0m'; exit 3";
    let done = place.run(&["run", "--json", "--pty", "--", "sh", "-c", script]);
    assert_eq!(done.code, 3, "{done:?}");
    assert_eq!(done.text(), "out\r\noops\r\nlast \u{1b}[31mred\u{1b}[0m");
    assert_eq!(
        contents(&place),
        ["out", "oops", "last \u{1b}[31mred\u{1b}[0m"]
    );
    let event = &place.events()[0];
    assert_eq!(text(event, "event_type"), "terminal");
    assert_eq!(text(&event["metadata"], "stream"), "terminal");
    let summary = done.summary();
    assert_eq!(summary["stdout_lines"], 3);
    assert_eq!(summary["events"], 3);
    let session = place.session();
    assert_eq!(text(&session["metadata"], "ending_reaches"), "session");
    assert_eq!(place.items(&["search", "red"]).len(), 1);
}

#[test]
fn what_is_typed_reaches_the_command_and_ctrl_c_once() {
    let place = Place::new();
    let script = "trap 'echo heard' INT; echo ready; read a; read b; echo \"got $a$b\"";
    std::fs::write(place.path().join("script"), script).unwrap();
    let Some(mut running) = in_a_terminal(&place, "--pty -- sh script") else {
        return;
    };
    running.wait_for_end_of_stdout("ready\r\n");
    running.write("\x03");
    running.wait_for_end_of_stdout("heard\r\n");
    running.write("one\n");
    let done = running.done();
    let seen = String::from_utf8_lossy(&done.stdout).into_owned();
    assert_eq!(seen.matches("heard\r\n").count(), 1, "{seen}");
    assert!(seen.contains("got one\r\n"), "{seen}");
    // What is typed is shown by the command's terminal, and by no other.
    assert_eq!(seen.matches("one").count(), 2, "{seen}");
    assert_eq!(text(&place.session(), "status"), "completed");
}

#[test]
fn a_typed_signal_that_ends_the_command_terminates_the_session() {
    let place = Place::new();
    let arguments = "--pty -- sh -c 'echo ready; exec sleep 600'";
    let Some(mut running) = in_a_terminal(&place, arguments) else {
        return;
    };
    running.wait_for_end_of_stdout("ready\r\n");
    running.write("\x03");
    assert_eq!(running.done().code, 130);
    assert_eq!(text(&place.session(), "status"), "terminated");
}

#[test]
fn the_own_terminal_is_as_it_was_at_every_end() {
    let endings: [(&str, &[Signal]); 4] = [
        ("exit 0", &[]),
        ("kill -KILL $$", &[]),
        ("echo ready; exec sleep 600", &[Signal::TERM]),
        // The second ends the recorder at once.
        (
            "trap '' TERM HUP; echo ready; exec sleep 600",
            &[Signal::TERM, Signal::TERM],
        ),
    ];
    for (script, signals) in endings {
        let place = Place::new();
        std::fs::write(place.path().join("script"), script).unwrap();
        let line = format!("stty -g > before; {PROGRAM} run --pty -- sh script; stty -g > after");
        let Some(mut running) = shell_in_a_terminal(&place, &line) else {
            return;
        };
        if !signals.is_empty() {
            running.wait_for_end_of_stdout("ready\r\n");
        }
        for signal in signals {
            kill_process(recorder(&place), *signal).unwrap();
        }
        running.done();
        let before = lines(&place.path().join("before"));
        assert_eq!(lines(&place.path().join("after")), before, "{script}");
    }
}

#[test]
fn the_terminal_has_the_size_of_ours_and_changes_with_it() {
    let place = Place::new();
    let script = "trap 'stty size' WINCH; stty size; while :; do sleep 0.05; done";
    std::fs::write(place.path().join("script"), script).unwrap();
    let line = format!("tty > tty; stty rows 31 cols 101; exec {PROGRAM} run --pty -- sh script");
    let Some(mut running) = shell_in_a_terminal(&place, &line) else {
        return;
    };
    running.wait_for_end_of_stdout("31 101\r\n");
    let tty = words(&place, "tty").remove(0);
    let resized = std::process::Command::new("stty")
        .args(["-F", &tty, "rows", "40", "cols", "120"])
        .status();
    assert!(resized.unwrap().success());
    running.wait_for_end_of_stdout("40 120\r\n");
    kill_process(recorder(&place), Signal::TERM).unwrap();
    running.done();
}

#[test]
fn input_from_a_pipe_is_read_to_its_end_and_not_seen_twice() {
    let place = Place::new();
    let mut running = place.start(&["run", "--pty", "--", "sh", "-c", "cat; echo end"]);
    running.write("one\ntwo");
    let done = running.done();
    assert_eq!(done.text(), "one\r\ntwoend\r\n", "{done:?}");
    assert_eq!(done.code, 0);
}

#[test]
fn the_end_of_input_is_heard_by_each_who_reads_by_lines_or_by_keys() {
    let place = Place::new();
    let script = "cat; cat; stty raw; head -c 1 | od -An -tx1; stty sane; cat; echo end";
    let mut running = place.start(&["run", "--pty", "--", "sh", "-c", script]);
    running.write("one\n");
    let done = running.done();
    let shown: Vec<&str> = done.text().split_whitespace().collect();
    assert_eq!(shown, ["one", "04", "end"], "{done:?}");
}

#[test]
fn keys_stay_another_programs_where_the_output_goes_to_it() {
    let place = Place::new();
    let line = format!(
        "stty -g > before; {PROGRAM} run --pty -- sh -c 'stty -g > own; echo one' | \
         sh -c 'cat; stty -g < /dev/tty > between; read x < /dev/tty; echo got $x'; stty -g > after"
    );
    let Some(mut running) = shell_in_a_terminal(&place, &line) else {
        return;
    };
    running.wait_for_stdout_to_hold("one");
    running.write("key\n");
    let done = running.done();
    assert!(
        String::from_utf8_lossy(&done.stdout).contains("got key\r\n"),
        "{done:?}"
    );
    let modes = |name: &str| lines(&place.path().join(name));
    assert_eq!(modes("between"), modes("before"));
    assert_eq!(modes("after"), modes("before"));
}

#[test]
fn what_is_typed_after_the_command_is_gone_is_not_taken() {
    let place = Place::new();
    let line = format!(
        "{PROGRAM} run --pty --linger 2 -- sh -c 'sleep 600 & echo $! > pid; echo gone'; read x; echo got $x"
    );
    let Some(mut running) = shell_in_a_terminal(&place, &line) else {
        return;
    };
    running.wait_for_stdout_to_hold("gone\r\n");
    eventually(|| {
        let history = place.items(&["history", "sh"]);
        let is_exit = |transition: &Value| transition["reason"] == "exit code 0";
        history.iter().any(is_exit).then_some(())
    });
    running.write("typed\n");
    let done = running.done();
    end(&words(&place, "pid")[0]);
    assert!(
        String::from_utf8_lossy(&done.stdout).contains("got typed\r\n"),
        "{done:?}"
    );
}

#[test]
fn what_goes_on_in_the_background_is_not_hung_up() {
    let place = Place::new();
    // One that writes to the terminal, in the command's own group; what it gets for that stands in a file.
    let script = "(while :; do echo tick || exit; echo x >> ticks; sleep 0.02; done) & echo $! > pid; \
                  while [ ! -s ticks ]; do sleep 0.01; done; exit 0";
    let done = place.run(&[
        "run", "--json", "--linger", "0.1", "--pty", "--", "sh", "-c", script,
    ]);
    assert_eq!(done.code, 0, "{done:?}");
    let pid = words(&place, "pid").remove(0);
    let held_by = done.summary()["held_by"].clone();
    let holds = |holder: &Value| holder == &Value::from(format!("sh ({pid})"));
    assert!(held_by.as_array().unwrap().iter().any(holds), "{done:?}");
    let ticks = || lines(&place.path().join("ticks")).len();
    let before = ticks();
    eventually(|| (ticks() > before + 5).then_some(()));
    assert!(is_alive(&pid));
    end(&pid);
}

#[test]
fn an_ending_reaches_every_group_of_the_session() {
    let place = Place::new();
    let script = "set -m; sleep 600 & echo $! > pid; echo ready; wait; sleep 600";
    let mut running = place.start(&["run", "--pty", "--", "sh", "-c", script]);
    running.wait_for_end_of_stdout("ready\r\n");
    let pid = words(&place, "pid").remove(0);
    running.signal(Signal::TERM);
    let done = running.done();
    assert_eq!(done.code, 143, "{done:?}");
    assert!(!is_alive(&pid));
    assert_eq!(text(&place.session(), "status"), "terminated");
}

#[test]
fn a_command_that_does_not_end_is_killed_after_the_grace() {
    let place = Place::new();
    let script = "trap '' TERM; echo $$ > pid; echo ready; while :; do sleep 0.05; done";
    let mut running = place.start(&["run", "--grace", "0.2", "--pty", "--", "sh", "-c", script]);
    running.wait_for_end_of_stdout("ready\r\n");
    running.signal(Signal::TERM);
    assert_eq!(running.done().code, 137);
    assert!(!is_alive(&words(&place, "pid")[0]));
}

#[test]
fn a_recorder_that_is_killed_hangs_the_terminal_up() {
    let place = Place::new();
    let script = "trap 'echo hup > hup; exit' HUP; echo ready; while :; do sleep 0.05; done";
    let mut running = place.start(&["run", "--pty", "--", "sh", "-c", script]);
    running.wait_for_end_of_stdout("ready\r\n");
    running.signal(Signal::KILL);
    assert_eq!(words(&place, "hup"), ["hup"]);
}

#[test]
fn a_reader_that_goes_away_hangs_the_terminal_up() {
    let place = Place::new();
    let line = format!("{PROGRAM} run --pty -- yes | head -n 2");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &line]);
    place.prepare(&mut command);
    assert_eq!(finish(&mut command).text(), "y\r\ny\r\n");
    eventually(|| (text(&place.session(), "status") != "active").then_some(()));
}

#[test]
fn what_can_not_be_started_is_told_as_without_a_terminal() {
    let place = Place::new();
    std::fs::write(place.path().join("text"), "no program").unwrap();
    for (program, code) in [("./nothing", 127), ("./text", 126)] {
        let done = place.run(&["run", "--pty", "--", program]);
        assert_eq!(done.code, code, "{done:?}");
        assert!(done.stderr.contains(program), "{done:?}");
    }
}

/// `set -m` in a shell that reads a script: job control as at a prompt.
#[test]
fn ctrl_z_stops_all_and_fg_goes_on() {
    let place = Place::new();
    let script = "echo ready; read x; echo \"got $x\"";
    std::fs::write(place.path().join("script"), script).unwrap();
    let line = format!(
        "set -m; stty -g > before; {PROGRAM} run --pty -- sh script; stty -g > between; echo stopped; fg; echo over"
    );
    let Some(mut running): Option<Running> = shell_in_a_terminal(&place, &line) else {
        return;
    };
    running.wait_for_end_of_stdout("ready\r\n");
    running.write("\x1a");
    running.wait_for_stdout_to_hold("stopped\r\n");
    let before = lines(&place.path().join("before"));
    assert_eq!(lines(&place.path().join("between")), before);
    running.write("this\n");
    let done = running.done();
    let seen = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(seen.contains("got this\r\n"), "{seen}");
    assert!(seen.ends_with("over\r\n"), "{seen}");
}

#[test]
fn what_a_program_draws_on_the_whole_screen_is_kept_in_pieces_that_no_search_finds() {
    let place = Place::new();
    let script = r"echo before; printf '\033[?1049h\033[2Jzebra drawn'; while [ ! -e go ]; do sleep 0.01; done; printf 'later'; \
                   head -c 100000 /dev/zero | tr '\0' x; printf '\033[?1049lzebra after\n'";
    let mut running = place.start(&["run", "--json", "--pty", "--", "sh", "-c", script]);
    running.wait_for_stdout_to_hold("drawn");
    let is_drawn = |event: &Value| event["event_type"] == "screen";
    // What came in the first second is there before the rest.
    eventually(|| place.events().iter().any(is_drawn).then_some(()));
    std::fs::write(place.path().join("go"), "").unwrap();
    let done = running.done();
    let events = place.events();
    let drawn: Vec<&Value> = events.iter().filter(|event| is_drawn(event)).collect();
    let all: String = drawn.iter().map(|event| text(event, "content")).collect();
    let expected = format!(
        "\u{1b}[?1049h\u{1b}[2Jzebra drawnlater{}\u{1b}[?1049l",
        "x".repeat(100_000)
    );
    assert_eq!(all, expected);
    assert_eq!(
        text(drawn[0], "content"),
        "\u{1b}[?1049h\u{1b}[2Jzebra drawn"
    );
    assert!(
        drawn
            .iter()
            .all(|event| text(event, "content").len() <= 64 * 1024)
    );
    let lines: Vec<&str> = events
        .iter()
        .filter(|event| event["event_type"] == "terminal")
        .map(|event| text(event, "content"))
        .collect();
    assert_eq!(lines, ["before", "zebra after"]);
    assert_eq!(place.items(&["search", "zebra"]).len(), 1);
    let summary = done.summary();
    assert_eq!(summary["events"], summary["stdout_lines"]);
}
