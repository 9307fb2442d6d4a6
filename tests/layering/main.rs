//! Layering: what each room of the source may import, as DESIGN section 3 has it.
//!
//! The test reads every path that a file names, in `use` or elsewhere, and resolves `crate`, `self` and `super`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod paths;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use paths::{idents, paths};

/// What everybody but `error`, `expected` and `schema` may import.
const LEAVES: [&str; 8] = [
    "error",
    "commit_notes",
    "expected",
    "clock",
    "codec",
    "limits",
    "namespace",
    "page",
];

/// The rooms beside the leaves that a room may import; `None` for a room that nobody knows.
fn may_import(room: &str) -> Option<Vec<&'static str>> {
    let with_leaves = |rooms: &[&'static str]| rooms.iter().copied().chain(LEAVES).collect();
    Some(match room {
        "schema" | "expected" => vec![],
        "error" => vec!["expected"],
        "commit_notes" => vec![],
        "clock" | "codec" | "limits" | "namespace" | "page" | "migrations" => vec!["error"],
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
        "tokio" => ["engine", "store", "runner", "bin"].contains(&room),
        // The face exports it again.
        "deadpool_diesel" => ["engine", "store", "lib"].contains(&room),
        "deadpool" | "libsqlite3_sys" => room == "engine",
        "diesel_migrations" => room == "migrations",
        "diesel" => !["runner", "bin"].contains(&room),
        _ => true,
    }
}

/// The room that a file belongs to: its first directory or its own name.
fn room_of(file: &Path) -> String {
    let first = file.components().next().unwrap().as_os_str();
    let first = first.to_str().unwrap();
    first.strip_suffix(".rs").unwrap_or(first).to_owned()
}

/// The modules that lead to a file, from the root of its crate.
fn module_of(file: &Path) -> Vec<String> {
    let mut names: Vec<String> = file
        .with_extension("")
        .iter()
        .map(|name| name.to_str().unwrap().to_owned())
        .collect();
    if names[0] == "bin" {
        names.drain(..2);
    }
    names.pop_if(|last| ["mod", "lib", "main"].contains(&last.as_str()));
    names
}

/// What a file imports that it may not. `face` is what `lib.rs` exports.
fn breaches(file: &Path, source: &str, face: &BTreeSet<String>) -> Vec<String> {
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
            // The bin's own modules; the library is another crate to it, of which it sees the public face only.
            "bin" | "lib" => true,
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
    if room == "schema" && words.iter().any(|word| word == "use") {
        breach("schema is generated and imports nothing".into());
    }
    if !["migrations", "engine"].contains(&room.as_str()) {
        for (index, word) in words.iter().enumerate() {
            let next = words.get(index + 1).map_or("", String::as_str);
            let is_sql = word == "sql" && ["(", "::<"].contains(&next);
            if is_sql || ["sql_query", "batch_execute", "SqlLiteral"].contains(&word.as_str()) {
                breach(format!("raw SQL ({word}) belongs to migrations and engine"));
            }
        }
    }
    breaches
}

/// The names that `lib.rs` exports with `pub use`.
fn face(library: &str) -> BTreeSet<String> {
    let exports = library.split("pub use ").skip(1);
    exports
        .flat_map(|export| paths(export.split(';').next().unwrap(), &[]))
        .filter_map(|path| path.segments.last().cloned())
        .collect()
}

/// Every source file, relative to `src`.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn every_room_imports_only_what_the_design_allows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let face = face(&std::fs::read_to_string(root.join("lib.rs")).unwrap());
    let files = files(&root);
    assert!(files.len() > 40, "{} files", files.len());
    let mut all = Vec::new();
    for file in files {
        let source = std::fs::read_to_string(&file).unwrap();
        let relative = file.strip_prefix(&root).unwrap();
        all.extend(breaches(relative, &source, &face));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

fn of(file: &str, source: &str) -> Vec<String> {
    let face = face("pub use store::{Agents, SqliteStateStore}; use engine::Shape;");
    breaches(Path::new(file), source, &face)
}

#[test]
fn a_breach_of_each_rule_is_seen() {
    for (file, source) in [
        ("models/agent.rs", "use crate::repository::Transaction;"),
        ("models/agent.rs", "use super::super::store::Agents;"),
        (
            "models/agent.rs",
            "use crate::{error::StateStoreError, engine::{Shape, options}};",
        ),
        ("models/agent.rs", "fn f() -> crate::store::Agents {}"),
        ("models/agent.rs", "use crate::SqliteStateStore;"),
        ("models/agent.rs", "use crate::*;"),
        ("models/mod.rs", "use super::repository::Pending;"),
        ("repository/agents.rs", "use crate::engine::Shape;"),
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
        ("expected.rs", "use crate::error::StateStoreError;"),
        ("clock.rs", "use crate::codec::Codec;"),
        ("page.rs", "use crate::models::Event;"),
        ("limits.rs", "impl From<super::store::Agents> for Limits {}"),
        ("state_store.rs", "use crate::engine::Shape;"),
        ("schema.rs", "use diesel::prelude::*;"),
        ("runner/mod.rs", "use crate::engine::Shape;"),
        ("runner/mod.rs", "use crate::store::Agents;"),
        ("runner/mod.rs", "use diesel::prelude::*;"),
        ("bin/descartes-state/main.rs", "use diesel::prelude::*;"),
        (
            "bin/descartes-state/main.rs",
            "fn f() { deadpool_diesel::sqlite::Pool::builder(); }",
        ),
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
            "use crate::engine::Shape; use crate::repository::Transaction; use deadpool_diesel::sqlite::Pool;",
        ),
        (
            "store/contract.rs",
            "use crate::state_store::StateStore; use crate::expected::Expected;",
        ),
        (
            "error.rs",
            "use crate::expected::Expected; use diesel::result::Error;",
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
            "bin/descartes-state/main.rs",
            "use descartes_state::StateStore; use crate::output::Table; use tokio::signal;",
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
