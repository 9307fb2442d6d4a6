//! `run --strict`: what comes out of it is in the store.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state_testing::connect_patiently;
use rustix::process::Signal;

use crate::support::{PROGRAM, Place, Running, start_unheard, text};

const STRICT: [&str; 4] = ["run", "--strict", "--json", "--"];

fn strict(script: &str) -> Vec<&str> {
    [&STRICT[..], &["sh", "-c", script]].concat()
}

#[test]
fn nothing_comes_out_while_the_store_is_locked_and_all_of_it_in_order_after() {
    let place = Place::new();
    // More than may wait for the store, so that the command waits too.
    let script = "echo ready; read go; seq 30000; echo oops >&2; exit 3";
    let mut running = place.start(&strict(script));
    running.wait_for_stdout("ready\n");
    assert_eq!(place.events().len(), 1, "it is kept when it comes out");
    let mut connection = connect_patiently(&place.database());
    connection.batch_execute("BEGIN IMMEDIATE;").unwrap();
    running.write("go\n");
    running.wait_for_stderr("the store can't be written now");
    // Whatever came out by now came out unkept.
    assert_eq!(running.seen(), b"ready\n");
    assert!(!is_over(running.pid()), "the command waits");
    connection.batch_execute("COMMIT;").unwrap();

    let done = running.done();
    let expected: String = (1..=30_000).map(|number| format!("{number}\n")).collect();
    assert!(done.text() == format!("ready\n{expected}"), "in order");
    assert!(done.stderr.contains("oops\n"), "{}", done.stderr);
    assert_eq!(done.code, 3, "{}", done.stderr);
    let summary = done.summary();
    assert_eq!(summary["lost_events"], 0, "{summary}");
    let kept = summary["events"].as_u64().unwrap() + summary["late_events"].as_u64().unwrap();
    assert_eq!(kept, 30_002);
}

/// Whether the command of a run has exited, as far as the system tells (Linux): it is the run's only child.
fn is_over(pid: u32) -> bool {
    let Ok(mut threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return false;
    };
    threads.all(|thread| {
        let children = std::fs::read_to_string(thread.unwrap().path().join("children"));
        children.is_ok_and(|children| children.trim().is_empty())
    })
}

