//! A log beside a file that it doesn't belong to: nothing is undone or damaged silently.

use std::fs;
use std::path::{Path, PathBuf};

use descartes_state::error::ErrorKind;
use descartes_state::{OpenMode, SqliteStateStore, StateStoreError, StoreOptions};

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state_testing::{TestResult, agent, connect, event};

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The file of a store, with a log in which something is committed, as a kill leaves them.
async fn killed(directory: &Path, name: &str) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let path = directory.join(format!("{name}-live.db"));
    let store = SqliteStateStore::new(&path, false).await?;
    store.initialize().await?;
    store.agents().save(&agent(name)).await?;
    for number in 0..20 {
        store
            .events()
            .append(&event(&format!("{name} {number}")))
            .await?;
    }
    let left = directory.join(format!("{name}.db"));
    for suffix in ["", "-wal"] {
        fs::copy(beside(&path, suffix), beside(&left, suffix))?;
    }
    store.close().await?;
    Ok(left)
}

async fn opened(path: &Path, mode: OpenMode) -> Result<SqliteStateStore, StateStoreError> {
    let store = SqliteStateStore::open(path, StoreOptions::default().mode(mode)).await?;
    store.initialize().await?;
    Ok(store)
}

#[tokio::test]
async fn another_file_put_over_the_log_is_refused_and_nothing_touched() -> TestResult {
    type Put = fn(&Path, &Path) -> std::io::Result<()>;
    let puts: &[(&str, Put)] = &[
        ("another store", |path, other| {
            fs::copy(other, path).map(drop)
        }),
        ("a text", |path, _| {
            fs::write(path, "no database ".repeat(1000))
        }),
        ("an empty file", |path, _| fs::write(path, "")),
        ("another program's", |path, _| {
            fs::remove_file(path)?;
            connect(path)
                .batch_execute("CREATE TABLE theirs (x); PRAGMA application_id = 7;")
                .unwrap();
            Ok(())
        }),
        ("nothing", |path, _| fs::remove_file(path)),
    ];
    for mode in [OpenMode::Create, OpenMode::Existing] {
        for (what, put) in puts {
            let directory = tempfile::tempdir()?;
            let path = killed(directory.path(), "ours").await?;
            let other = killed(directory.path(), "theirs").await?;
            put(&path, &other)?;
            if *what == "nothing" && mode == OpenMode::Existing {
                continue;
            }
            // SQLite's index of the log, which it makes and removes itself, is none of ours.
            let bytes = || (fs::read(&path).ok(), fs::read(beside(&path, "-wal")).ok());
            let before = bytes();
            let error = opened(&path, mode)
                .await
                .err()
                .ok_or(format!("{what} was opened"))?;
            if *what == "another program's" {
                // It isn't in WAL mode, so that the log counts for nothing.
                assert_eq!(error.kind(), ErrorKind::ForeignDatabase, "{error}");
            } else {
                assert_eq!(error.kind(), ErrorKind::ForeignWal, "{what}: {error}");
                assert!(error.to_string().contains("ours.db-wal"), "{what}: {error}");
            }
            assert_eq!(bytes(), before, "{what}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_a_kill_left_is_opened_whole_at_every_moment() -> TestResult {
    let directory = tempfile::tempdir()?;
    for name in ["one", "two"] {
        let path = killed(directory.path(), name).await?;
        let store = opened(&path, OpenMode::Create).await?;
        assert!(store.agents().get(name).await?.is_some());
        assert_eq!(store.search_events(name).await?.len(), 20);
    }
    Ok(())
}

#[tokio::test]
async fn every_store_has_an_id_of_its_own_that_stays() -> TestResult {
    let id = |path: &Path| {
        descartes_state_testing::lines(
            &mut connect(path),
            "SELECT store_id AS line FROM store_identity",
        )
    };
    let (one, two) = (
        SqliteStateStore::temporary().await?,
        SqliteStateStore::temporary().await?,
    );
    let (first, second) = (id(one.path()), id(two.path()));
    assert_eq!((first.len(), first[0].len()), (1, 32));
    assert_ne!(first, second);
    one.initialize().await?;
    assert_eq!(id(one.path()), first);
    Ok(())
}

#[tokio::test]
async fn a_log_says_whose_it_is_whatever_was_written_into_it_alone() -> TestResult {
    type Write = for<'a> fn(
        &'a SqliteStateStore,
    ) -> std::pin::Pin<
        Box<dyn Future<Output = Result<(), StateStoreError>> + 'a>,
    >;
    let writes: &[(&str, Write)] = &[
        ("a rebuilt index", |store| {
            Box::pin(async { store.events().rebuild_search().await })
        }),
        ("a reverted migration", |store| {
            Box::pin(async { store.migrations().revert().await.map(drop) })
        }),
        ("one save", |store| {
            Box::pin(async { store.save_agent_state(&agent("one")).await })
        }),
    ];
    for (what, write) in writes {
        let directory = tempfile::tempdir()?;
        let other = killed(directory.path(), "other").await?;
        fs::remove_file(beside(&other, "-wal"))?;
        let live = directory.path().join("live.db");
        let store = SqliteStateStore::new(&live, false).await?;
        store.initialize().await?;
        for number in 0..20 {
            store.events().append(&event(&format!("{number}"))).await?;
        }
        store.close().await?;
        // From here on its log holds only this.
        let store = SqliteStateStore::new(&live, false).await?;
        store.initialize().await?;
        write(&store).await?;
        let left = directory.path().join("left.db");
        fs::copy(&other, &left)?;
        fs::copy(beside(&live, "-wal"), beside(&left, "-wal"))?;
        let log = fs::read(beside(&left, "-wal"))?;
        assert!(!log.is_empty(), "{what}");
        let opened = opened(&left, OpenMode::Existing).await;
        let kind = opened.err().map(|error| error.kind());
        assert_eq!(kind, Some(ErrorKind::ForeignWal), "{what}");
        assert_eq!(fs::read(beside(&left, "-wal"))?, log, "{what}");
        store.close().await?;
    }
    Ok(())
}
