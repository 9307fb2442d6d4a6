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

/// Returns every public async method, read from the sources: `agents.save` for a handle's, the bare name for the store's own.
pub fn public_async_methods() -> Result<BTreeSet<String>, Box<dyn Error>> {
    let sources = repository().join("src");
    let mut methods = BTreeSet::new();
    for entry in fs::read_dir(sources.join("store"))? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let handle = stem.filter(|stem| !matches!(*stem, "mod" | "contract"));
        for rest in text.split("pub async fn ").skip(1) {
            let name = rest.split(['(', '<']).next().unwrap_or_default();
            // The macro's own `$name` isn't a method.
            if name.starts_with(|first: char| first.is_ascii_lowercase()) {
                methods.insert(handle.map_or(name.to_owned(), |handle| format!("{handle}.{name}")));
            }
        }
    }
    let contract = fs::read_to_string(sources.join("state_store.rs"))?;
    let list = contract.split("$define! {").nth(1).unwrap_or_default();
    let list = list.split("macro_rules!").next().unwrap_or_default();
    for line in list.lines() {
        if let Some(rest) = line.trim_start().strip_prefix("fn ") {
            methods.insert(rest.split('(').next().unwrap_or_default().to_owned());
        }
    }
    Ok(methods)
}
