//! How large each input may be, checked before the database is touched.

use serde_json::Value;

use crate::error::{SerializationError, StateStoreError, within};

/// The limits of a store. Every input has one; what is above it is [`StateStoreError::TooLarge`] and nothing is written.
///
/// ```
/// use descartes_state::Limits;
///
/// let limits = Limits::default().state_bytes(1024 * 1024).list_rows(1_000);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    pub(crate) id_bytes: usize,
    pub(crate) text_bytes: usize,
    pub(crate) metadata_bytes: usize,
    pub(crate) metadata_levels: usize,
    pub(crate) state_bytes: usize,
    pub(crate) content_bytes: usize,
    pub(crate) search_bytes: usize,
    pub(crate) list_rows: usize,
    pub(crate) page_rows: u32,
    pub(crate) bulk_rows: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            id_bytes: 512,
            text_bytes: 64 * 1024,
            metadata_bytes: 1024 * 1024,
            metadata_levels: 100,
            state_bytes: DEFAULT_STATE_BYTES,
            content_bytes: 64 * 1024 * 1024,
            search_bytes: 4 * 1024,
            list_rows: 100_000,
            page_rows: 10_000,
            bulk_rows: 100_000,
        }
    }
}

const DEFAULT_STATE_BYTES: usize = 64 * 1024 * 1024;
/// The deepest metadata that any setting allows: serde_json reads no deeper than 127 levels.
const MAX_LEVELS: usize = 120;
/// The largest value that any setting allows in bytes: SQLite holds no larger one than 1,000,000,000.
const MAX_BYTES: usize = 512 * 1024 * 1024;

impl Limits {
    /// Bytes of an id, a status, an event type or a git commit (512).
    #[must_use]
    pub fn id_bytes(mut self, bytes: usize) -> Self {
        self.id_bytes = bytes.min(MAX_BYTES);
        self
    }

    /// Bytes of a name, title, description or reason (64 KiB).
    #[must_use]
    pub fn text_bytes(mut self, bytes: usize) -> Self {
        self.text_bytes = bytes.min(MAX_BYTES);
        self
    }

    /// Bytes of metadata as JSON (1 MiB).
    #[must_use]
    pub fn metadata_bytes(mut self, bytes: usize) -> Self {
        self.metadata_bytes = bytes.min(MAX_BYTES);
        self
    }

    /// Levels of arrays and objects in metadata (100; at the most 120, which is what can be read back).
    #[must_use]
    pub fn metadata_levels(mut self, levels: usize) -> Self {
        self.metadata_levels = levels.min(MAX_LEVELS);
        self
    }

    /// Bytes of a state body before compression, and the ceiling of decompression (64 MiB).
    #[must_use]
    pub fn state_bytes(mut self, bytes: usize) -> Self {
        self.state_bytes = bytes.min(MAX_BYTES);
        self
    }

    /// Bytes of an event's content (64 MiB).
    #[must_use]
    pub fn content_bytes(mut self, bytes: usize) -> Self {
        self.content_bytes = bytes.min(MAX_BYTES);
        self
    }

    /// Bytes of a search text (4 KiB).
    #[must_use]
    pub fn search_bytes(mut self, bytes: usize) -> Self {
        self.search_bytes = bytes.min(MAX_BYTES);
        self
    }

    /// Rows of an unpaged list (100,000).
    #[must_use]
    pub fn list_rows(mut self, rows: usize) -> Self {
        // One more row is asked for, to know whether there are more.
        self.list_rows = rows.min(u32::MAX as usize);
        self
    }

    /// Rows of one page (10,000).
    #[must_use]
    pub fn page_rows(mut self, rows: u32) -> Self {
        self.page_rows = rows;
        self
    }

    /// Rows of one bulk append (100,000).
    #[must_use]
    pub fn bulk_rows(mut self, rows: usize) -> Self {
        self.bulk_rows = rows;
        self
    }

