//! Paths: what is no file name is refused, and what is one means exactly that file.
#![cfg(unix)]

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use descartes_state::{DatabaseFailure, SqliteStateStore, StateStoreError, StoreOptions};

use descartes_state_testing::{TestResult, agent};

fn names(directory: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn mode(path: &Path) -> std::io::Result<u32> {
    Ok(fs::symlink_metadata(path)?.permissions().mode() & 0o777)
}

/// The path was refused, in words that name it.
async fn is_refused(path: &Path, says: &str) -> TestResult {
    let error = SqliteStateStore::new(path, false)
        .await
        .err()
        .ok_or(format!("{path:?} was opened"))?;
    let text = error.to_string();
    assert!(
        matches!(error, StateStoreError::InvalidInput { field: "path", .. }),
        "{error:?}"
    );
    assert!(text.contains(says), "{path:?}: {text}");
    Ok(())
}

#[tokio::test]
async fn what_is_no_file_name_is_refused() -> TestResult {
    let before = names(Path::new("."))?;
    for (path, says) in [
        ("", "empty"),
        ("a\0b", "NUL"),
        (":memory:", "temporary()"),
        ("file:x?mode=memory", "temporary()"),
        ("file:x", "temporary()"),
        ("file:///x.db", "temporary()"),
        ("sqlite://x.db", "temporary()"),
        ("sqlite:x.db", "temporary()"),
        ("/", "names no file"),
        ("..", "names no file"),
    ] {
        is_refused(Path::new(path), says).await?;
    }
    let not_text = PathBuf::from(std::ffi::OsStr::from_bytes(b"\xff.db"));
    is_refused(&not_text, "UTF-8").await?;
    assert_eq!(names(Path::new("."))?, before, "a refused path made a file");
    Ok(())
}

#[tokio::test]
async fn what_is_no_regular_file_is_refused_and_left_alone() -> TestResult {
    let directory = tempfile::tempdir()?;
    let root = directory.path();
    is_refused(root, "not a regular file").await?;
    let socket = root.join("socket");
    let _listener = UnixListener::bind(&socket)?;
    is_refused(&socket, "not a regular file").await?;

    let file = root.join("state.db");
    SqliteStateStore::new(&file, false).await?.close().await?;
    let before = names(root)?;
    for (name, target) in [("link", file.clone()), ("dangling", root.join("nowhere"))] {
        let link = root.join(name);
        symlink(target, &link)?;
        is_refused(&link, "symbolic link").await?;
        fs::remove_file(link)?;
    }
    assert_eq!(names(root)?, before);
    Ok(())
}

#[tokio::test]
async fn a_file_in_the_place_of_a_directory_is_an_error_that_names_it() -> TestResult {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("file");
    fs::write(&file, "kept")?;
    let error = SqliteStateStore::new(file.join("state.db"), false)
        .await
        .err()
        .ok_or("opened")?;
    assert!(
        matches!(&error, StateStoreError::DatabaseError(error) if error.kind() == DatabaseFailure::NotADirectory),
        "{error:?}"
    );
    assert!(error.to_string().contains("file"), "{error}");
    assert_eq!(fs::read_to_string(file)?, "kept");
    Ok(())
}

#[tokio::test]
async fn a_file_of_exactly_that_name_is_made() -> TestResult {
    let directory = tempfile::tempdir()?;
    let strange = [
        "with space.db",
        "a?mode=memory",
        "a#b",
        "a%20b",
        "a%00b",
        "100%",
        "file:x",
        "sqlite:",
        ":memory:",
        "\u{e9}\u{6f22}\u{1f980}.db",
        "quote'\"`;--",
        "line\nbreak",
        "back\\slash",
        "a&b=c+d",
        "-wal",
        "no_extension",
        ".hidden",
    ];
    for name in strange {
        let folder = directory.path().join(format!("in {name}"));
        let path = folder.join(name);
        let store = SqliteStateStore::new(&path, false).await?;
        store.initialize().await?;
        store.save_agent_state(&agent("a")).await?;
        assert_eq!(store.path(), folder.canonicalize()?.join(name));
        // The log and the turnstile beside it, and nothing else.
        let wanted = ["", "-gate", "-shm", "-turn", "-wal"];
        assert_eq!(
            names(&folder)?,
            wanted.map(|suffix| format!("{name}{suffix}")),
            "{name:?}"
        );
        for file in names(&folder)? {
            assert_eq!(mode(&folder.join(&file))?, 0o600, "{file:?}");
        }
        store.close().await?;
        let again = SqliteStateStore::new(&path, false).await?;
        assert_eq!(again.list_agents().await?, [agent("a")], "{name:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_closed_store_leaves_its_file_and_the_turnstile() -> TestResult {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("state.db");
    // Again and again: who closes first is a matter of threads.
    for round in 0..20 {
        let store = SqliteStateStore::new(&path, false).await?;
        store.initialize().await?;
        store.save_agent_state(&agent("a")).await?;
        store.load_agent_state("a").await?;
        store.close().await?;
        assert_eq!(
            names(directory.path())?,
            ["state.db", "state.db-gate", "state.db-turn"],
            "round {round}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn missing_directories_are_made_for_the_owner_alone() -> TestResult {
    let directory = tempfile::tempdir()?;
    let root = directory.path().join("there");
    fs::create_dir(&root)?;
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755))?;
    SqliteStateStore::new(root.join("one/two/state.db"), false).await?;
    assert_eq!(mode(&root)?, 0o755, "what was there stays as it was");
    assert_eq!(mode(&root.join("one"))?, 0o700);
    assert_eq!(mode(&root.join("one/two"))?, 0o700);
    assert_eq!(mode(&root.join("one/two/state.db"))?, 0o600);
    Ok(())
}

#[tokio::test]
async fn a_file_that_others_may_read_is_taken_from_them() -> TestResult {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("state.db");
    fs::write(&path, "")?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
    let store = SqliteStateStore::new(&path, false).await?;
    store.initialize().await?;
    assert_eq!(mode(&path)?, 0o600);
    Ok(())
}

#[tokio::test]
async fn two_paths_to_one_file_are_one_store() -> TestResult {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("state.db");
    let around = directory.path().join("sub/../state.db");
    fs::create_dir(directory.path().join("sub"))?;
    let store = SqliteStateStore::new(&path, false).await?;
    store.initialize().await?;
    let other = SqliteStateStore::open(&around, StoreOptions::default()).await?;
    assert_eq!(other.path(), store.path());
    for number in 0..20 {
        let id = number.to_string();
        let (mine, theirs) = (agent(&id), agent(&format!("other {id}")));
        let (one, two) = tokio::join!(
            store.save_agent_state(&mine),
            other.save_agent_state(&theirs)
        );
        one.and(two)?;
    }
    assert_eq!(store.list_agents().await?, other.list_agents().await?);
    Ok(())
}
