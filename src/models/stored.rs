//! Column values as they lie in the file, before they are checked.
//!
//! SQLite converts silently (text in a BIGINT column reads as a number) and Diesel replaces bad UTF-8; these types
//! look at the stored type first and keep the reason until the row's key is known.

use std::borrow::Borrow;

use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::{AsExpression, ValidGrouping, is_aggregate};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, Binary, Bool, HasSqlType, Text};
use diesel::sqlite::{Sqlite, SqliteType, SqliteValue};
use serde_json::Value;
use uuid::Uuid;

use crate::codec::{Codec, Encoded, Undecodable};
use crate::error::StateStoreError;
use crate::limits::read_json;

/// Which row is being decoded, for the error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) table: &'static str,
    pub(crate) key: &'a str,
}

impl Place<'_> {
    pub(crate) fn corrupt(
        self,
        column: &'static str,
        reason: impl Into<String>,
    ) -> StateStoreError {
        StateStoreError::Corrupt {
            table: self.table,
            key: self.key.to_owned(),
            column,
            reason: reason.into(),
        }
    }

    /// Returns the row's key as a UUID.
    pub(crate) fn uuid(self, column: &'static str) -> Result<Uuid, StateStoreError> {
        Uuid::parse_str(self.key)
            .map_err(|error| self.corrupt(column, format!("{:?} is not a UUID: {error}", self.key)))
    }

    /// Decodes a nullable column.
    pub(crate) fn optional<S, T>(
        self,
        stored: Option<S>,
        column: &'static str,
        decode: fn(S, Self, &'static str) -> Result<T, StateStoreError>,
    ) -> Result<Option<T>, StateStoreError> {
        stored
            .map(|stored| decode(stored, self, column))
            .transpose()
    }
}

fn wrong_type(wanted: &str, found: Option<SqliteType>) -> String {
    match found {
        Some(found) => format!("it holds {found:?}, not {wanted}"),
        None => format!("it holds NULL, not {wanted}"),
    }
}

/// A TEXT value.
#[derive(Debug, Clone, FromSqlRow)]
pub(crate) struct StoredText(Result<String, String>);

impl FromSql<Text, Sqlite> for StoredText {
    fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        Ok(Self(match value.value_type() {
            Some(SqliteType::Text) => utf8(&mut value),
            other => Err(wrong_type("text", other)),
        }))
    }
}

/// Returns the text of a TEXT value. Diesel reads bad UTF-8 with U+FFFD in its place, and copies a text twice to read its
/// bytes: so they are looked at only where that character is.
fn utf8(value: &mut SqliteValue<'_, '_, '_>) -> Result<String, String> {
    let text = value.read_text();
    if !text.contains(char::REPLACEMENT_CHARACTER) {
        return Ok(text.to_owned());
    }
    String::from_utf8(value.read_blob().to_vec())
        .map_err(|error| format!("it is not UTF-8: {error}"))
}

impl StoredText {
    /// Returns the text that names the row.
    pub(crate) fn key(
        self,
        table: &'static str,
        column: &'static str,
    ) -> Result<String, StateStoreError> {
        self.0.map_err(|reason| {
            let key = "<unreadable>";
            Place { table, key }.corrupt(column, reason)
        })
    }

    pub(crate) fn text(
        self,
        place: Place<'_>,
        column: &'static str,
    ) -> Result<String, StateStoreError> {
        self.0.map_err(|reason| place.corrupt(column, reason))
    }

    pub(crate) fn json(
        self,
        place: Place<'_>,
        column: &'static str,
    ) -> Result<Value, StateStoreError> {
        json_of(&self.text(place, column)?, place, column)
    }

    /// Returns an enum, from its one spelling.
    pub(crate) fn parse<T: TextEnum>(
        self,
        place: Place<'_>,
        column: &'static str,
    ) -> Result<T, StateStoreError> {
        let text = self.text(place, column)?;
        T::from_text(&text).ok_or_else(|| place.corrupt(column, format!("unknown value {text:?}")))
    }
}

/// Returns the JSON of a stored text.
pub(crate) fn json_of(
    text: &str,
    place: Place<'_>,
    column: &'static str,
) -> Result<Value, StateStoreError> {
    read_json(text).map_err(|error| place.corrupt(column, format!("it is not JSON: {error}")))
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

/// A BIGINT value.
#[derive(Debug, Clone, FromSqlRow)]
pub(crate) struct StoredInteger(Result<i64, String>);

impl FromSql<BigInt, Sqlite> for StoredInteger {
    fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        Ok(Self(match value.value_type() {
            Some(SqliteType::Long) => Ok(value.read_long()),
            other => Err(wrong_type("an integer", other)),
        }))
    }
}

impl StoredInteger {
    pub(crate) fn integer(
        self,
        place: Place<'_>,
        column: &'static str,
    ) -> Result<i64, StateStoreError> {
        self.0.map_err(|reason| place.corrupt(column, reason))
    }
}

