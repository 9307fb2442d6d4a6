//! Files that aren't ours to change: refused, and left as they are to the byte.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::{OpenMode, SqliteStateStore, StateStoreError, StoreOptions};
use diesel_migrations::{FileBasedMigrations, MigrationHarness};

use super::{open, populated};
use descartes_state_testing::{
    connect_patiently, contents, lines, migration_names, migrations_on_disk, number,
};

/// Every file of a directory with its bytes, permissions and time.
fn files(directory: &Path) -> BTreeMap<String, (Vec<u8>, bool, u32, SystemTime)> {
    std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            #[cfg(unix)]
            let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
            #[cfg(not(unix))]
            let mode = 0;
            let bytes = std::fs::read(entry.path()).unwrap();
            let readonly = metadata.permissions().readonly();
            let name = entry.file_name().into_string().unwrap();
            (name, (bytes, readonly, mode, metadata.modified().unwrap()))
        })
        .collect()
}

/// Tries every way in, in both modes, and returns what each was told; the directory stays as it is.
pub(super) async fn refusals(path: &Path) -> Vec<StateStoreError> {
    let directory = path.parent().unwrap();
    let before = files(directory);
    let mut errors = Vec::new();
    for mode in [OpenMode::Create, OpenMode::Existing] {
        let options = StoreOptions::default().mode(mode);
        let store = SqliteStateStore::open(path, options).await.unwrap();
        errors.push(store.initialize().await.unwrap_err());
        errors.push(store.initialize().await.unwrap_err());
        errors.push(store.list_agents().await.unwrap_err());
        errors.push(store.delete_agent("agent").await.unwrap_err());
        errors.push(store.transact(|_| Ok(())).await.unwrap_err());
        errors.push(store.migrations().applied().await.unwrap_err());
        errors.push(store.migrations().pending().await.unwrap_err());
        errors.push(store.migrations().preview_revert().await.unwrap_err());
        errors.push(store.migrations().revert().await.unwrap_err());
        store.close().await.unwrap();
    }
    let after = files(directory);
    assert_eq!(
        before.keys().collect::<Vec<_>>(),
        after.keys().collect::<Vec<_>>()
    );
    assert!(before == after, "{} was touched", path.display());
    errors
}

async fn assert_foreign(path: &Path, reason: &str) {
    for error in refusals(path).await {
        let is_foreign = matches!(&error, StateStoreError::ForeignDatabase { reason: said } if said.contains(reason));
        assert!(is_foreign, "{error}, not {reason}");
    }
}

#[tokio::test]
async fn a_newer_database_is_refused_untouched_with_both_versions_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    populated(&path).await.close().await.unwrap();
    let known = i64::try_from(migration_names().len()).unwrap();
    let newer = known + 1;
    connect_patiently(&path)
        .batch_execute(&format!(
            "INSERT INTO __diesel_schema_migrations (version) VALUES ('{newer:04}');"
        ))
        .unwrap();
    for error in refusals(&path).await {
        let text = error.to_string();
        assert!(text.contains(&format!("version {newer}")), "{text}");
        assert!(text.contains(&format!("than {known}")), "{text}");
        assert!(
            matches!(error, StateStoreError::NewerDatabase { database, supported } if database == newer && supported == known),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_newer_database_that_its_program_has_open_is_refused_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    populated(&path).await.close().await.unwrap();
    let mut newer_program = connect_patiently(&path);
    newer_program
        .batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('9999');")
        .unwrap();
    let store = open(&path).await;
    let error = store.initialize().await.unwrap_err().to_string();
    assert!(error.contains("9999"), "{error}");
    store.close().await.unwrap();
    // Its own write is still where only it may move it from.
    assert_eq!(
        number(
            &mut newer_program,
            "SELECT count(*) AS line FROM __diesel_schema_migrations"
        ),
        10
    );
}

#[tokio::test]
async fn a_newer_database_whose_program_crashed_keeps_its_log() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    populated(&path).await.close().await.unwrap();
    let mut newer_program = connect_patiently(&path);
    newer_program
        .batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('9999');")
        .unwrap();
    // What a crash leaves: the version is in the log only.
    let crashed = tempfile::tempdir().unwrap();
    let copies = ["state.db", "state.db-wal"].map(|name| {
        let copy = crashed.path().join(name);
        std::fs::copy(path.with_file_name(name), &copy).unwrap();
        (copy.clone(), std::fs::read(&copy).unwrap())
    });
    let store = open(&copies[0].0).await;
    let error = store.initialize().await.unwrap_err();
    assert!(matches!(
        error,
        StateStoreError::NewerDatabase { database: 9999, .. }
    ));
    store.close().await.unwrap();
    for (copy, bytes) in copies {
        assert!(std::fs::read(&copy).unwrap() == bytes, "{}", copy.display());
    }
}

