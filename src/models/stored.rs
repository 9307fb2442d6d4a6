//! Column values as they lie in the file, before they are checked.
//!
//! SQLite converts silently (text in a BIGINT column reads as a number) and Diesel replaces bad UTF-8; these types
//! look at the stored type first and keep the reason until the row's key is known.

use std::str::Utf8Error;

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::sql_types::{BigInt, Bool, Text};
use diesel::sqlite::{Sqlite, SqliteType, SqliteValue};
use serde_json::Value;
use uuid::Uuid;

use crate::error::StateStoreError;
use crate::limits::read_json;
use crate::namespace::Namespace;

/// Which row is being decoded, for the error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    table: &'static str,
    key: RowKey<'a>,
}

/// What names a row; it becomes text where there is an error.
#[derive(Debug, Clone, Copy)]
enum RowKey<'a> {
    Text(&'a str),
    Uuid(Uuid),
    Agent(&'a Namespace, &'a str),
}

impl<'a> Place<'a> {
    pub(crate) fn new(table: &'static str, key: &'a str) -> Self {
        let key = RowKey::Text(key);
        Self { table, key }
    }

    /// Returns the row of an agent, whose key wasn't read.
    pub(crate) fn of_agent(namespace: &'a Namespace, agent_id: &'a str) -> Self {
        let key = RowKey::Agent(namespace, agent_id);
        let table = "agent_states";
        Self { table, key }
    }

    #[cold]
    pub(crate) fn corrupt(
        self,
        column: &'static str,
        reason: impl Into<String>,
    ) -> StateStoreError {
        StateStoreError::Corrupt {
            table: self.table,
            key: match self.key {
                RowKey::Text(key) => key.to_owned(),
                RowKey::Uuid(id) => id.to_string(),
                RowKey::Agent(namespace, agent_id) => namespace.key(agent_id),
            },
            column,
            reason: reason.into(),
        }
    }

    /// Decodes a nullable column.
    pub(crate) fn optional<S, T>(
        self,
        stored: Option<S>,
        column: &'static str,
        decode: fn(S, Self, &'static str) -> Result<T, StateStoreError>,
    ) -> Result<Option<T>, StateStoreError> {
        match stored {
            Some(stored) => decode(stored, self, column).map(Some),
            None => Ok(None),
        }
    }
}

/// A row as it was read.
pub(crate) trait StoredRow {
    /// Returns how many bytes its large values have once they are decoded.
    fn bytes(&self) -> usize;
}

/// The key in the error where the one that is stored is none.
pub(super) const UNREADABLE: &str = "<unreadable>";

/// Why a value isn't what its column holds. It becomes text where there is an error: nothing is allocated for values that
/// are as they should be, and there is nothing to drop.
#[derive(Debug, Clone, Copy)]
pub(super) enum Misfit {
    Type(&'static str, Option<SqliteType>),
    Utf8(Utf8Error),
    Flag(i64),
}

impl Misfit {
    #[cold]
    pub(super) fn reason(self) -> String {
        match self {
            Self::Type(wanted, Some(found)) => format!("it holds {found:?}, not {wanted}"),
            Self::Type(wanted, None) => format!("it holds NULL, not {wanted}"),
            Self::Utf8(error) => format!("it is not UTF-8: {error}"),
            Self::Flag(number) => format!("{number} is neither 0 nor 1"),
        }
    }
}

/// A TEXT value.
#[derive(Debug, Clone, FromSqlRow)]
pub(crate) struct StoredText(Result<String, Misfit>);

impl FromSql<Text, Sqlite> for StoredText {
    fn from_sql(value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        match value.value_type() {
            Some(SqliteType::Text) => owned(value).map(Self),
            other => Ok(Self(Err(Misfit::Type("text", other)))),
        }
    }
}

/// Returns a copy of a text. Diesel says where it isn't UTF-8 only to who asks for a `String`.
pub(super) fn owned(value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Result<String, Misfit>> {
    let text = <String as FromSql<Text, Sqlite>>::from_sql(value);
    match text {
        Ok(text) => Ok(Ok(text)),
        Err(error) => match error.downcast_ref::<Utf8Error>() {
            Some(error) => Ok(Err(Misfit::Utf8(*error))),
            None => Err(error),
        },
    }
}

/// The first byte of U+FFFD.
const FIRST_OF_REPLACEMENT: u8 = 0xEF;

/// Does something with the text of a TEXT value, without a copy of it.
fn with_text<T>(
    value: &mut SqliteValue<'_, '_, '_>,
    work: impl FnOnce(&str) -> T,
) -> Result<T, Misfit> {
    match value.value_type() {
        Some(SqliteType::Text) => with_utf8(value, work),
        other => Err(Misfit::Type("text", other)),
    }
}

/// Diesel reads bad UTF-8 with U+FFFD in its place, and copies a text twice to read its bytes: so they are looked at only
/// where that character may be.
fn with_utf8<T>(
    value: &mut SqliteValue<'_, '_, '_>,
    work: impl FnOnce(&str) -> T,
) -> Result<T, Misfit> {
    let text = value.read_text();
    // A byte is found faster than a character; few others begin with it.
    if !text.as_bytes().contains(&FIRST_OF_REPLACEMENT) {
        return Ok(work(text));
    }
    std::str::from_utf8(value.read_blob())
        .map(work)
        .map_err(Misfit::Utf8)
}

impl StoredText {
    #[cfg(feature = "postgres")]
    pub(super) fn of(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes);
        Self(text.map(str::to_owned).map_err(Misfit::Utf8))
    }

    /// Returns the text that names the row.
    pub(crate) fn key(
        self,
        table: &'static str,
        column: &'static str,
    ) -> Result<String, StateStoreError> {
        self.text(Place::new(table, UNREADABLE), column)
    }

    pub(crate) fn text(
        self,
        place: Place<'_>,
        column: &'static str,
    ) -> Result<String, StateStoreError> {
        self.0
            .map_err(|misfit| place.corrupt(column, misfit.reason()))
    }

    /// Returns how many bytes it has.
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, String::len)
    }
}

