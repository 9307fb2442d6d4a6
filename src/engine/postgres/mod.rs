//! The engine under a store on PostgreSQL: connections, transactions, and the schema.
//!
//! A [`Handle`] is one store's. Every operation has a connection to itself, on the blocking pool; the server lets them run side by
//! side, and waits where they want the same rows.

mod address;
mod connections;
mod handle;
mod pooler;
mod repeat;
mod schema;
mod transaction;

pub(crate) use super::calls::Call;
pub(crate) use handle::Handle;
