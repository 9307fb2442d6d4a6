//! How large each input may be, checked before the database is touched.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::error::{SerializationError, StateStoreError, within};

/// The limits of a store. Every input has one; what is above it is [`StateStoreError::TooLarge`] and nothing is written.
///
/// A limit that can't be, such as no rows a page or more than 512 MiB of a state, is refused as `InvalidInput` when a store
/// is opened with it.
///
/// ```
/// use descartes_state::Limits;
///
/// let limits = Limits::default().state_bytes(1024 * 1024).list_rows(1_000);
/// assert_eq!(limits.max_state_bytes(), 1024 * 1024);
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
    /// Whether the database can keep no text with a NUL character.
    refuses_nul: bool,
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
            refuses_nul: false,
        }
    }
}

const DEFAULT_STATE_BYTES: usize = 64 * 1024 * 1024;
/// The deepest metadata that any setting allows: serde_json reads no deeper than 127 levels.
const MOST_LEVELS: usize = 120;
/// The largest value that any setting allows in bytes: SQLite holds no larger one than 1,000,000,000
/// (<https://www.sqlite.org/limits.html>).
const MOST_BYTES: usize = 512 * 1024 * 1024;
/// The most rows that any setting allows; one more is asked for, to know whether there are more.
const MOST_ROWS: usize = u32::MAX as usize - 1;

/// The setters and getters, and the check that the settings can be.
macro_rules! settings {
    ($( $(#[$doc:meta])* $name:ident, $getter:ident: $type:ty, $least:literal to $most:ident; )+) => {
        impl Limits {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $name(mut self, limit: $type) -> Self {
                    self.$name = limit;
                    self
                }

                #[doc = concat!("Returns what [`", stringify!($name), "`](Self::", stringify!($name), ") is set to.")]
                #[must_use]
                pub fn $getter(&self) -> $type {
                    self.$name
                }
            )+

            /// Refuses limits that can't be.
            pub(crate) fn check(&self) -> Result<(), StateStoreError> {
                $(
                    let limit = self.$name as usize;
                    if !($least..=$most).contains(&limit) {
                        let name = stringify!($name);
                        let reason = format!("{name} is {limit}, it must be from {} to {}", $least, $most);
                        return Err(StateStoreError::invalid("limits", reason));
                    }
                )+
                Ok(())
            }
        }
    };
}

settings! {
    /// Bytes of an id, a status, an event type or a git commit (512).
    id_bytes, max_id_bytes: usize, 1 to MOST_BYTES;
    /// Bytes of a name, title, description or reason (64 KiB).
    text_bytes, max_text_bytes: usize, 1 to MOST_BYTES;
    /// Bytes of metadata as JSON (1 MiB).
    metadata_bytes, max_metadata_bytes: usize, 1 to MOST_BYTES;
    /// Levels of arrays and objects in metadata (100; at most 120, which is what can be read back).
    metadata_levels, max_metadata_levels: usize, 0 to MOST_LEVELS;
    /// Bytes of a state before compression, and the ceiling of decompression (64 MiB).
    state_bytes, max_state_bytes: usize, 1 to MOST_BYTES;
    /// Bytes of an event's content (64 MiB).
    content_bytes, max_content_bytes: usize, 1 to MOST_BYTES;
    /// Bytes of a search text (4 KiB).
    search_bytes, max_search_bytes: usize, 1 to MOST_BYTES;
    /// Rows of an unpaged list (100,000).
    list_rows, max_list_rows: usize, 1 to MOST_ROWS;
    /// Rows of one page (10,000).
    page_rows, max_page_rows: u32, 1 to MOST_ROWS;
    /// Rows of one bulk append (100,000).
    bulk_rows, max_bulk_rows: usize, 1 to MOST_ROWS;
}

impl Limits {
    /// Checks an identifier: not empty, no NUL, not too long.
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

    /// Checks a name, title, description or reason.
    pub(crate) fn text<'a>(
        &self,
        field: &'static str,
        value: &'a str,
    ) -> Result<&'a str, StateStoreError> {
        within(field, value.len(), self.text_bytes, "bytes")?;
        self.nul(field, value)?;
        Ok(value)
    }

    /// Returns whether the database can keep a text with a NUL character; PostgreSQL can't.
    #[must_use]
    pub fn keeps_nul(&self) -> bool {
        !self.refuses_nul
    }

    fn nul(&self, field: &'static str, value: &str) -> Result<(), StateStoreError> {
        if self.refuses_nul && value.contains('\0') {
            return Err(StateStoreError::invalid(
                field,
                "it holds a NUL character, which PostgreSQL can't keep",
            ));
        }
        Ok(())
    }

    /// Returns the same limits for a database that can keep no text with a NUL character.
    #[cfg(feature = "postgres")]
    pub(crate) fn without_nul(self) -> Self {
        Self {
            refuses_nul: true,
            ..self
        }
    }

    pub(crate) fn content<'a>(&self, value: &'a str) -> Result<&'a str, StateStoreError> {
        within("content", value.len(), self.content_bytes, "bytes")?;
        self.nul("content", value)?;
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

    /// Returns metadata as the JSON text that is stored.
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

    /// Checks a text that is to be [`AppendOptions::metadata_text`](crate::AppendOptions::metadata_text): it is JSON, no larger and no
    /// deeper than metadata may be.
    ///
    /// ```
    /// use descartes_state::Limits;
    ///
    /// let limits = Limits::default();
    /// assert!(limits.check_metadata_text(r#"{"price": 1.10}"#).is_ok());
    /// assert!(limits.check_metadata_text("{price: 1.10}").is_err());
    /// ```
    ///
    /// # Errors
    /// `TooLarge` or `InvalidInput`.
    pub fn check_metadata_text(&self, text: &str) -> Result<(), StateStoreError> {
        within("metadata", text.len(), self.metadata_bytes, "bytes")?;
        within(
            "metadata",
            levels_of_text(text),
            self.metadata_levels,
            "levels",
        )?;
        match read_json(text) {
            Ok(_) => Ok(()),
            Err(error) => Err(StateStoreError::invalid(
                "metadata",
                format!("it is not JSON: {error}"),
            )),
        }
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

    /// Returns what a stored body may grow to: no less than the default, so that lowering the limit hides nothing stored.
    pub(crate) fn decompressed_bytes(&self) -> usize {
        self.state_bytes.max(DEFAULT_STATE_BYTES)
    }

    pub(crate) fn bulk(&self, rows: usize) -> Result<(), StateStoreError> {
        within("events", rows, self.bulk_rows, "rows")
    }
}