/// A UUID as TEXT, which names its row.
#[derive(Debug, Clone, FromSqlRow)]
pub(crate) struct StoredId(Result<Uuid, Box<BadId>>);

#[derive(Debug, Clone)]
struct BadId {
    key: String,
    reason: String,
}

impl FromSql<Text, Sqlite> for StoredId {
    fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        let parsed = with_text(&mut value, Self::parse);
        Ok(parsed.unwrap_or_else(Self::unreadable))
    }
}

impl StoredId {
    fn parse(text: &str) -> Self {
        Self(Uuid::try_parse(text).map_err(|error| {
            Box::new(BadId {
                key: text.to_owned(),
                reason: format!("{text:?} is not a UUID: {error}"),
            })
        }))
    }

    fn unreadable(misfit: Misfit) -> Self {
        Self(Err(Box::new(BadId {
            key: UNREADABLE.to_owned(),
            reason: misfit.reason(),
        })))
    }

    #[cfg(feature = "postgres")]
    pub(super) fn of(text: Result<&str, Utf8Error>) -> Self {
        text.map_or_else(|error| Self::unreadable(Misfit::Utf8(error)), Self::parse)
    }

    /// Returns the id, and the row that it names.
    pub(crate) fn id(
        self,
        table: &'static str,
        column: &'static str,
    ) -> Result<(Uuid, Place<'static>), StateStoreError> {
        match self.0 {
            Ok(id) => {
                let key = RowKey::Uuid(id);
                Ok((id, Place { table, key }))
            }
            Err(bad) => Err(Place::new(table, &bad.key).corrupt(column, bad.reason)),
        }
    }
}

/// JSON as TEXT, read without a copy of the text.
#[derive(Debug, Clone, FromSqlRow)]
pub(crate) struct StoredJson {
    value: Result<Value, Box<str>>,
    bytes: usize,
}

impl FromSql<Text, Sqlite> for StoredJson {
    fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        let read = with_text(&mut value, Self::read);
        Ok(read.unwrap_or_else(Self::unreadable))
    }
}

impl StoredJson {
    fn read(text: &str) -> Self {
        Self {
            value: read_json(text).map_err(|error| no_json(&error).into()),
            bytes: text.len(),
        }
    }

    fn unreadable(misfit: Misfit) -> Self {
        Self {
            value: Err(misfit.reason().into()),
            bytes: 0,
        }
    }

