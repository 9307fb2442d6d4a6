//! Runs under locks, kills, stops, signals, full disks, moved files and each other, by chance: what is said of them is true,
//! and nothing stays open.
//!
//! `TORTURE_SECONDS` says how long (120), `TORTURE_SEED` repeats a run; the seed is printed.

use std::collections::HashSet;
use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::serde_json::Value;
use descartes_state_testing::{Chance, assert_intact, connect_patiently};
use rustix::process::Signal;

use crate::support::{Done, Place, Running, text};

/// A run, and what is known of it.
struct Tortured {
    running: Running,
    name: String,
    is_strict: bool,
}

/// A run whose every line carries its number.
fn start(place: &Place, chance: &mut Chance, name: String) -> Tortured {
    let lines = 20 + chance.below(600);
    let pause = chance.below(3);
    let odd = match chance.below(5) {
        0 => r"printf 'odd \377\376 \033[31m 中文 😀\n' >&2; ",
        1 => r"head -c 200000 /dev/zero | tr '\0' x >&2; echo >&2; ",
        2 => "printf 'no end' >&2; ",
        _ => "",
    };
    let script = format!(
        "i=0; while [ $i -lt {lines} ]; do echo line $i; i=$((i+1)); \
         [ $((i % 40)) -ne 0 ] || sleep 0.0{pause}; done; {odd}exit 0"
    );
    start_script(place, chance, name, &script)
}

fn start_script(place: &Place, chance: &mut Chance, name: String, script: &str) -> Tortured {
    let timeout = ["0.2", "1", "10"][usize::try_from(chance.below(3)).unwrap()];
    let mut arguments = vec!["run", "--json", "--timeout", timeout, "--name", &name];
    let is_strict = chance.below(2) == 0;
    if is_strict {
        arguments.push("--strict");
    } else if chance.below(2) == 0 {
        arguments.push("--pty");
    }
    arguments.extend(["--", "sh", "-c", script]);
    let running = place.start(&arguments);
    Tortured {
        running,
        name,
        is_strict,
    }
}

/// Returns the numbers of the lines that the store has of a session, in their order.
fn numbers(place: &Place, session: &str) -> Vec<u64> {
    place
        .items(&["events", session])
        .iter()
        .filter(|event| event["metadata"].get("interim").is_none())
        .filter_map(|event| number(text(event, "content")))
        .collect()
}

/// Returns the number of a line, if it is none of the odd ones.
fn number(line: &str) -> Option<u64> {
    let number = line.strip_prefix("line ")?;
    Some(number.parse().unwrap())
}

/// Checks of a strict run, however it ended, that the store has what came out of it.
fn check_passed_on(place: &Place, name: &str, done: &Done, round: u64) {
    let sessions = place.items(&["sessions", "list", "--agent", name]);
    let stored: HashSet<u64> = sessions
        .iter()
        .flat_map(|session| numbers(place, text(session, "id")))
        .collect();
    // The last may be cut.
    let whole = done.text().rfind('\n').map_or(0, |end| end + 1);
    for line in done.text()[..whole].lines() {
        assert!(
            stored.contains(&number(line).unwrap()),
            "round {round}: {line:?} came out of {name} unkept"
        );
    }
}

/// Checks that a summary tells the truth.
fn check(place: &Place, done: &Done, round: u64) {
    let summary = done.summary();
    let number = |key: &str| summary[key].as_u64().unwrap();
    let kept = number("events") + number("late_events");
    let lines = number("stdout_lines") + number("stderr_lines");
    assert_eq!(
        kept + number("lost_events"),
        lines,
        "round {round}: {done:?}"
    );
    let session = text(&summary, "session_id");
    let stored = place.items(&["events", session]);
    let whole = |event: &&Value| event["metadata"].get("interim").is_none();
    let stored = stored.iter().filter(whole).count() as u64;
    assert_eq!(stored, kept, "round {round}: {done:?}");
    let complete = number("lost_events") == 0 && summary["end_recorded"] == true;
    assert_eq!(done.code == 125, !complete, "round {round}: {done:?}");
}

#[test]
#[ignore = "minutes; `cargo test -p descartes-state-cli --test program -- --ignored torture`"]
fn torture() {
    let setting = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seconds = setting("TORTURE_SECONDS").unwrap_or(120);
    let seed = Chance::seed("TORTURE_SEED");
    println!("TORTURE_SEED={seed}");
    let disk = SmallDisk::mount();
    if disk.is_none() {
        println!("no small file system can be mounted here: no disk will be full");
    }
    let mut chance = Chance::new(seed);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut round = 0;
    while Instant::now() < end {
        // A store of its own for every few rounds, so that pages stay whole.
        let place = match &disk {
            Some(disk) => Place::below(disk.0.path()),
            None => Place::new(),
        };
        assert_eq!(place.run(&["migrate", "run"]).code, 0);
        for _ in 0..5 {
            round += 1;
            torture_once(&place, &mut chance, disk.as_ref(), round);
        }
        let swept = place.run(&["sessions", "sweep"]);
        assert_eq!(swept.code, 0, "round {round}: {swept:?}");
        for session in place.items(&["sessions", "list"]) {
            assert_ne!(
                text(&session, "status"),
                "active",
                "round {round}: {session}"
            );
        }
        assert_intact(&mut connect_patiently(&place.database()));
        round += 1;
        move_away(&place, &mut chance, round);
    }
    println!("{round} rounds");
}

