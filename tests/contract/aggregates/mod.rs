//! The fuller API of the aggregate handles: expectations and revisions, pages and filters, lifecycles, transactions,
//! an application's own tables.

mod batches;
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
mod steps;
mod times;
mod transactions;
mod updates;