    #[cfg(feature = "postgres")]
    pub(super) fn of(text: Result<&str, Utf8Error>) -> Self {
        text.map_or_else(|error| Self::unreadable(Misfit::Utf8(error)), Self::read)
    }

    pub(crate) fn json(
        self,
        place: Place<'_>,
        column: &'static str,
    ) -> Result<Value, StateStoreError> {
        self.value.map_err(|reason| place.corrupt(column, reason))
    }

    /// Returns how many bytes its text has.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }
}

fn no_json(error: &serde_json::Error) -> String {
    format!("it is not JSON: {error}")
}

/// Returns the JSON of a stored text.
pub(crate) fn json_of(
    text: &str,
    place: Place<'_>,
    column: &'static str,
) -> Result<Value, StateStoreError> {
    read_json(text).map_err(|error| place.corrupt(column, no_json(&error)))
}

/// Returns whether a text is this JSON, as values: the order of keys in the text is a setting of serde_json's.
pub(crate) fn is_json(text: Option<&str>, value: Option<&Value>) -> bool {
    let parsed = text.map(read_json).and_then(Result::ok);
    parsed.as_ref() == value
}

/// An enum that is stored as text.
pub(crate) trait TextEnum: Sized {
    fn from_text(text: &str) -> Option<Self>;
}

/// A [`TextEnum`] as TEXT, read from its one spelling.
#[derive(Debug, Clone, FromSqlRow)]
pub(crate) struct StoredEnum<T>(Result<T, Box<str>>);

impl<T: TextEnum> FromSql<Text, Sqlite> for StoredEnum<T> {
    fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        let parsed = with_text(&mut value, Self::read);
        Ok(parsed.unwrap_or_else(Self::unreadable))
    }
}

impl<T: TextEnum> StoredEnum<T> {
    fn read(text: &str) -> Self {
        Self(T::from_text(text).ok_or_else(|| format!("unknown value {text:?}").into()))
    }

    fn unreadable(misfit: Misfit) -> Self {
        Self(Err(misfit.reason().into()))
    }

    #[cfg(feature = "postgres")]
    pub(super) fn of(text: Result<&str, Utf8Error>) -> Self {
        text.map_or_else(|error| Self::unreadable(Misfit::Utf8(error)), Self::read)
    }
}

impl<T> StoredEnum<T> {
    pub(crate) fn parse(
        self,
        place: Place<'_>,
        column: &'static str,
    ) -> Result<T, StateStoreError> {
        self.0.map_err(|reason| place.corrupt(column, reason))
    }
}

/// A BIGINT value.
#[derive(Debug, Clone, Copy, FromSqlRow)]
pub(crate) struct StoredInteger(Result<i64, Misfit>);

impl FromSql<BigInt, Sqlite> for StoredInteger {
    fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        Ok(Self(match value.value_type() {
            Some(SqliteType::Long) => Ok(value.read_long()),
            other => Err(Misfit::Type("an integer", other)),
        }))
    }
}

impl StoredInteger {
    #[cfg(feature = "postgres")]
    pub(super) fn of(number: i64) -> Self {
        Self(Ok(number))
    }

    pub(crate) fn integer(
        self,
        place: Place<'_>,
        column: &'static str,
    ) -> Result<i64, StateStoreError> {
        self.0
            .map_err(|misfit| place.corrupt(column, misfit.reason()))
    }
}

/// A BOOLEAN value.
#[derive(Debug, Clone, Copy, FromSqlRow)]
pub(crate) struct StoredFlag(Result<bool, Misfit>);

impl FromSql<Bool, Sqlite> for StoredFlag {
    fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        Ok(Self(match value.value_type() {
            Some(SqliteType::Long) => match value.read_long() {
                0 => Ok(false),
                1 => Ok(true),
                other => Err(Misfit::Flag(other)),
            },
            other => Err(Misfit::Type("a boolean", other)),
        }))
    }
}

impl StoredFlag {
    #[cfg(feature = "postgres")]
    pub(super) fn of(flag: bool) -> Self {
        Self(Ok(flag))
    }

    pub(crate) fn flag(
        self,
        place: Place<'_>,
        column: &'static str,
    ) -> Result<bool, StateStoreError> {
        self.0
            .map_err(|misfit| place.corrupt(column, misfit.reason()))
    }
}
