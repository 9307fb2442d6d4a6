//! `run` and the two streams: every byte passes through, every line becomes an event, however long it is.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use descartes_state::serde_json::{self, Value, json};

use crate::recording::said;
use crate::support::{Place, eventually, finish, start_unheard, text};

#[test]
fn every_byte_passes_through_and_none_is_lost() {
    let place = Place::new();
    let bytes: Vec<u8> = (0..20_u8)
        .flat_map(|round| (0..=255_u8).map(move |byte| byte.wrapping_mul(7).wrapping_add(round)))
        .collect();
    std::fs::write(place.path().join("bytes"), &bytes).unwrap();
    let done = place.run(&["run", "--", "cat", "bytes"]);
    assert_eq!(done.stdout, bytes);

    // The lines, put together again, are the bytes.
    let mut kept = Vec::new();
    for event in place.events() {
        match event["metadata"]["raw_hex"].as_str() {
            Some(digits) => {
                assert!(text(&event, "content").contains('\u{fffd}'));
                kept.extend(digits.as_bytes().chunks(2).map(|pair| {
                    u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()
                }));
            }
            None => kept.extend(text(&event, "content").as_bytes()),
        }
        if event["metadata"].get("unterminated").is_none() {
            kept.push(b'\n');
        }
    }
    assert!(kept == bytes, "{} of {} bytes", kept.len(), bytes.len());
}

#[test]
fn a_last_line_without_a_newline_is_kept_and_marked() {
    let place = Place::new();
    place.run(&["run", "--", "printf", "one\\n\\nlast"]);
    let events = place.events();
    assert_eq!(
        said(&events),
        [("stdout", "one"), ("stdout", ""), ("stdout", "last")]
    );
    let marked: Vec<_> = events
        .iter()
        .map(|event| event["metadata"].get("unterminated"))
        .collect();
    assert_eq!(marked, [None, None, Some(&json!(true))]);
    assert_eq!(events[2]["metadata"]["line"], 3);
}

#[test]
fn output_comes_at_once_and_input_goes_to_the_command() {
    let place = Place::new();
    let script = "printf 'name? '; read name; echo \"hello $name\"";
    let mut running = place.start(&["run", "--", "sh", "-c", script]);
    // There is no newline yet.
    running.wait_for_stdout("name? ");
    running.write("you\n");
    let done = running.done();
    assert_eq!((done.code, done.text()), (0, "name? hello you\n"));
}

#[test]
fn a_line_is_in_the_store_while_the_command_still_runs() {
    let place = Place::new();
    let mut running = place.start(&["run", "--", "sh", "-c", "echo first; read go; echo second"]);
    running.wait_for_stdout("first\n");
    let found = eventually(|| {
        let page = place.json(&["search", "first"]);
        page["items"].as_array().unwrap().first().cloned()
    });
    assert_eq!(text(&found, "content"), "first");
    assert_eq!(text(&place.session(), "status"), "active");
    assert_eq!(
        text(&place.json(&["agents", "show", "sh"]), "status"),
        "running"
    );
    running.write("go\n");
    assert_eq!(running.done().code, 0);
    assert_eq!(place.events().len(), 2);
}

#[test]
fn a_line_above_the_limit_comes_in_parts_and_loses_nothing() {
    let place = Place::new();
    let line = "aü".repeat(1000);
    let file = format!("{line}\nshort\n");
    std::fs::write(place.path().join("long"), &file).unwrap();
    let done = place.run(&["run", "--line-limit", "1024", "--", "cat", "long"]);
    assert_eq!(done.text(), file);

    let events = place.events();
    let (last, parts) = events.split_last().unwrap();
    assert_eq!(
        (text(last, "content"), &last["metadata"]["line"]),
        ("short", &json!(2))
    );
    assert!(last["metadata"].get("part").is_none());
    let contents: Vec<_> = parts.iter().map(|part| text(part, "content")).collect();
    assert_eq!(contents.concat(), line);
    assert!(contents.iter().all(|content| content.len() <= 1024));
    for (place, part) in parts.iter().enumerate() {
        let metadata = &part["metadata"];
        assert_eq!(
            (&metadata["line"], &metadata["part"]),
            (&json!(1), &json!(place + 1))
        );
        let is_last = place + 1 == parts.len();
        assert_eq!(
            metadata["parts"],
            if is_last {
                json!(parts.len())
            } else {
                Value::Null
            }
        );
    }
}

