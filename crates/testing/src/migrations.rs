//! The migrations as the Diesel command sees them: from the directory, not from the library.

use std::path::PathBuf;

use diesel_migrations::FileBasedMigrations;

use crate::repository;

/// Returns the migrations of the directory.
#[must_use]
pub fn migrations_on_disk() -> FileBasedMigrations {
    FileBasedMigrations::from_path(migrations_directory()).unwrap()
}

/// Returns the directory of the migrations.
#[must_use]
pub fn migrations_directory() -> PathBuf {
    repository().join("migrations")
}

/// Returns the names of the migrations' directories, by number.
#[must_use]
pub fn migration_names() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(migrations_directory())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
