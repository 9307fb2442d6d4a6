//! A file that is deleted, renamed or replaced while it is open: nobody is told that a write is kept which no path leads to.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use descartes_state::error::ErrorKind;
use descartes_state::{Durability, SqliteStateStore, StateStoreError, StoreOptions};

use descartes_state_testing::{
    DEADLINE, TestResult, agent, assert_intact, connect, connect_patiently, event, lines,
    numbered_event, open, quick,
};

/// What may befall an open file, by the path of the database.
type Befalls = fn(&Path) -> std::io::Result<()>;

fn rename_away(path: &Path) -> std::io::Result<()> {
    fs::rename(path, path.with_extension("away"))
}

fn beside(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

const MOVES: &[(&str, Befalls)] = &[
    ("deleted", |path| fs::remove_file(path)),
    ("renamed", rename_away),
    ("replaced by a copy", |path| {
        fs::copy(path, path.with_extension("copy"))?;
        fs::rename(path.with_extension("copy"), path)
    }),
    ("replaced by an empty file", |path| {
        fs::remove_file(path)?;
        fs::write(path, "")
    }),
    ("put behind a symbolic link", |path| {
        rename_away(path)?;
        symlink(path.with_extension("away"), path)
    }),
    ("its directory renamed", |path| {
        let directory = path.parent().unwrap();
        fs::rename(directory, directory.with_extension("away"))
    }),
    ("its directory replaced", |path| {
        let directory = path.parent().unwrap();
        fs::rename(directory, directory.with_extension("away"))?;
        fs::create_dir(directory)?;
        fs::copy(directory.with_extension("away").join("state.db"), path).map(drop)
    }),
    ("its log deleted", |path| {
        fs::remove_file(beside(path, "-wal"))
    }),
    ("the index of its log deleted", |path| {
        fs::remove_file(beside(path, "-shm"))
    }),
    ("its log replaced", |path| {
        fs::remove_file(beside(path, "-wal"))?;
        fs::write(beside(path, "-wal"), "")
    }),
];

async fn in_a_directory(
    options: StoreOptions,
) -> TestResultOf<(tempfile::TempDir, SqliteStateStore)> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("here").join("state.db");
    let store = SqliteStateStore::open(path, options).await?;
    store.initialize().await?;
    store.agents().save(&agent("before")).await?;
    Ok((directory, store))
}

type TestResultOf<T> = Result<T, Box<dyn std::error::Error>>;

fn is_moved<T: std::fmt::Debug>(result: Result<T, StateStoreError>, what: &str) {
    let Err(error) = result else {
        panic!("{what}: it succeeded");
    };
    assert_eq!(error.kind(), ErrorKind::DatabaseMoved, "{what}: {error}");
    assert!(error.to_string().contains("state.db"), "{what}: {error}");
}

#[tokio::test]
async fn no_write_is_acknowledged_into_a_file_that_is_no_longer_there() -> TestResult {
    for durability in [Durability::Full, Durability::Relaxed] {
        for (what, befalls) in MOVES {
            let options = StoreOptions::default().durability(durability);
            let (_directory, store) = in_a_directory(options).await?;
            befalls(store.path())?;
            is_moved(store.agents().save(&agent("after")).await, what);
            // From then on nothing works, reading neither.
            is_moved(store.agents().get("before").await, what);
            is_moved(store.events().append(&event("later")).await, what);
            is_moved(store.transact(|_| Ok(())).await, what);
            is_moved(store.read(|_| Ok(())).await, what);
            is_moved(store.close().await, what);
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_caller_of_the_commit_hears_it_whatever_it_wrote() -> TestResult {
    let (_directory, store) = in_a_directory(quick()).await?;
    let (release, released) = std::sync::mpsc::channel();
    let (entered, has_entered) = tokio::sync::oneshot::channel();
    let holder = store.clone();
    let held = tokio::spawn(async move {
        let closure = holder.transact(move |tx| {
            let _ = entered.send(());
            let _ = released.recv_timeout(DEADLINE);
            tx.agents().save(&agent("holder")).map(drop)
        });
        closure.await
    });
    has_entered.await?;
    let calls: Vec<_> = (0..20)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { store.save_event(&numbered_event(number, "word")).await })
        })
        .collect();
    tokio::task::yield_now().await;
    fs::remove_file(store.path())?;
    release.send(())?;
    // The closure's own commit is the first to see it.
    is_moved(held.await?, "deleted");
    for call in calls {
        is_moved(call.await?, "deleted");
    }
    Ok(())
}

