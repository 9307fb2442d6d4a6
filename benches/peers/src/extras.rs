//! What can't be part of this binary: the contestant with another SQLite, and the library that slows fsync down.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// What is built is built like this program: optimized to measure, plain where it is only to be seen to run.
const PROFILE: &str = if cfg!(debug_assertions) {
    "debug"
} else {
    "release"
};

/// Where the sources are.
pub(crate) fn manifest_directory() -> PathBuf {
    // cargo sets it while it runs the program; else it is where it was built.
    env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from)
}

pub(crate) fn target_directory() -> PathBuf {
    workspace_directory().join("target")
}

/// The workspace of all benchmarks.
fn workspace_directory() -> PathBuf {
    manifest_directory().join("..")
}

/// Builds sqlx's contestant; returns its executable.
pub(crate) fn build_sqlx() -> Result<PathBuf> {
    let manifest = manifest_directory().join("sqlx").join("Cargo.toml");
    let target = target_directory().join("sqlx");
    build(&manifest, &target, &[])?;
    Ok(target.join(PROFILE).join("sqlx-contestant"))
}

/// Builds the library that slows fsync down; returns its file.
pub(crate) fn build_slow_fsync() -> Result<PathBuf> {
    let manifest = workspace_directory().join("Cargo.toml");
    let target = target_directory();
    build(&manifest, &target, &["--package", "slow-fsync"])?;
    Ok(target.join(PROFILE).join("libslow_fsync.so"))
}

fn build(manifest: &Path, target: &Path, more: &[&str]) -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--locked", "--quiet"])
        .args((PROFILE == "release").then_some("--release"))
        .args(["--manifest-path".as_ref(), manifest.as_os_str()])
        .args(["--target-dir".as_ref(), target.as_os_str()])
        .args(more)
        .status()
        .context("running cargo")?;
    ensure!(
        status.success(),
        "cargo could not build {}",
        manifest.display()
    );
    Ok(())
}