/// Returns how many levels of arrays and objects, counted no further than one above `limit`.
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

/// Returns how many levels of arrays and objects a JSON text has; of another text, any number.
fn levels_of_text(text: &str) -> usize {
    let (mut level, mut deepest) = (0_usize, 0);
    let (mut is_string, mut is_escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_string,
            b'"' => is_string = !is_string,
            _ if is_string => {}
            b'[' | b'{' => {
                level += 1;
                deepest = deepest.max(level);
            }
            b']' | b'}' => level = level.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Reads JSON; a number that is beyond what a [`Value`] holds, such as `1e400`, is the string of its digits.
pub(crate) fn read_json(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str(text).or_else(|error| {
        let text: &RawValue = serde_json::from_str(text)?;
        read_with_any_numbers(text).ok_or(error)
    })
}

/// Recursion ends where the parser's own does, which has read the whole of it before.
fn read_with_any_numbers(json: &RawValue) -> Option<Value> {
    let text = json.get();
    match text.as_bytes().first()? {
        b'{' => {
            let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
            let fields = fields.into_iter();
            let fields = fields.map(|(key, value)| Some((key, read_with_any_numbers(value)?)));
            fields.collect::<Option<Map<_, _>>>().map(Value::Object)
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            let items = items.into_iter().map(read_with_any_numbers);
            items.collect::<Option<Vec<_>>>().map(Value::Array)
        }
        b'-' | b'0'..=b'9' => {
            let number = serde_json::from_str(text);
            Some(number.unwrap_or_else(|_| Value::String(text.to_owned())))
        }
        _ => serde_json::from_str(text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Limits, MOST_LEVELS, levels, levels_of_text, read_json};

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
    fn limits_that_cannot_be_are_refused_with_name_and_range() {
        assert!(Limits::default().check().is_ok());
        for (limits, reason) in [
            (Limits::default().page_rows(0), "page_rows is 0"),
            (Limits::default().id_bytes(0), "id_bytes is 0"),
            (Limits::default().metadata_levels(121), "from 0 to 120"),
            (Limits::default().state_bytes(usize::MAX), "state_bytes"),
            (Limits::default().list_rows(u32::MAX as usize), "list_rows"),
        ] {
            let error = limits.check().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_text_is_checked_as_a_value_is() {
        let limits = Limits::default();
        let is_whole = |text: &str| limits.check_metadata_text(text).is_ok();
        assert!(is_whole(
            r#" {"b":1.10, "a":[1e400,-1E+999,12345678901234567890123],"b":"\"[{"} "#
        ));
        assert!(is_whole(&nested(100).to_string()));
        let large = json!("x".repeat(1024 * 1024)).to_string();
        let deep = "[".repeat(1_000_000);
        for (text, reason) in [
            ("", "EOF"),
            ("{\"a\":1}}", "trailing"),
            ("{\"a\":01}", "number"),
            ("{\"a\":[\"\\ud83d\"]}", "escape"),
            ("NaN", "expected"),
            (&nested(101).to_string(), "101 levels"),
            (&deep, "levels"),
            (&large, "bytes"),
        ] {
            let error = limits.check_metadata_text(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        let value = json!({"a": [{}, []], "b]": "[[\\\"[["});
        assert_eq!(levels_of_text(&value.to_string()), levels(&value, 100));
    }

    #[test]
    fn a_number_beyond_all_range_is_read_as_its_digits() {
        let read = read_json(r#"{"a":[1e400,{"b":-1E+999,"c":1.5}],"d":null}"#).unwrap();
        assert_eq!(
            read,
            json!({"a": ["1e400", {"b": "-1E+999", "c": 1.5}], "d": null})
        );
        assert!(read_json("[1e400").is_err());
    }

    #[test]
    fn metadata_at_the_highest_setting_reads_back() {
        let limits = Limits::default().metadata_levels(MOST_LEVELS);
        let text = limits.metadata(&nested(120)).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), nested(120));
        assert!(limits.metadata(&nested(121)).is_err());
    }
}
