//! Disks that fail and fill up, in a process of their own.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::{SqliteStateStore, StoreOptions};

use descartes_state_testing::{TestResult, agent, assert_intact, connect, event};

/// Builds the faults, and runs a test of this file in a process that has them.
fn run_with_faults(directory: &Path, child: &str, branch: &str) -> Output {
    let library = directory.join("faults.so");
    let source = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/durability/faults/disk.c"
    );
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .args([source, "-ldl"])
        .status()
        .unwrap();
    assert!(built.success());
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", child])
        .env("LD_PRELOAD", &library)
        .env("FAULT_SYNC", directory.join("sync"))
        .env("FAULT_DISK", directory.join("disk"))
        .env("FAULT_STORE", directory.join("state.db"))
        .env("FAULT_BRANCH", branch)
        .env(
            "FAULT_CLOCK",
            if branch.starts_with('-') { branch } else { "" },
        )
        .output()
        .unwrap()
}

fn said(output: &Output, word: &str) -> Option<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let start = text.find(word)? + word.len();
    let rest = &text[start..];
    Some(rest[..rest.find(';')?].to_owned())
}

fn path_of(variable: &str) -> PathBuf {
    std::env::var_os(variable).unwrap().into()
}

/// Says to the parent, past the test's own output.
#[allow(clippy::print_stdout, reason = "the parent reads it")]
fn say(text: &str) {
    println!("{text};");
}

#[tokio::test]
#[ignore = "the body of a child process"]
async fn child_whose_sync_fails_once() {
    let path = path_of("FAULT_STORE");
    let store = SqliteStateStore::new(&path, false).await.unwrap();
    store.initialize().await.unwrap();
    store.agents().save(&agent("before")).await.unwrap();
    // A reader that stays open keeps the log from being begun again.
    let mut reader = connect(&path);
    reader
        .batch_execute("BEGIN; SELECT count(*) FROM agent_states;")
        .unwrap();
    fs::write(path_of("FAULT_SYNC"), "").unwrap();
    let error = store.agents().save(&agent("doubtful")).await.unwrap_err();
    say(&format!("kind={}", error.kind()));
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(store.agents().get("doubtful").await.unwrap().is_some());
    }
    say(&format!("seen={seen:?}"));
    if std::env::var("FAULT_BRANCH").unwrap() == "write" {
        store.agents().save(&agent("after")).await.unwrap();
    }
    std::process::abort();
}

#[tokio::test]
async fn what_is_read_after_an_unknown_outcome_is_what_stays() -> TestResult {
    for branch in ["crash", "write"] {
        let directory = tempfile::tempdir()?;
        let child = "faults::child_whose_sync_fails_once";
        let output = run_with_faults(directory.path(), child, branch);
        assert_eq!(
            said(&output, "kind=").as_deref(),
            Some("outcome_unknown"),
            "{output:?}"
        );
        let seen = said(&output, "seen=").ok_or("nothing was seen")?;
        let store = SqliteStateStore::new(directory.path().join("state.db"), false).await?;
        store.initialize().await?;
        let is_there = store.agents().get("doubtful").await?.is_some();
        assert_eq!(seen, format!("{:?}", [is_there; 3]), "{branch}");
        assert!(store.agents().get("before").await?.is_some());
        let is_after = store.agents().get("after").await?.is_some();
        assert_eq!(is_after, branch == "write");
        assert_intact(&mut connect(store.path()));
    }
    Ok(())
}

/// Sets the size of the disk, in bytes.
fn resize(bytes: u64) {
    let disk = File::create(path_of("FAULT_DISK")).unwrap();
    disk.set_len(bytes).unwrap();
}

#[tokio::test]
#[ignore = "the body of a child process"]
async fn child_that_fills_the_disk() {
    const DISK: u64 = 3 * 1024 * 1024;
    resize(DISK);
    let path = path_of("FAULT_STORE");
    let options = StoreOptions::default();
    let store = SqliteStateStore::open(&path, options).await.unwrap();
    store.initialize().await.unwrap();
    // A second connection: closing the only one would move the log.
    store.agents().get("none").await.unwrap();
    let mut kept = 0_u64;
    let full = loop {
        match store
            .agents()
            .save(&agent(&format!("agent {}", kept % 7)))
            .await
        {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    say(&format!("kind={}", full.kind()));
    say(&format!("kept={kept}"));
    // Some space is freed: from then on there is as much room as before, not only so much.
    resize(DISK + 100 * 1024);
    let mut more = 0_u64;
    while more < kept {
        match store
            .agents()
            .save(&agent(&format!("agent {}", more % 7)))
            .await
        {
            Ok(_) => more += 1,
            Err(error) => {
                say(&format!("stuck={more} {error}"));
                break;
            }
        }
    }
    say(&format!("more={more}"));
    store.events().append(&event("the last")).await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_full_disk_whose_space_is_in_the_log_goes_on_once_a_little_is_freed() -> TestResult {
    let directory = tempfile::tempdir()?;
    let output = run_with_faults(directory.path(), "faults::child_that_fills_the_disk", "");
    assert_eq!(
        said(&output, "kind=").as_deref(),
        Some("disk_full"),
        "{output:?}"
    );
    assert!(output.status.success(), "{output:?}");
    assert_eq!(said(&output, "more="), said(&output, "kept="), "{output:?}");
    let store = SqliteStateStore::new(directory.path().join("state.db"), false).await?;
    store.initialize().await?;
    assert_eq!(store.list_agents().await?.len(), 7);
    assert_eq!(store.search_events("last").await?.len(), 1);
    assert_intact(&mut connect(store.path()));
    Ok(())
}

#[tokio::test]
#[ignore = "the body of a child process"]
async fn child_before_1970() {
    resize(u64::from(u32::MAX));
    let store = SqliteStateStore::new(path_of("FAULT_STORE"), false)
        .await
        .unwrap();
    store.initialize().await.unwrap();
    store.agents().save(&agent("a")).await.unwrap();
    store
        .agents()
        .set_status("a", "busy", descartes_state::ChangeIf::Any)
        .await
        .unwrap();
    let updated = store
        .agents()
        .get("a")
        .await
        .unwrap()
        .unwrap()
        .state
        .updated_at;
    say(&format!("updated={updated}"));
    store.create_snapshot("a", None).await.unwrap();
    store
        .record_state_transition("a", "{}", "{}", None)
        .await
        .unwrap();
    store.transact(|_| Ok(())).await.unwrap();
    store.close().await.unwrap();
    say("done=yes");
}

#[tokio::test]
async fn a_clock_before_1970_is_written_down_and_stops_nothing() -> TestResult {
    let directory = tempfile::tempdir()?;
    let output = run_with_faults(directory.path(), "faults::child_before_1970", "-1000");
    assert_eq!(
        said(&output, "updated=").as_deref(),
        Some("-1000"),
        "{output:?}"
    );
    assert_eq!(said(&output, "done=").as_deref(), Some("yes"), "{output:?}");
    Ok(())
}
