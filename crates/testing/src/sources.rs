//! What the sources of the library say.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// Returns the root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns every public async method, read from the sources: `agents.save` for a handle's, the bare name for the store's
/// own.
pub fn public_async_methods() -> Result<BTreeSet<String>, Box<dyn Error>> {
    let sources = repository().join("src");
    let mut methods = BTreeSet::new();
    // Those that are written out.
    for entry in fs::read_dir(sources.join("store"))? {
        let path = entry?.path();
        let file = if path.is_dir() {
            path.join("mod.rs")
        } else {
            path.clone()
        };
        let text = fs::read_to_string(file)?;
        let of_stores = [
            "mod", "contract", "face", "any", "postgres", "sqlite", "copy",
        ];
        let handle = stem(&path).filter(|stem| !of_stores.contains(stem));
        for rest in text.split("pub async fn ").skip(1) {
            let name = rest.split(['(', '<']).next().unwrap_or_default();
            // A macro's own `$name` isn't a method.
            if name.starts_with(|first: char| first.is_ascii_lowercase()) {
                methods.insert(handle.map_or(name.to_owned(), |handle| format!("{handle}.{name}")));
            }
        }
    }
    // Those of the aggregates' lists.
    for entry in fs::read_dir(sources.join("repository"))? {
        let path = entry?.path();
        if let Some(handle) = stem(&path).filter(|_| path.is_file()) {
            let kinds = [
                "one",
                "page",
                "search",
                "many",
                "SingleStatement",
                "FewStatements",
                "Bulk",
            ];
            let names = listed(&fs::read_to_string(&path)?, &kinds);
            methods.extend(names.iter().map(|name| format!("{handle}.{name}")));
        }
    }
    // Those of the guide's list.
    let contract = fs::read_to_string(sources.join("state_store.rs"))?;
    methods.extend(listed(&contract, &["read", "write"]));
    Ok(methods)
}

fn stem(path: &Path) -> Option<&str> {
    path.file_stem().and_then(|stem| stem.to_str())
}

/// Returns the names of the methods in a list, whose entries begin with one of these words.
fn listed(list: &str, kinds: &[&str]) -> Vec<String> {
    list.lines()
        .filter_map(|line| {
            let (before, after) = line.trim_start().split_once("fn ")?;
            let first = before.split(' ').next()?;
            let name = after.split('(').next()?;
            kinds.contains(&first).then(|| name.to_owned())
        })
        .collect()
}
