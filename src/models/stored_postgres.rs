//! Column values as PostgreSQL sends them. Their types are those of the columns; what a CHECK or the encoding holds isn't looked at
//! again, the rest as in `stored`.

use diesel::deserialize::{self, FromSql};
use diesel::pg::{Pg, PgValue};
use diesel::sql_types::{BigInt, Bool, Text};

use super::body::StoredBody;
use super::stored::{
    StoredEnum, StoredFlag, StoredId, StoredInteger, StoredJson, StoredText, TextEnum,
};

impl FromSql<Text, Pg> for StoredText {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self::of(value.as_bytes()))
    }
}

impl FromSql<Text, Pg> for StoredId {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self::of(std::str::from_utf8(value.as_bytes())))
    }
}

impl FromSql<Text, Pg> for StoredJson {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self::of(std::str::from_utf8(value.as_bytes())))
    }
}

impl<T: TextEnum> FromSql<Text, Pg> for StoredEnum<T> {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self::of(std::str::from_utf8(value.as_bytes())))
    }
}

impl FromSql<BigInt, Pg> for StoredInteger {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        <i64 as FromSql<BigInt, Pg>>::from_sql(value).map(Self::of)
    }
}

impl FromSql<Bool, Pg> for StoredFlag {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        <bool as FromSql<Bool, Pg>>::from_sql(value).map(Self::of)
    }
}

impl FromSql<Text, Pg> for StoredBody {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self::of(value.as_bytes().to_vec()))
    }
}
