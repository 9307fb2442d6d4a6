//! The values of a row that is copied: how they are read, and how they count in the hash of its table.

use sha2::{Digest, Sha256};

use super::body::{Body, BodyColumns, StoredBody};
use super::stored::{Place, StoredFlag, StoredInteger, StoredText};
use crate::codec::Encoded;
use crate::error::StateStoreError;

/// A value of a column.
pub(crate) trait Column: Sized {
    type Stored;

    fn read(
        stored: Self::Stored,
        place: Place<'_>,
        column: &'static str,
    ) -> Result<Self, StateStoreError>;

    /// Adds it to the hash, so that no other row has the same bytes in it.
    fn digest(&self, hash: &mut Sha256);

    fn bytes(&self) -> usize {
        size_of::<Self>()
    }

    /// Returns the text, where it is one.
    fn text(&mut self) -> Option<&mut String> {
        None
    }
}

fn digest_bytes(kind: u8, bytes: &[u8], hash: &mut Sha256) {
    hash.update([kind]);
    hash.update((bytes.len() as u64).to_be_bytes());
    hash.update(bytes);
}

impl Column for i64 {
    type Stored = StoredInteger;

    fn read(
        stored: StoredInteger,
        place: Place<'_>,
        column: &'static str,
    ) -> Result<Self, StateStoreError> {
        stored.integer(place, column)
    }

    fn digest(&self, hash: &mut Sha256) {
        digest_bytes(b'i', &self.to_be_bytes(), hash);
    }
}

impl Column for bool {
    type Stored = StoredFlag;

    fn read(
        stored: StoredFlag,
        place: Place<'_>,
        column: &'static str,
    ) -> Result<Self, StateStoreError> {
        stored.flag(place, column)
    }

    fn digest(&self, hash: &mut Sha256) {
        digest_bytes(b'b', &[u8::from(*self)], hash);
    }
}

impl Column for String {
    type Stored = StoredText;

    fn read(
        stored: StoredText,
        place: Place<'_>,
        column: &'static str,
    ) -> Result<Self, StateStoreError> {
        stored.text(place, column)
    }

    fn digest(&self, hash: &mut Sha256) {
        digest_bytes(b't', self.as_bytes(), hash);
    }

    fn bytes(&self) -> usize {
        self.len()
    }

    fn text(&mut self) -> Option<&mut String> {
        Some(self)
    }
}

impl<T: Column> Column for Option<T> {
    type Stored = Option<T::Stored>;

    fn read(
        stored: Self::Stored,
        place: Place<'_>,
        column: &'static str,
    ) -> Result<Self, StateStoreError> {
        place.optional(stored, column, T::read)
    }

    fn digest(&self, hash: &mut Sha256) {
        match self {
            Some(value) => value.digest(hash),
            None => digest_bytes(b'n', &[], hash),
        }
    }

    fn bytes(&self) -> usize {
        self.as_ref().map_or(0, T::bytes)
    }

    fn text(&mut self) -> Option<&mut String> {
        self.as_mut().and_then(T::text)
    }
}

/// A state body with its codec, read together: where the database keeps bytes, the codec says what they are.
pub(super) fn read_body(
    stored: StoredBody,
    codec: StoredInteger,
    place: Place<'_>,
    columns: BodyColumns,
) -> Result<Body, StateStoreError> {
    stored.encoded(codec, place, columns).map(Body)
}

pub(super) fn digest_body(body: &Body, hash: &mut Sha256) {
    match &body.0 {
        Encoded::Text(text) => digest_bytes(b't', text.as_bytes(), hash),
        Encoded::Zstd(bytes) => digest_bytes(b'z', bytes, hash),
    }
}
