//! Runs under locks, kills, stops, signals and each other, by chance: what is said of them is true, and nothing stays open.
//!
//! `TORTURE_SECONDS` says how long (120), `TORTURE_SEED` repeats a run; the seed is printed.

use std::time::{Duration, Instant};

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::serde_json::Value;
use descartes_state_testing::{assert_intact, connect_patiently};
use rustix::process::Signal;

use crate::support::{Done, Place, Running, text};

/// Numbers by chance that come again from the same seed (splitmix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Waits for a moment of at most so many milliseconds.
    fn moment(&mut self, most: u64) {
        #[allow(clippy::disallowed_methods)]
        // No condition: what happens is to happen at any moment.
        std::thread::sleep(Duration::from_millis(self.below(most)));
    }
}

/// A run whose every line carries its number.
fn start(place: &Place, chance: &mut Chance, name: &str) -> (Running, u64) {
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
    let timeout = ["0.2", "1", "10"][usize::try_from(chance.below(3)).unwrap()];
    let arguments = [
        "run",
        "--json",
        "--timeout",
        timeout,
        "--name",
        name,
        "--",
        "sh",
        "-c",
        &script,
    ];
    (place.start(&arguments), lines)
}

/// Returns the numbers of the lines that the store has of a session, in their order.
fn numbers(place: &Place, session: &str) -> Vec<u64> {
    place
        .items(&["events", session, "--type", "stdout"])
        .iter()
        .map(|event| {
            let content = text(event, "content");
            content.strip_prefix("line ").unwrap().parse().unwrap()
        })
        .collect()
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
    let seed = setting("TORTURE_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.unwrap().as_secs()
    });
    println!("TORTURE_SEED={seed}");
    let mut chance = Chance(seed);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut round = 0;
    while Instant::now() < end {
        // A store of its own for every few rounds, so that pages stay whole.
        let place = Place::new();
        assert_eq!(place.run(&["migrate", "run"]).code, 0);
        for _ in 0..5 {
            round += 1;
            torture_once(&place, &mut chance, round);
        }
        place.json(&["sessions", "sweep"]);
        for session in place.items(&["sessions", "list"]) {
            assert_ne!(
                text(&session, "status"),
                "active",
                "round {round}: {session}"
            );
        }
        assert_intact(&mut connect_patiently(&place.database()));
    }
    println!("{round} rounds");
}

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

fn torture_once(place: &Place, chance: &mut Chance, round: u64) {
    let (running, _) = start(place, chance, &format!("first-{round}"));
    let second = (chance.below(2) == 0).then(|| start(place, chance, &format!("second-{round}")).0);
    chance.moment(400);
    let mut is_killed = false;
    match chance.below(6) {
        0 => {
            let mut connection = connect_patiently(&place.database());
            connection.batch_execute("BEGIN IMMEDIATE;").unwrap();
            chance.moment(2500);
            connection.batch_execute("COMMIT;").unwrap();
        }
        1 => {
            running.signal(Signal::KILL);
            is_killed = true;
        }
        2 => running.signal(Signal::TERM),
        3 => {
            running.signal(Signal::STOP);
            chance.moment(500);
            running.signal(Signal::CONT);
        }
        4 => {
            assert_eq!(place.run(&["search", "rebuild", "--timeout", "30"]).code, 0);
        }
        _ => {}
    }
    let done = running.done();
    if !is_killed {
        judge(place, &done, round);
    }
    if let Some(second) = second {
        judge(place, &second.done(), round);
    }
    // Whatever happened, the lines of each session are there without a gap.
    for session in place.items(&["sessions", "list"]) {
        let numbers = numbers(place, text(&session, "id"));
        let expected: Vec<u64> = (0..numbers.len() as u64).collect();
        let has_lost = session["metadata"].get("lost_events").is_some();
        assert!(has_lost || numbers == expected, "round {round}: {session}");
    }
}
