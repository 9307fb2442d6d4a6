//! Which room may import which, and what may stand in it.

use std::collections::BTreeSet;
use std::path::Path;

use crate::module_of;
use crate::paths::{idents, paths};

/// What everybody above them may import.
const LEAVES: [&str; 11] = [
    "error",
    "clock",
    "codec",
    "commit_notes",
    "condition",
    "limits",
    "namespace",
    "numbers",
    "page",
    "read_budget",
    "search_text",
];

/// The rooms that a room may import; `None` for a room that nobody knows.
fn may_import(room: &str) -> Option<Vec<&'static str>> {
    let with_leaves = |rooms: &[&'static str]| rooms.iter().copied().chain(LEAVES).collect();
    Some(match room {
        "schema" | "numbers" | "commit_notes" => vec![],
        "condition" => vec!["numbers"],
        "error" => vec!["condition", "numbers"],
        "page" => vec!["error", "numbers"],
        "clock" | "codec" | "limits" | "namespace" | "read_budget" | "migrations" => {
            vec!["error"]
        }
        "search_text" => vec![],
        "models" => with_leaves(&["schema"]),
        "repository" => with_leaves(&["models", "schema"]),
        "engine" => with_leaves(&["migrations"]),
        "state_store" => with_leaves(&["models", "migrations"]),
        "store" => with_leaves(&[
            "engine",
            "repository",
            "models",
            "migrations",
            "state_store",
        ]),
        _ => return None,
    })
}

/// Crates that only some rooms may name.
fn may_name(room: &str, krate: &str) -> bool {
    match krate {
        "tokio" => ["engine", "store", "runner"].contains(&room),
        // The face exports it again.
        "deadpool_diesel" => ["engine", "store", "lib"].contains(&room),
        "deadpool" | "libsqlite3_sys" => room == "engine",
        "diesel_migrations" => room == "migrations",
        "diesel" => room != "runner",
        _ => true,
    }
}

/// The room that a file belongs to: its first directory or its own name.
fn room_of(file: &Path) -> String {
    let first = file.components().next().unwrap().as_os_str();
    let first = first.to_str().unwrap();
    first.strip_suffix(".rs").unwrap_or(first).to_owned()
}

/// What a file imports, or holds, that it may not. `face` is what `lib.rs` exports.
pub(crate) fn breaches(file: &Path, source: &str, face: &BTreeSet<String>) -> Vec<String> {
    let room = room_of(file);
    let mut breaches = Vec::new();
    let mut breach = |what: String| breaches.push(format!("{}: {what}", file.display()));
    for path in paths(source, &module_of(file)) {
        let text = path.segments.join("::");
        let first = path.segments.first().map_or("", String::as_str);
        if !path.is_internal {
            if !may_name(&room, first) {
                breach(format!("{room} may not name {text}"));
            }
            continue;
        }
        let is_allowed = match room.as_str() {
            "lib" => true,
            _ if first == room => true,
            "runner" => face.contains(first),
            _ => match may_import(&room) {
                Some(allowed) => allowed.contains(&first),
                None => {
                    breach(format!("{room} is a room without a rule"));
                    continue;
                }
            },
        };
        if !is_allowed {
            breach(format!("{room} may not import crate::{text}"));
        }
    }
    let words = idents(source);
    let has = |word: &str| words.iter().any(|found| found == word);
    // Diesel's command writes two into the one for PostgreSQL, which has a type of its own.
    if room == "schema" && has("use") && file != Path::new("schema/postgres.rs") {
        breach("schema is generated and imports nothing".into());
    }
    // The few hot statements that Diesel can't say.
    let hot = [
        "repository/postgres/shared.rs",
        "repository/postgres/search.rs",
    ];
    let has_hot_statements = hot.iter().any(|hot| file == Path::new(hot));
    if !has_hot_statements && !["migrations", "engine"].contains(&room.as_str()) {
        for (index, word) in words.iter().enumerate() {
            let next = words.get(index + 1).map_or("", String::as_str);
            let is_sql = word == "sql" && ["(", "::<"].contains(&next);
            if is_sql || ["sql_query", "batch_execute", "SqlLiteral"].contains(&word.as_str()) {
                breach(format!("raw SQL ({word}) belongs to migrations and engine"));
            }
        }
    }
    if file.starts_with("repository/bodies") {
        for name in [
            "Sqlite",
            "SqliteConnection",
            "Pg",
            "PgConnection",
            "sqlite",
            "pg",
            "postgres",
        ] {
            if has(name) {
                breach(format!("a body names no database, but {name}"));
            }
        }
    }
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let code = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    for line in code {
        let is_pragma = line.contains("\"PRAGMA ") || line.contains("pragma_");
        if is_pragma && file != Path::new("engine/pragma.rs") {
            breach(format!("a PRAGMA belongs to engine/pragma.rs: {line}"));
        }
        let texts = [
            "is locked",
            "disk is full",
            "is malformed",
            "not a database",
            "readonly",
        ];
        let is_text = line.contains("\"") && texts.iter().any(|text| line.contains(text));
        if is_text && room == "engine" {
            breach(format!(
                "SQLite's texts are read in error/sqlite.rs: {line}"
            ));
        }
    }
    breaches
}

