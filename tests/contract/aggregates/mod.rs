//! The fuller API of the aggregate handles: expectations and revisions, pages and filters, lifecycles, transactions,
//! an application's own tables.

mod bulk;
mod compression;
mod expectations;
mod filters;
mod metadata_text;
mod omitted;
mod own_tables;
mod pages;
mod purges;
mod readers;
mod recorded_again;
mod revisions;
mod sessions;
mod snapshots;
mod times;
mod transactions;
mod updates;