/// Checks a run that ended by itself, or by a signal that it heard.
fn judge(place: &Place, done: &Done, round: u64) {
    if done.stderr.contains("{\"run\"") {
        check(place, done, round);
    } else {
        // It ended before its command was started, or before it listened to signals.
        assert!(
            [125, 143, -15].contains(&done.code),
            "round {round}: {done:?}"
        );
    }
}

fn torture_once(place: &Place, chance: &mut Chance, disk: Option<&SmallDisk>, round: u64) {
    let first = start(place, chance, format!("first-{round}"));
    let second = (chance.below(2) == 0).then(|| start(place, chance, format!("second-{round}")));
    chance.moment(400);
    let mut is_killed = false;
    match chance.below(8) {
        0 => {
            let mut connection = connect_patiently(&place.database());
            connection.batch_execute("BEGIN IMMEDIATE;").unwrap();
            chance.moment(2500);
            connection.batch_execute("COMMIT;").unwrap();
        }
        1 | 2 => {
            first.running.signal(Signal::KILL);
            is_killed = true;
        }
        3 => first.running.signal(Signal::TERM),
        4 => {
            first.running.signal(Signal::STOP);
            chance.moment(500);
            first.running.signal(Signal::CONT);
        }
        5 => {
            assert_eq!(place.run(&["search", "rebuild", "--timeout", "30"]).code, 0);
        }
        6 => {
            if let Some(disk) = disk {
                disk.fill();
                chance.moment(2500);
                if chance.below(3) == 0 {
                    first.running.signal(Signal::KILL);
                    is_killed = true;
                }
                disk.free();
            }
        }
        _ => {}
    }
    let done = first.running.done();
    if !is_killed {
        judge(place, &done, round);
    }
    if first.is_strict {
        check_passed_on(place, &first.name, &done, round);
    }
    if let Some(second) = second {
        let done = second.running.done();
        judge(place, &done, round);
        if second.is_strict {
            check_passed_on(place, &second.name, &done, round);
        }
    }
    // Whatever happened, the lines of each session are there without a gap.
    for session in place.items(&["sessions", "list"]) {
        let numbers = numbers(place, text(&session, "id"));
        let expected: Vec<u64> = (0..numbers.len() as u64).collect();
        let has_lost = session["metadata"].get("lost_events").is_some();
        assert!(has_lost || numbers == expected, "round {round}: {session}");
    }
}

/// Renames, deletes or replaces the database under a run: it says so, and claims nothing that isn't in the file.
fn move_away(place: &Place, chance: &mut Chance, round: u64) {
    // It ends only after that, and writes until then.
    let script = "i=0; while [ ! -e stop ]; do echo line $i; i=$((i+1)); \
                  [ $((i % 10)) -ne 0 ] || sleep 0.01; done; echo line $i";
    let name = format!("moved-{round}");
    let mut run = start_script(place, chance, name, script);
    run.running.wait_for_line();
    chance.moment(200);
    let database = place.database();
    let directory = database.parent().unwrap();
    let away = directory.with_file_name("away");
    let how = chance.below(3);
    if how == 2 {
        // The path leads to another store at every moment.
        let other = Place::below(place.path());
        assert_eq!(other.run(&["migrate", "run"]).code, 0);
        std::fs::rename(other.database(), &database).unwrap();
    } else {
        std::fs::rename(directory, &away).unwrap();
    }
    chance.moment(300);
    std::fs::write(place.path().join("stop"), "").unwrap();
    let done = run.running.done();
    assert_eq!(done.code, 125, "round {round}: {done:?}");
    let summary = done.summary();
    let count = |key: &str| summary[key].as_u64().unwrap();
    let kept = count("events") + count("late_events");
    assert_eq!(
        kept + count("lost_events"),
        count("stdout_lines"),
        "round {round}: {done:?}"
    );
    assert_eq!(summary["end_recorded"], false, "round {round}: {done:?}");
    if how == 2 {
        return;
    }
    std::fs::rename(&away, directory).unwrap();
    let stored = numbers(place, text(&summary, "session_id")).len() as u64;
    assert!(
        stored >= kept,
        "round {round}: {stored} are there: {done:?}"
    );
    if run.is_strict {
        check_passed_on(place, &run.name, &done, round);
    }
}

/// A file system of memory that is soon full.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounts one, where this user may.
    fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=48m", "tmpfs"])
            .arg(directory.path())
            .output();
        let is_mounted = mounted.is_ok_and(|output| output.status.success());
        is_mounted.then_some(Self(directory))
    }

    /// Leaves no room in it.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.0.path().join("filler")).unwrap();
        let bytes = vec![1; 64 * 1024];
        while file.write_all(&bytes).is_ok() {}
    }

    fn free(&self) {
        std::fs::remove_file(self.0.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Whoever is still in it keeps it for as long.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}