    /// An identifier: not empty, no NUL, not too long.
    pub(crate) fn id<'a>(
        &self,
        field: &'static str,
        value: &'a str,
    ) -> Result<&'a str, StateStoreError> {
        if value.is_empty() {
            return Err(StateStoreError::invalid(field, "it is empty"));
        }
        if value.contains('\0') {
            return Err(StateStoreError::invalid(field, "it holds a NUL character"));
        }
        within(field, value.len(), self.id_bytes, "bytes")?;
        Ok(value)
    }

    /// A name, title, description or reason.
    pub(crate) fn text<'a>(
        &self,
        field: &'static str,
        value: &'a str,
    ) -> Result<&'a str, StateStoreError> {
        within(field, value.len(), self.text_bytes, "bytes")?;
        Ok(value)
    }

    pub(crate) fn content<'a>(&self, value: &'a str) -> Result<&'a str, StateStoreError> {
        within("content", value.len(), self.content_bytes, "bytes")?;
        Ok(value)
    }

    pub(crate) fn state<'a>(
        &self,
        field: &'static str,
        value: &'a str,
    ) -> Result<&'a str, StateStoreError> {
        within(field, value.len(), self.state_bytes, "bytes")?;
        Ok(value)
    }

    pub(crate) fn search<'a>(&self, value: &'a str) -> Result<&'a str, StateStoreError> {
        within("search text", value.len(), self.search_bytes, "bytes")?;
        Ok(value)
    }

    /// Metadata as the JSON text that is stored.
    pub(crate) fn metadata(&self, value: &Value) -> Result<String, StateStoreError> {
        // Before serializing: that recurses, and would overflow the stack on a value of a million levels.
        let levels = levels(value, self.metadata_levels);
        within("metadata", levels, self.metadata_levels, "levels")?;
        let text = serde_json::to_string(value).map_err(|error| {
            StateStoreError::SerializationError(SerializationError::new("metadata", error))
        })?;
        within("metadata", text.len(), self.metadata_bytes, "bytes")?;
        Ok(text)
    }

    pub(crate) fn optional_metadata(
        &self,
        value: Option<&Value>,
    ) -> Result<Option<String>, StateStoreError> {
        value.map(|value| self.metadata(value)).transpose()
    }

    pub(crate) fn optional_text(
        &self,
        field: &'static str,
        value: Option<&str>,
    ) -> Result<Option<String>, StateStoreError> {
        value
            .map(|value| self.text(field, value).map(str::to_owned))
            .transpose()
    }

    pub(crate) fn optional_id(
        &self,
        field: &'static str,
        value: Option<&str>,
    ) -> Result<Option<String>, StateStoreError> {
        value
            .map(|value| self.id(field, value).map(str::to_owned))
            .transpose()
    }

    /// What a stored body may grow to: no less than the default, so that lowering the limit hides nothing stored.
    pub(crate) fn decompressed_bytes(&self) -> usize {
        self.state_bytes.max(DEFAULT_STATE_BYTES)
    }

    pub(crate) fn bulk(&self, rows: usize) -> Result<(), StateStoreError> {
        within("events", rows, self.bulk_rows, "rows")
    }
}

/// How many levels of arrays and objects, counted no further than one above `limit`.
fn levels(value: &Value, limit: usize) -> usize {
    let deepest = |inner: &mut dyn Iterator<Item = &Value>| {
        let mut most = 0;
        for value in inner {
            if most >= limit {
                break;
            }
            most = most.max(levels(value, limit.saturating_sub(1)));
        }
        most
    };
    match value {
        Value::Array(_) | Value::Object(_) if limit == 0 => 1,
        Value::Array(items) => 1 + deepest(&mut items.iter()),
        Value::Object(fields) => 1 + deepest(&mut fields.values()),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Limits, levels};

    fn nested(depth: usize) -> Value {
        (0..depth).fold(json!(1), |inner, _| json!([inner]))
    }

    #[test]
    fn levels_are_counted_up_to_one_above_the_limit() {
        assert_eq!(levels(&json!("x"), 100), 0);
        assert_eq!(levels(&json!({"a": [1, {"b": 2}]}), 100), 3);
        assert_eq!(levels(&nested(100), 100), 100);
        assert_eq!(levels(&nested(500), 100), 101);
        assert_eq!(levels(&json!([[], [[]]]), 1), 2);
    }

    #[test]
    fn metadata_at_the_highest_setting_reads_back() {
        let limits = Limits::default().metadata_levels(usize::MAX);
        let text = limits.metadata(&nested(120)).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), nested(120));
        assert!(limits.metadata(&nested(121)).is_err());
    }
}