/// A BOOLEAN value.
#[derive(Debug, Clone, FromSqlRow)]
pub(crate) struct StoredFlag(Result<bool, String>);

impl FromSql<Bool, Sqlite> for StoredFlag {
    fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        Ok(Self(match value.value_type() {
            Some(SqliteType::Long) => match value.read_long() {
                0 => Ok(false),
                1 => Ok(true),
                other => Err(format!("{other} is neither 0 nor 1")),
            },
            other => Err(wrong_type("a boolean", other)),
        }))
    }
}

impl StoredFlag {
    pub(crate) fn flag(
        self,
        place: Place<'_>,
        column: &'static str,
    ) -> Result<bool, StateStoreError> {
        self.0.map_err(|reason| place.corrupt(column, reason))
    }
}

/// A state body on its way in: text, or a BLOB in the same TEXT column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Body(pub(crate) Encoded);

impl Body {
    /// Returns the number that stands in the column beside it.
    pub(crate) fn codec(&self) -> i64 {
        self.0.codec().number()
    }

    /// Returns whether it is this text.
    pub(crate) fn is_text(&self, text: &str) -> bool {
        let decoded = self.0.clone().decode(text.len());
        decoded.is_ok_and(|decoded| decoded == text)
    }
}

/// A [`Body`] as an expression. Diesel refuses to bind a BLOB as `Text`, so this binds each kind as what it is.
#[derive(Debug, Clone, Copy, QueryId)]
pub(crate) struct BodyExpression<B>(B);

impl AsExpression<Text> for Body {
    type Expression = BodyExpression<Self>;

    fn as_expression(self) -> Self::Expression {
        BodyExpression(self)
    }
}

impl<'a> AsExpression<Text> for &'a Body {
    type Expression = BodyExpression<&'a Body>;

    fn as_expression(self) -> Self::Expression {
        BodyExpression(self)
    }
}

impl<B> Expression for BodyExpression<B> {
    type SqlType = Text;
}

impl<B, Source> AppearsOnTable<Source> for BodyExpression<B> {}
impl<B, Source> SelectableExpression<Source> for BodyExpression<B> {}
impl<B, Grouping> ValidGrouping<Grouping> for BodyExpression<B> {
    type IsAggregate = is_aggregate::Never;
}

impl<B, DB> QueryFragment<DB> for BodyExpression<B>
where
    B: Borrow<Body>,
    DB: Backend + HasSqlType<Text> + HasSqlType<Binary>,
    str: ToSql<Text, DB>,
    [u8]: ToSql<Binary, DB>,
{
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        match &self.0.borrow().0 {
            Encoded::Text(text) => pass.push_bind_param::<Text, str>(text.as_str()),
            Encoded::Zstd(bytes) => pass.push_bind_param::<Binary, [u8]>(bytes.as_slice()),
        }
    }
}

/// A state body on its way out, as whichever of the two the column holds.
#[derive(Debug, Clone, FromSqlRow)]
pub(crate) struct StoredBody(Result<Encoded, String>);

impl FromSql<Text, Sqlite> for StoredBody {
    fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        Ok(Self(match value.value_type() {
            Some(SqliteType::Text) => utf8(&mut value).map(Encoded::Text),
            Some(SqliteType::Binary) => Ok(Encoded::Zstd(value.read_blob().to_vec())),
            other => Err(wrong_type("a state body", other)),
        }))
    }
}

/// The two columns of a state body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyColumns {
    body: &'static str,
    codec: &'static str,
}

pub(crate) const STATE_DATA: BodyColumns = BodyColumns {
    body: "state_data",
    codec: "state_data_codec",
};
pub(crate) const STATE_BEFORE: BodyColumns = BodyColumns {
    body: "state_before",
    codec: "state_before_codec",
};
pub(crate) const STATE_AFTER: BodyColumns = BodyColumns {
    body: "state_after",
    codec: "state_after_codec",
};

impl StoredBody {
    /// Returns the state's text, and how it was stored.
    pub(crate) fn state(
        self,
        codec: StoredInteger,
        ceiling: usize,
        place: Place<'_>,
        columns: BodyColumns,
    ) -> Result<(String, Codec), StateStoreError> {
        let codec = Codec::from_number(codec.integer(place, columns.codec)?)
            .map_err(|reason| place.corrupt(columns.codec, reason))?;
        let corrupt = |reason: String| place.corrupt(columns.body, reason);
        let encoded = self.0.map_err(corrupt)?;
        if encoded.codec() != codec {
            return Err(corrupt(format!(
                "its codec says {}, its storage class doesn't",
                codec.as_str()
            )));
        }
        let text = encoded.decode(ceiling).map_err(|reason| match reason {
            Undecodable::Corrupt(reason) => corrupt(reason),
            Undecodable::TooLarge(size) => StateStoreError::TooLarge {
                field: columns.body,
                size,
                limit: ceiling as u64,
                unit: "bytes",
            },
        })?;
        Ok((text, codec))
    }
}
