//! State bodies: text, or zstd, in one TEXT column, with the codec's number in another.

use std::borrow::Borrow;

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::{AsExpression, ValidGrouping, is_aggregate};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{Binary, Text};
use diesel::sqlite::{Sqlite, SqliteType, SqliteValue};

use super::stored::{Misfit, Place, StoredInteger, owned};
use crate::codec::{Codec, Encoded, Undecodable};
use crate::error::StateStoreError;

/// A state body on its way in: text, or a BLOB in the same TEXT column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Body(pub(crate) Encoded);

impl Body {
    /// Returns the empty state.
    pub(crate) fn empty() -> Self {
        Self(Encoded::Text(String::new()))
    }

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

impl<B: Borrow<Body>> QueryFragment<Sqlite> for BodyExpression<B> {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        match &self.0.borrow().0 {
            Encoded::Text(text) => pass.push_bind_param::<Text, str>(text.as_str()),
            Encoded::Zstd(bytes) => pass.push_bind_param::<Binary, [u8]>(bytes.as_slice()),
        }
    }
}

/// On PostgreSQL the column is `bytea`, whatever the body is.
#[cfg(feature = "postgres")]
impl<B: Borrow<Body>> QueryFragment<diesel::pg::Pg> for BodyExpression<B> {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, diesel::pg::Pg>) -> QueryResult<()> {
        pass.push_bind_param::<Binary, [u8]>(match &self.0.borrow().0 {
            Encoded::Text(text) => text.as_bytes(),
            Encoded::Zstd(bytes) => bytes,
        })
    }
}

/// A state body on its way out, as whichever of the two the column holds.
#[derive(Debug, Clone, FromSqlRow)]
pub(crate) struct StoredBody(Result<Stored, Misfit>);

/// A body as it was read.
#[derive(Debug, Clone)]
enum Stored {
    Encoded(Encoded),
    /// As whichever of the two the codec says.
    #[cfg(feature = "postgres")]
    Bytes(Vec<u8>),
}

#[cfg(feature = "postgres")]
impl Stored {
    /// What a zstd frame begins with (RFC 8878, section 3.1.1).
    const ZSTD: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
}

impl FromSql<Text, Sqlite> for StoredBody {
    fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        Ok(Self(match value.value_type() {
            Some(SqliteType::Text) => owned(value)?.map(Encoded::Text).map(Stored::Encoded),
            Some(SqliteType::Binary) => {
                let frame = Encoded::Zstd(value.read_blob().to_vec());
                Ok(Stored::Encoded(frame))
            }
            other => Err(Misfit::Type("a state body", other)),
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
    #[cfg(feature = "postgres")]
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Self(Ok(Stored::Bytes(bytes)))
    }

    /// Returns how many bytes it has once it is decoded.
    pub(crate) fn len(&self) -> usize {
        match &self.0 {
            Ok(Stored::Encoded(encoded)) => encoded.decoded_len(),
            #[cfg(feature = "postgres")]
            Ok(Stored::Bytes(bytes)) if bytes.starts_with(&Stored::ZSTD) => {
                crate::codec::decoded_len(bytes)
            }
            #[cfg(feature = "postgres")]
            Ok(Stored::Bytes(bytes)) => bytes.len(),
            Err(_) => 0,
        }
    }

    /// Returns the state as it was stored.
    pub(super) fn encoded(
        self,
        codec: StoredInteger,
        place: Place<'_>,
        columns: BodyColumns,
    ) -> Result<Encoded, StateStoreError> {
        let codec = Codec::from_number(codec.integer(place, columns.codec)?)
            .map_err(|reason| place.corrupt(columns.codec, reason))?;
        let corrupt = |reason: String| place.corrupt(columns.body, reason);
        #[cfg_attr(
            not(feature = "postgres"),
            allow(clippy::infallible_destructuring_match)
        )]
        let encoded = match self.0.map_err(|misfit| corrupt(misfit.reason()))? {
            Stored::Encoded(encoded) => encoded,
            #[cfg(feature = "postgres")]
            Stored::Bytes(bytes) => match codec {
                Codec::Zstd => Encoded::Zstd(bytes),
                Codec::Text => Encoded::Text(
                    String::from_utf8(bytes)
                        .map_err(|error| corrupt(Misfit::Utf8(error.utf8_error()).reason()))?,
                ),
            },
        };
        if encoded.codec() != codec {
            return Err(corrupt(format!(
                "its codec says {}, its storage class doesn't",
                codec.as_str()
            )));
        }
        Ok(encoded)
    }

    /// Returns the state's text, and how it was stored.
    pub(crate) fn state(
        self,
        codec: StoredInteger,
        ceiling: usize,
        place: Place<'_>,
        columns: BodyColumns,
    ) -> Result<(String, Codec), StateStoreError> {
        let encoded = self.encoded(codec, place, columns)?;
        let codec = encoded.codec();
        let corrupt = |reason: String| place.corrupt(columns.body, reason);
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
