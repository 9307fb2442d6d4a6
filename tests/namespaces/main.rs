//! Namespaces never touch: keys, rows, searches, and every public method.

#[path = "../common/mod.rs"]
mod common;
mod handles;
mod isolation;
mod prefixes;
mod table;