/// The names that `lib.rs` exports with `pub use`, and its public modules.
pub(crate) fn face(library: &str) -> BTreeSet<String> {
    let exports = library.split("pub use ").skip(1);
    let names = exports
        .flat_map(|export| paths(export.split(';').next().unwrap(), &[]))
        .filter_map(|path| path.segments.last().cloned());
    let modules = library.split("pub mod ").skip(1);
    let modules = modules.map(|module| module.split([';', ' ']).next().unwrap().to_owned());
    names.chain(modules).collect()
}

fn of(file: &str, source: &str) -> Vec<String> {
    let face = face("pub use store::{Agents, SqliteStateStore}; use engine::WriteKind;");
    breaches(Path::new(file), source, &face)
}

#[test]
fn a_breach_of_each_rule_is_seen() {
    for (file, source) in [
        ("models/agent.rs", "use crate::repository::Transaction;"),
        ("models/agent.rs", "use super::super::store::Agents;"),
        (
            "models/agent.rs",
            "use crate::{error::StateStoreError, engine::{WriteKind, options}};",
        ),
        ("models/agent.rs", "fn f() -> crate::store::Agents {}"),
        ("models/agent.rs", "use crate::SqliteStateStore;"),
        ("models/agent.rs", "use crate::*;"),
        ("models/mod.rs", "use super::repository::Backend;"),
        ("repository/agents.rs", "use crate::engine::WriteKind;"),
        (
            "repository/agents.rs",
            "mod tests { use super::super::super::store::Agents; }",
        ),
        (
            "repository/mod.rs",
            "macro_rules! m { () => { $crate::store::Agents }; }",
        ),
        (
            "engine/database/mod.rs",
            "use crate::repository::Transaction;",
        ),
        ("engine/database/mod.rs", "use crate::models::Event;"),
        ("engine/database/mod.rs", "use crate::store::Agents;"),
        ("store/agents.rs", "use crate::schema::events;"),
        ("store/agents.rs", "use crate::runner::RunnerError;"),
        ("migrations.rs", "use crate::models::Event;"),
        ("error.rs", "use crate::limits::Limits;"),
        ("condition.rs", "use crate::error::StateStoreError;"),
        ("numbers.rs", "use crate::condition::SaveIf;"),
        ("clock.rs", "use crate::codec::Codec;"),
        ("page.rs", "use crate::models::Event;"),
        ("limits.rs", "impl From<super::store::Agents> for Limits {}"),
        ("state_store.rs", "use crate::engine::WriteKind;"),
        ("schema.rs", "use diesel::prelude::*;"),
        ("runner/mod.rs", "use crate::engine::WriteKind;"),
        ("runner/mod.rs", "use crate::store::Agents;"),
        ("runner/mod.rs", "use diesel::prelude::*;"),
        ("models/agent.rs", "use tokio::sync::Mutex;"),
        (
            "repository/agents.rs",
            "async fn f() { ::tokio::task::yield_now().await }",
        ),
        ("repository/agents.rs", "use {std::fmt, tokio::time};"),
        ("lib.rs", "pub use tokio;"),
        ("repository/agents.rs", "use deadpool_diesel::sqlite::Pool;"),
        (
            "store/migrations.rs",
            "use diesel_migrations::MigrationHarness;",
        ),
        ("repository/agents.rs", "diesel::sql_query(\"SELECT 1\");"),
        ("repository/agents.rs", "let one = sql::<BigInt>(\"1\");"),
        ("store/mod.rs", "connection.batch_execute(\"COMMIT\")?;"),
        ("helpers/mod.rs", "use crate::error::StateStoreError;"),
        ("repository/bodies/agents.rs", "use diesel::sqlite::Sqlite;"),
        (
            "repository/bodies/agents.rs",
            "fn f(c: &mut SqliteConnection) {}",
        ),
        ("engine/wal.rs", "connection.batch_execute(\"PRAGMA x;\");"),
        ("store/mod.rs", "let one = \"SELECT x FROM pragma_x\";"),
        (
            "engine/schema.rs",
            "error.to_string().contains(\"is locked\");",
        ),
    ] {
        assert!(!of(file, source).is_empty(), "{file}: {source}");
    }
}

