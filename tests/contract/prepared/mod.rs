//! The statements that the store prepares once a connection: they write what plain Diesel writes, whatever came before
//! them on the connection, and they are prepared once.

mod once;
mod plain;
mod rows;
mod writes;