#[test]
fn every_line_that_came_out_is_in_the_store_whenever_the_run_is_killed() {
    for round in 1..=6_u32 {
        let place = Place::new();
        let mut command = place.command(&["run", "--strict", "--", "seq", "1000000"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = child.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut read = 0;
        // At a moment of its own each time; what is in the pipe then came out too.
        for line in lines.by_ref().take(usize::try_from(round * 997).unwrap()) {
            read += 1;
            assert_eq!(line.unwrap(), read.to_string());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let rest: Vec<String> = lines.map(Result::unwrap).collect();
        // The last may be cut.
        let whole = rest.len().saturating_sub(1) as u64;
        let session = place.session();
        let session = text(&session, "id");
        let newest = place.json(&["events", session, "--limit", "1"]);
        let newest: u64 = text(&newest["items"][0], "content").parse().unwrap();
        assert!(
            newest >= read + whole,
            "round {round}: {} came out, {newest} are kept",
            read + whole
        );
    }
}

#[test]
fn a_prompt_without_a_newline_comes_out_and_is_kept() {
    let place = Place::new();
    // Latin-1, half an escape sequence, and what follows parts of a long line.
    let script = r"printf 'Gr\366\337e\033]: '; read size; echo $size;
        head -c 2000 /dev/zero | tr '\0' x; printf ' more? '; read more; echo $more";
    let arguments = ["run", "--strict", "--line-limit", "1024", "--", "sh", "-c"];
    let mut running = place.start(&[&arguments[..], &[script]].concat());
    let prompt = b"Gr\xf6\xdfe\x1b]: ";
    running.wait_for_bytes(prompt);
    let shown = place.events().remove(0);
    assert_eq!(shown["metadata"]["interim"], true);
    running.write("7\n");
    running.wait_for_end_of_stdout(" more? ");
    running.write("no\n");
    let done = running.done();
    let expected = [
        &prompt[..],
        b"7\n",
        "x".repeat(2000).as_bytes(),
        b" more? no\n",
    ]
    .concat();
    assert_eq!(done.stdout, expected, "and no byte twice");
}

#[test]
fn a_line_that_never_rests_comes_out_while_it_grows() {
    let place = Place::new();
    let script = "while [ ! -e stop ]; do printf .; sleep 0.01; done; echo";
    let mut running = place.start(&strict(script));
    running.wait_for_end_of_stdout(".");
    std::fs::write(place.path().join("stop"), "").unwrap();
    let done = running.done();
    assert!(done.text().trim_end().chars().all(|dot| dot == '.'));
    let last = place.events().pop().unwrap();
    assert_eq!(text(&last, "content"), done.text().trim_end(), "whole, too");
    assert_eq!(done.summary()["events"], 1);
}

#[test]
fn every_byte_comes_out_whatever_it_is() {
    let place = Place::new();
    let bytes: Vec<u8> = (0..40_u8)
        .flat_map(|round| (0..=255_u8).map(move |byte| byte.wrapping_mul(7).wrapping_add(round)))
        .chain("aü".repeat(3000).into_bytes())
        .chain(*b"\n\nend")
        .collect();
    std::fs::write(place.path().join("bytes"), &bytes).unwrap();
    let options = ["--line-limit", "1024", "--jsonl", "--", "cat", "bytes"];
    let done = place.run(&[&["run", "--strict"], &options[..]].concat());
    assert!(done.stdout == bytes, "{} bytes", done.stdout.len());
    assert!(done.stderr.starts_with("descartes-state: "), "{done:?}");
}

#[test]
fn what_may_become_an_object_comes_out_whole() {
    let place = Place::new();
    let script = r#"printf '{"content":'; sleep 0.3; echo '"x"}'; printf '> '; read go"#;
    let arguments = ["run", "--strict", "--jsonl", "--json", "--", "sh", "-c"];
    let mut running = place.start(&[&arguments[..], &[script]].concat());
    running.wait_for_stdout("{\"content\":\"x\"}\n> ");
    assert_eq!(text(&place.events()[0], "content"), "x");
    running.write("go\n");
    assert_eq!(running.done().code, 0);
}

#[test]
fn what_is_lost_does_not_come_out() {
    let place = Place::new();
    let script = "echo ready; read go; echo lost; echo lost >&2";
    let arguments = [
        "run",
        "--strict",
        "--timeout",
        "0.1",
        "--json",
        "--",
        "sh",
        "-c",
    ];
    let mut running = place.start(&[&arguments[..], &[script]].concat());
    running.wait_for_stdout("ready\n");
    let mut connection = connect_patiently(&place.database());
    connection.batch_execute("BEGIN IMMEDIATE;").unwrap();
    running.write("go\n");
    let done = running.done();
    connection.batch_execute("COMMIT;").unwrap();
    assert_eq!(
        (done.code, done.text()),
        (125, "ready\n"),
        "{}",
        done.stderr
    );
    assert!(!done.stderr.contains("lost\n"), "{}", done.stderr);
    assert_eq!(done.summary()["lost_events"], 2);
    assert_eq!(place.events().len(), 1);
}

#[test]
fn a_command_that_waits_for_a_locked_store_can_be_ended() {
    let place = Place::new();
    let script = "echo ready; read go; exec yes";
    let arguments = [
        "run",
        "--strict",
        "--timeout",
        "0.1",
        "--json",
        "--",
        "sh",
        "-c",
    ];
    let mut running = place.start(&[&arguments[..], &[script]].concat());
    running.wait_for_stdout("ready\n");
    let mut connection = connect_patiently(&place.database());
    connection.batch_execute("BEGIN IMMEDIATE;").unwrap();
    running.write("go\n");
    running.wait_for_stderr("the store can't be written now");
    running.signal(Signal::TERM);
    let done = running.done();
    connection.batch_execute("COMMIT;").unwrap();
    assert_eq!(
        (done.code, done.text()),
        (125, "ready\n"),
        "{}",
        done.stderr
    );
    let summary = done.summary();
    assert_eq!(summary["status"], "terminated");
    let lines = summary["stdout_lines"].as_u64().unwrap();
    assert_eq!(summary["lost_events"], lines - 1, "{summary}");
}

#[test]
fn where_the_reader_goes_away_the_command_gets_what_it_would_get_without_us() {
    let place = Place::new();
    let (child, mut stdin) = start_unheard(&mut place.command(&strict("read go; exec yes")));
    stdin.write_all(b"go\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(128 + 13), "{stderr}");
    assert!(stderr.contains("was closed by its reader"), "{stderr}");

    // Or is recorded to its end.
    let options = ["--keep-recording", "--name", "kept", "--", "sh", "-c"];
    let script = "read go; seq 20000";
    let arguments = [&["run", "--strict", "--json"], &options[..], &[script]].concat();
    let (child, mut stdin) = start_unheard(&mut place.command(&arguments));
    stdin.write_all(b"go\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("\"events\":20000"), "{stderr}");
}

#[test]
fn a_reader_that_rests_holds_up_one_stream_and_not_the_other() {
    let place = Place::new();
    // More than the pipes and all that may wait hold.
    let talk = "seq 3000000 & i=0; while [ $i -lt 300 ]; do echo $i >&2; i=$((i+1)); done; wait";
    let rest = r#"exec 3<&0; "$@" </dev/null | { read go <&3; }"#;
    let mut command = Command::new("sh");
    command.args(["-c", rest, "sh", PROGRAM]);
    place.prepare(command.args(strict(talk)));
    let mut running = Running::new(&mut command);
    running.wait_for_stderr("\n299\n");
    running.write("go\n");
    let done = running.done();
    assert!(done.stderr.contains("was closed by its reader"), "{done:?}");
}

#[test]
fn a_line_comes_out_soon() {
    let place = Place::new();
    // Each line waits for the one before to come out.
    let script = "i=0; while [ $i -lt 50 ]; do echo $i; read answer; i=$((i+1)); done";
    let mut running = place.start(&strict(script));
    let begin = std::time::Instant::now();
    for number in 0..50 {
        running.wait_for_end_of_stdout(&format!("{number}\n"));
        running.write("\n");
    }
    let took = begin.elapsed();
    assert_eq!(running.done().code, 0);
    // It shares its commit with those that wait, and waits for none.
    assert!(took.as_millis() < 50 * 200, "{took:?}");
}