#[test]
fn a_line_of_many_megabytes_is_one_event_without_a_limit_of_ones_own() {
    let place = Place::new();
    let script = "head -c 5000000 /dev/zero | tr '\\0' x; echo";
    let done = place.run(&["run", "--json", "--", "sh", "-c", script]);
    assert_eq!(done.stdout.len(), 5_000_001);
    assert_eq!(done.summary()["events"], 1);
    assert_eq!(text(&place.events()[0], "content").len(), 5_000_000);
}

#[test]
fn a_long_line_that_is_no_text_loses_nothing() {
    let place = Place::new();
    let bytes = [vec![0xFF; 1_200_000], b"\n".to_vec()].concat();
    std::fs::write(place.path().join("bytes"), &bytes).unwrap();
    let done = place.run(&["run", "--", "cat", "bytes"]);
    assert_eq!(
        (done.code, done.stdout.len()),
        (0, bytes.len()),
        "{}",
        done.stderr
    );
    let events = place.events();
    let digits: usize = events
        .iter()
        .map(|event| text(&event["metadata"], "raw_hex").len())
        .sum();
    assert_eq!(digits, 2 * 1_200_000);
    assert_eq!(events.last().unwrap()["metadata"]["parts"], events.len());
}

#[test]
fn lines_that_come_together_commit_together() {
    let place = Place::new();
    let mut command = place.command(&["run", "--", "seq", "5000"]);
    let done = finish(command.env("RUST_LOG", "descartes_state=debug"));
    let commits = done.stderr.matches("operation=\"transact\"").count();
    // The three steps of the agent's life, and the lines: at least two batches, and by no means one each.
    assert!((5..200).contains(&commits), "{commits}");
}

