//! Rows on their way out.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

harness::decoders!(SqliteRow);