#[tokio::test]
async fn what_was_committed_is_whole_in_the_file_that_was_renamed() -> TestResult {
    let (_directory, store) = in_a_directory(StoreOptions::default()).await?;
    rename_away(store.path())?;
    is_moved(store.agents().save(&agent("after")).await, "renamed");
    is_moved(store.close().await, "renamed");
    let away = store.path().with_extension("away");
    fs::rename(&away, store.path())?;
    let again = SqliteStateStore::new(store.path(), false).await?;
    again.initialize().await?;
    assert!(again.agents().get("before").await?.is_some());
    assert_intact(&mut connect(store.path()));
    Ok(())
}

#[tokio::test]
async fn a_new_store_at_the_path_is_another_and_unharmed_by_the_end_of_the_old() -> TestResult {
    let (_directory, old) = in_a_directory(StoreOptions::default()).await?;
    let path = old.path().to_owned();
    for suffix in ["", "-wal", "-shm"] {
        fs::rename(
            beside(&path, suffix),
            beside(&path.with_extension("away"), suffix),
        )?;
    }
    let new = SqliteStateStore::new(&path, false).await?;
    new.initialize().await?;
    new.agents().save(&agent("new")).await?;
    is_moved(old.agents().save(&agent("lost")).await, "replaced");
    is_moved(old.close().await, "replaced");
    drop(old);
    new.agents().save(&agent("newer")).await?;
    let names: Vec<_> = new
        .list_agents()
        .await?
        .into_iter()
        .map(|state| state.agent_id)
        .collect();
    assert_eq!(names, ["new", "newer"]);
    new.close().await?;
    assert_intact(&mut connect(&path));
    Ok(())
}

#[tokio::test]
async fn a_file_with_two_names_is_refused_unless_that_is_allowed() -> TestResult {
    let (directory, store) = open(StoreOptions::default()).await;
    store.agents().save(&agent("a")).await?;
    let path = store.path().to_owned();
    store.close().await?;
    let other = directory.path().join("other.db");
    fs::hard_link(&path, &other)?;
    for name in [&path, &other] {
        let error = SqliteStateStore::new(name, false)
            .await
            .err()
            .ok_or("opened")?;
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(
            error.to_string().contains("2 names (hard links)"),
            "{error}"
        );
    }
    let options = StoreOptions::default().allow_hard_links(true);
    let allowed = SqliteStateStore::open(&path, options).await?;
    assert!(allowed.agents().get("a").await?.is_some());
    Ok(())
}

/// Waits until files were looked at long enough ago that they are looked at before a commit too.
fn a_moment_later() {
    let since = std::time::Instant::now();
    while since.elapsed() < std::time::Duration::from_millis(2) {
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn without_the_index_of_its_log_nothing_is_written_beside_a_process_that_has_another()
-> TestResult {
    let (_directory, store) = in_a_directory(StoreOptions::default()).await?;
    fs::remove_file(beside(store.path(), "-shm"))?;
    a_moment_later();
    // Another process would make an index of its own now, and write at the same place of the log.
    is_moved(store.agents().save(&agent("after")).await, "deleted");
    let path = store.path().to_owned();
    is_moved(store.close().await, "closed");
    assert_eq!(
        lines(
            &mut connect_patiently(&path),
            "SELECT agent_id AS line FROM agent_states"
        ),
        ["before"]
    );
    Ok(())
}

#[tokio::test]
async fn a_copy_of_another_store_put_over_the_open_file_is_not_mixed_with_its_log() -> TestResult {
    let (directory, store) = in_a_directory(StoreOptions::default()).await?;
    let other = directory.path().join("other.db");
    let others = SqliteStateStore::new(&other, false).await?;
    others.initialize().await?;
    others.agents().save(&agent("other")).await?;
    others.close().await?;
    let path = store.path().to_owned();
    fs::copy(&other, &path)?;
    store.agents().save(&agent("after")).await.ok();
    let closed = store.close().await;
    is_moved(closed, "closed");
    // The log is left beside it, and the next who opens the file hears whose it is; without the log it is the copy.
    let opened = SqliteStateStore::new(&path, false)
        .await?
        .initialize()
        .await;
    assert_eq!(
        opened.err().map(|error| error.kind()),
        Some(ErrorKind::ForeignWal)
    );
    fs::remove_file(beside(&path, "-wal"))?;
    fs::remove_file(beside(&path, "-shm"))?;
    assert_eq!(fs::read(&path)?, fs::read(&other)?);
    Ok(())
}
