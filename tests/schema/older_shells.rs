//! The file in the hands of another SQLite: the system's shell, which may be years older than ours.

use std::process::Command;

use descartes_state::SqliteStateStore;
use descartes_state_testing::{TABLES, TestResult, populate};

/// Runs SQL in the system's shell; `None` where there is no shell.
fn shell(store: &SqliteStateStore, sql: &str) -> Option<String> {
    let output = Command::new("sqlite3").arg(store.path()).arg(sql).output();
    let output = match output {
        Ok(output) => output,
        // CI installs one.
        Err(_) => return None,
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{sql}: {said}");
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[tokio::test]
async fn the_systems_shell_finds_every_row_sound_and_readable_and_may_add_one() -> TestResult {
    let store = SqliteStateStore::temporary().await?;
    // With metadata and without.
    populate(&store).await;
    let Some(found) = shell(&store, "PRAGMA integrity_check") else {
        return Ok(());
    };
    assert_eq!(found, "ok");
    for table in TABLES {
        let counted = format!("SELECT count(*), count(metadata) FROM {table}");
        let counted = shell(&store, &counted).unwrap_or_default();
        assert!(!counted.starts_with('0'), "{table}: {counted}");
        let all = format!("SELECT * FROM {table}");
        assert!(
            !shell(&store, &all).unwrap_or_default().is_empty(),
            "{table}"
        );
    }
    shell(
        &store,
        "INSERT INTO events (id, event_type, timestamp, session_id, actor_type, actor_id, content, created_at, recorded_at)
         VALUES ('01890000-0000-7000-8000-000000000001', 'note', 1, 's', 'user', 'u', 'by the shell', 1, 1);
         INSERT INTO tasks (id, title, status, created_at, updated_at, recorded_at)
         VALUES ('01890000-0000-7000-8000-000000000002', 'by the shell', 'todo', 1, 1, 1)",
    );
    assert_eq!(store.get_tasks().await?.len(), 2);
    // It is indexed with the next event.
    store
        .events()
        .append(&descartes_state_testing::event("next"))
        .await?;
    assert_eq!(store.search_events("by the shell").await?.len(), 1);
    assert_eq!(
        shell(&store, "PRAGMA integrity_check").as_deref(),
        Some("ok")
    );
    Ok(())
}
