//! What each room of the source may import, as `docs/design.md` has it; and that nothing imports in a circle.
//!
//! The tests read every path that a file names, in `use` or elsewhere, and resolve `crate`, `self` and `super`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod circles;
mod paths;
mod rules;

use std::path::{Path, PathBuf};

use descartes_state_testing::repository;

use circles::circles;
use rules::{breaches, face};

/// A source file: where it lies under `src`, and its text.
struct Source {
    file: PathBuf,
    text: String,
}

/// Every source file of the library.
fn sources() -> Vec<Source> {
    let root = repository().join("src");
    files(&root)
        .into_iter()
        .map(|path| Source {
            text: std::fs::read_to_string(&path).unwrap(),
            file: path.strip_prefix(&root).unwrap().to_owned(),
        })
        .collect()
}

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

/// The modules that lead to a file, from the root of the crate.
fn module_of(file: &Path) -> Vec<String> {
    let mut names: Vec<String> = file
        .with_extension("")
        .iter()
        .map(|name| name.to_str().unwrap().to_owned())
        .collect();
    // `repository/sqlite` mounts them.
    if let Some(bodies) = names.get_mut(1).filter(|name| *name == "bodies") {
        "sqlite".clone_into(bodies);
    }
    names.pop_if(|last| ["mod", "lib", "main"].contains(&last.as_str()));
    names
}

#[test]
fn every_room_imports_only_what_the_design_allows() {
    let sources = sources();
    assert!(sources.len() > 60, "{} files", sources.len());
    let library = sources
        .iter()
        .find(|source| source.file == Path::new("lib.rs"));
    let face = face(&library.unwrap().text);
    let all: Vec<String> = sources
        .iter()
        .flat_map(|source| breaches(&source.file, &source.text, &face))
        .collect();
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn no_two_rooms_and_no_two_files_of_a_room_import_each_other_in_a_circle() {
    let found = circles(&sources());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_circle_is_seen_at_every_depth() {
    let circle = |one: (&str, &str), other: (&str, &str)| {
        let source = |(file, text): (&str, &str)| Source {
            file: file.into(),
            text: text.into(),
        };
        circles(&[source(one), source(other)])
    };
    for (one, other) in [
        (
            ("page.rs", "use crate::limits::Limits;"),
            ("limits.rs", "use crate::page::Page;"),
        ),
        (
            ("engine/wal.rs", "use super::file::DatabaseFile;"),
            ("engine/file.rs", "use crate::engine::wal::Checkpointer;"),
        ),
        (
            ("engine/writer/queue.rs", "use super::leader::Leader;"),
            ("engine/writer/leader.rs", "use super::queue::WriteQueue;"),
        ),
        (
            ("engine/writer/queue.rs", "use crate::engine::wal::X;"),
            ("engine/wal.rs", "use super::writer::Writer;"),
        ),
        (
            (
                "repository/bodies/agents.rs",
                "use super::tasks::TaskTable;",
            ),
            (
                "repository/bodies/tasks.rs",
                "use super::agents::AgentTable;",
            ),
        ),
    ] {
        assert_eq!(circle(one, other).len(), 1, "{one:?} {other:?}");
        assert_eq!(circle(one, (other.0, "")), Vec::<String>::new());
    }
}

#[test]
fn the_packages_depend_only_downwards() {
    let dependencies = |package: &str| {
        let manifest = repository().join(package).join("Cargo.toml");
        let text = std::fs::read_to_string(manifest).unwrap();
        let section = text.split("\n[dependencies]").nth(1).unwrap();
        let section = section.split("\n[").next().unwrap().to_owned();
        let names = section
            .lines()
            .filter_map(|line| line.split([' ', '.', '=']).next());
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    for (package, forbidden) in [
        (
            ".",
            [
                "clap",
                "tracing-subscriber",
                "descartes-state-recorder",
                "criterion",
            ]
            .as_slice(),
        ),
        (
            "crates/recorder",
            &["clap", "diesel", "deadpool-diesel", "descartes-state-cli"],
        ),
        ("crates/cli", &["diesel", "deadpool-diesel"]),
    ] {
        let names = dependencies(package);
        assert!(
            names.iter().any(|name| name == "tokio"),
            "{package}: {names:?}"
        );
        for name in forbidden {
            assert!(
                !names.iter().any(|found| found == name),
                "{package}: {name}"
            );
        }
    }
}