#[tokio::test]
async fn databases_of_the_guides_other_implementations_are_refused_untouched() {
    for name in ["guide-v4.db", "guide-v5.db"] {
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../shared/data")
            .join(name);
        // The files are beside the project's own checkout only; the next test makes the like of them anywhere.
        if !source.exists() {
            continue;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        std::fs::write(&path, std::fs::read(source).unwrap()).unwrap();
        assert_foreign(&path, "none of Diesel's migrations").await;
    }
}

#[tokio::test]
async fn a_database_with_a_table_of_the_guide_but_not_our_migrations_is_refused_untouched() {
    const DIESEL: &str =
        "CREATE TABLE __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY NOT NULL,
        run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);
        INSERT INTO __diesel_schema_migrations (version) VALUES ('20260101000000');";
    for table in [
        "agent_states",
        "state_transitions",
        "state_snapshots",
        "events",
        "tasks",
        "sessions",
    ] {
        for (diesel, reason) in [("", "none of Diesel's migrations"), (DIESEL, table)] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("state.db");
            let sql = format!("{diesel} CREATE TABLE {table} (id TEXT PRIMARY KEY);");
            connect_patiently(&path).batch_execute(&sql).unwrap();
            assert_foreign(&path, reason).await;
        }
    }
}

#[tokio::test]
async fn a_database_with_another_applications_id_is_refused_untouched() {
    for journal_mode in ["DELETE", "WAL"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        let sql =
            format!("PRAGMA journal_mode = {journal_mode}; PRAGMA application_id = 252006675;");
        connect_patiently(&path).batch_execute(&sql).unwrap();
        assert_foreign(&path, "252006675").await;
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    std::fs::write(&path, "Dear diary, this is no database.\n".repeat(100)).unwrap();
    assert_foreign(&path, "not a SQLite file").await;
}

#[tokio::test]
async fn an_empty_file_becomes_a_database() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    std::fs::write(&path, "").unwrap();
    let store = populated(&path).await;
    assert_eq!(store.list_agents().await.unwrap().len(), 1);
}

/// An application's own migrations, as `diesel migration generate` names them.
fn application_migrations(directory: &Path) -> FileBasedMigrations {
    let step = directory.join("migrations/2026-01-02-030405_create_notes");
    std::fs::create_dir_all(&step).unwrap();
    let up = "CREATE TABLE notes (id INTEGER PRIMARY KEY NOT NULL, note TEXT NOT NULL);";
    std::fs::write(step.join("up.sql"), up).unwrap();
    std::fs::write(step.join("down.sql"), "DROP TABLE notes;").unwrap();
    FileBasedMigrations::from_path(directory.join("migrations")).unwrap()
}

#[tokio::test]
async fn an_applications_own_migrations_are_neither_newer_nor_ours_and_survive() {
    for application_is_first in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        if !application_is_first {
            populated(&path).await.close().await.unwrap();
        }
        let migrations = application_migrations(directory.path());
        let mut connection = connect_patiently(&path);
        connection.run_pending_migrations(migrations).unwrap();
        let note = "INSERT INTO notes (note) VALUES ('keep me');";
        connection.batch_execute(note).unwrap();
        drop(connection);

        let store = open(&path).await;
        store.initialize().await.unwrap();
        let history = store.get_migration_history().await.unwrap();
        assert_eq!(history.len(), migration_names().len());
        assert!(history.iter().all(|record| record.version < 10_000));
        for _ in &history {
            store.migrations().revert().await.unwrap();
        }
        store.migrations().revert().await.unwrap_err();
        store.initialize().await.unwrap();
        store.close().await.unwrap();

        let mut connection = connect_patiently(&path);
        let notes = lines(&mut connection, "SELECT note AS line FROM notes");
        assert_eq!(notes, ["keep me"]);
        let own =
            "SELECT version AS line FROM __diesel_schema_migrations WHERE length(version) > 4";
        assert_eq!(lines(&mut connection, own), ["20260102030405"]);
    }
}

#[tokio::test]
async fn open_mode_existing_never_creates_and_never_migrates() {
    let directory = tempfile::tempdir().unwrap();
    let existing = || StoreOptions::default().mode(OpenMode::Existing);
    let path = directory.path().join("deep/state.db");
    SqliteStateStore::open(&path, existing()).await.unwrap_err();
    assert!(files(directory.path()).is_empty());

    // An empty file, and one that lacks the last migrations.
    let path = directory.path().join("state.db");
    std::fs::write(&path, "").unwrap();
    for reason in ["it has no schema", "migrations 8, 9 are missing"] {
        let before = files(directory.path());
        let store = SqliteStateStore::open(&path, existing()).await.unwrap();
        for error in [
            store.initialize().await.unwrap_err(),
            store.list_agents().await.unwrap_err(),
        ] {
            assert!(matches!(error, StateStoreError::NotInitialized { .. }));
            assert!(error.to_string().contains(reason), "{error}");
        }
        store.close().await.unwrap();
        assert!(files(directory.path()) == before);
        let mut connection = connect_patiently(&path);
        for _ in 0..7 {
            let _ = connection.run_next_migration(migrations_on_disk());
        }
        contents(&mut connection);
    }

    open(&path).await.initialize().await.unwrap();
    let store = SqliteStateStore::open(&path, existing()).await.unwrap();
    store.initialize().await.unwrap();
    assert!(store.list_agents().await.unwrap().is_empty());
}