#[test]
fn what_the_design_allows_is_no_breach() {
    for (file, source) in [
        (
            "models/agent.rs",
            "use super::stored::Place; use crate::{codec::Codec, schema::events};",
        ),
        (
            "models/agent.rs",
            "// use crate::store::Agents;\n/* crate::sqlite /* nested */ tokio::spawn */",
        ),
        (
            "models/agent.rs",
            "/// [`Agents`](crate::store::Agents), `tokio::spawn`\nstruct A;",
        ),
        (
            "models/agent.rs",
            "const A: &str = \"crate::store::A \\\" tokio::x\"; const B: &str = r#\"use \"tokio::x\"\"#;",
        ),
        (
            "models/agent.rs",
            "pub(crate) fn f<'a>(c: char) -> bool { c == '\"' || c == '\\'' }",
        ),
        (
            "models/agent.rs",
            "mod tests { use super::Agent; use super::super::Scope; }",
        ),
        (
            "repository/mod.rs",
            "macro_rules! m { () => { $crate::repository::x!(crate::page::Order) }; }",
        ),
        (
            "repository/agents.rs",
            "use crate::models::Scope; use crate::error::StateStoreError; use diesel::prelude::*;",
        ),
        (
            "engine/database/mod.rs",
            "use crate::migrations::{self, Revert}; use tokio::runtime::Handle; connection.batch_execute(\"x\");",
        ),
        (
            "store/mod.rs",
            "use crate::engine::WriteKind; use crate::repository::Transaction; use deadpool_diesel::sqlite::Pool;",
        ),
        (
            "store/contract.rs",
            "use crate::state_store::StateStore; use crate::condition::SaveIf;",
        ),
        (
            "error.rs",
            "use crate::condition::SaveIf; use diesel::result::Error;",
        ),
        (
            "migrations.rs",
            "use crate::error::MigrationError; use diesel_migrations::embed_migrations; sql::<Text>(\"x\");",
        ),
        (
            "runner/mod.rs",
            "use crate::{Agents, SqliteStateStore}; use tokio::process::Command; use super::runner::X;",
        ),
        (
            "schema.rs",
            "diesel::table! { events (seq) { seq -> BigInt, } }",
        ),
        (
            "lib.rs",
            "pub use {deadpool_diesel, diesel}; pub use store::Agents;",
        ),
    ] {
        assert_eq!(of(file, source), Vec::<String>::new(), "{file}: {source}");
    }
}