#[test]
fn a_run_that_is_killed_lacks_no_more_than_may_wait_for_the_store() {
    for rounds in 1..=3_u64 {
        let place = Place::new();
        let mut command = place.command(&["run", "--", "seq", "1000000"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = child.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let most = usize::try_from(rounds * 9973).unwrap();
        let read = lines.by_ref().take(most).map_while(Result::ok).count() as u64;
        child.kill().unwrap();
        child.wait().unwrap();
        let read = read + lines.map_while(Result::ok).count() as u64;
        let session = place.session();
        let newest = place.json(&["events", text(&session, "id"), "--limit", "1"]);
        let items = newest["items"].as_array().unwrap();
        let kept = items
            .first()
            .map_or(0, |event| event["metadata"]["line"].as_u64().unwrap());
        // 8 MiB, of which each line takes 1 KiB and its own bytes; and one that is cut.
        assert!(read <= kept + 8192 + 1, "{read} came out, {kept} are kept");
    }
}

#[test]
fn words_are_found_in_a_long_line_that_is_mostly_no_text() {
    let place = Place::new();
    // By chance it would hold the beginning of a sequence that a terminal takes the words for (ESC ], or the same as one
    // character).
    let noise = "head -c 20000 /dev/urandom | tr -d '\\n\\033\\302'";
    let script = format!("{noise}; printf '\\000usage: banana split\\000'; {noise}");
    let done = place.run(&["run", "--", "sh", "-c", &script]);
    assert_eq!(done.code, 0, "{done:?}");
    let found = place.items(&["search", "usage banana SPLIT"]);
    assert_eq!(found.len(), 1);
    let digits = text(&found[0]["metadata"], "raw_hex");
    assert_eq!(digits.len(), 2 * done.stdout.len());
    // "banana".
    assert!(digits.contains("62616e616e61"));
}

/// One line that is longer than the memory that it may take.
#[cfg(target_os = "linux")]
#[test]
fn memory_stays_bounded_however_long_a_line_is() {
    let place = Place::new();
    let script = "head -c 80000000 /dev/zero | tr '\\0' x; read go";
    let arguments = ["run", "--line-limit", "65536", "--", "sh", "-c", script];
    let mut running = place.start(&arguments);
    let pid = running.pid();
    // All but the last part, which waits for the end of the line.
    let parts = 80_000_000 / 65_536;
    eventually(|| {
        let sessions = place.run(&["sessions", "list", "--json"]);
        let sessions: Value = serde_json::from_slice(&sessions.stdout).ok()?;
        let session = sessions["items"][0]["id"].as_str()?;
        let newest = place.json(&["events", session, "--limit", "1"]);
        (newest["items"][0]["metadata"]["part"] == parts).then_some(())
    });
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    running.write("go\n");
    let done = running.done();
    assert_eq!((done.code, done.stdout.len()), (0, 80_000_000));
    assert!(kilobytes < 75_000, "{kilobytes} kB");
}

#[test]
fn a_reader_that_goes_away_ends_neither_the_command_nor_the_recording_where_that_is_asked_for() {
    let place = Place::new();
    let script = "read go; for i in 1 2 3 4 5 6 7 8 9; do echo $i; done; echo end >&2";
    let (child, mut stdin) =
        start_unheard(&mut place.command(&["run", "--keep-recording", "--", "sh", "-c", script]));
    stdin.write_all(b"go\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(
        stderr.contains("standard output is no longer passed on"),
        "{stderr}"
    );
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert_eq!(place.events().len(), 10);
}

#[test]
fn where_the_reader_goes_away_the_command_gets_what_it_would_get_without_us() {
    let place = Place::new();
    let script = "read go; exec yes";
    let (child, mut stdin) = start_unheard(&mut place.command(&["run", "--", "sh", "-c", script]));
    stdin.write_all(b"go\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    // SIGPIPE, as in a shell.
    assert_eq!(output.status.code(), Some(128 + 13), "{stderr}");
    assert!(stderr.contains("was closed by its reader"), "{stderr}");
    assert_eq!(text(&place.session(), "status"), "failed");
}

#[test]
fn output_without_a_newline_is_recorded_as_it_happens_and_its_line_whole() {
    let place = Place::new();
    let script = "printf 'Your name: '; read name; echo \"hello $name\"";
    let mut running = place.start(&["run", "--json", "--", "sh", "-c", script]);
    running.wait_for_stdout("Your name: ");
    let shown = eventually(|| place.items(&["search", "name"]).into_iter().next());
    assert_eq!(text(&shown, "content"), "Your name: ");
    assert_eq!(shown["metadata"]["interim"], true);
    running.write("bob\n");
    let done = running.done();
    let summary = done.summary();
    assert_eq!(
        (&summary["events"], &summary["stdout_lines"]),
        (&1.into(), &1.into())
    );
    let events = place.events();
    let whole = events.last().unwrap();
    assert_eq!(text(whole, "content"), "Your name: hello bob");
    assert!(whole["metadata"].get("interim").is_none());
    assert_eq!(place.items(&["search", "name hello"]).len(), 1);

    // What may become an object isn't shown before it is whole.
    let script = "printf '{\"content\":'; sleep 0.5; echo '\"x\"}'";
    let done = place.run(&[
        "run", "--name", "j", "--jsonl", "--json", "--", "sh", "-c", script,
    ]);
    let events = place.items(&["events", text(&done.summary(), "session_id")]);
    assert_eq!(events.len(), 1, "{events:?}");
}

#[test]
fn a_line_that_is_drawn_again_and_again_is_one_event_with_its_last_frame() {
    let place = Place::new();
    let script = "i=0; while [ $i -lt 40 ]; do i=$((i+1)); printf '\\r%d of 40' $i; sleep 0.05; done; \
                  printf '\\r\\033[K\\n'; echo after";
    let begun = std::time::Instant::now();
    let done = place.run(&["run", "--json", "--", "sh", "-c", script]);
    let took = begun.elapsed();
    assert!(
        done.text().starts_with("\r1 of 40\r2 of 40\r"),
        "every byte passes"
    );
    assert_eq!(done.summary()["events"], 2);
    let (interim, whole): (Vec<_>, Vec<_>) = place
        .events()
        .into_iter()
        .partition(|event| event["metadata"].get("interim").is_some());
    assert_eq!(text(&whole[0], "content"), "40 of 40");
    assert_eq!(whole[0]["metadata"]["frames"], 40);
    assert_eq!(text(&whole[1], "content"), "after");
    // While it was drawn, no more than two a second.
    assert!(!interim.is_empty());
    assert!(interim.len() as u128 <= 1 + took.as_millis() / 500);
    for event in interim {
        assert!(text(&event, "content").ends_with(" of 40"), "{event}");
    }
}

#[test]
fn the_summary_has_a_line_of_its_own() {
    let place = Place::new();
    let done = place.run(&["run", "--json", "--", "sh", "-c", "printf 'no end' >&2"]);
    assert_eq!(done.stderr.lines().next(), Some("no end"));
    assert_eq!(done.summary()["stderr_lines"], 1);
}
