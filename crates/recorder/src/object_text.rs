//! JSON objects that are written as text: what others wrote into them stays as it is, to the digit.

use descartes_state::serde_json::Value;

/// A JSON object, but for the brace at its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ObjectText(String);

impl ObjectText {
    /// Takes up an object that somebody has written; `None` where the text ends as none does.
    pub(crate) fn of(object: &str) -> Option<Self> {
        let begun = object.trim_end().strip_suffix('}')?;
        Some(Self(begun.trim_end().to_owned()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.0.trim_ascii(), "" | "{")
    }

    /// Adds a field. It must not be there yet, and its value must be JSON.
    pub(crate) fn push(&mut self, key: &str, json: &str) {
        self.0.push(match self.0.as_str() {
            "" => '{',
            "{" => ' ',
            _ => ',',
        });
        // A string of JSON.
        self.0.push_str(&Value::from(key).to_string());
        self.0.push(':');
        self.0.push_str(json);
    }

    /// Adds a field with a text.
    pub(crate) fn push_text(&mut self, key: &str, text: &str) {
        self.push(key, &Value::from(text).to_string());
    }

    pub(crate) fn push_number(&mut self, key: &str, number: u64) {
        self.push(key, &number.to_string());
    }

    /// Adds a field that holds true.
    pub(crate) fn push_mark(&mut self, key: &str) {
        self.push(key, "true");
    }

    /// Adds a field with the digits of these bytes, two each.
    pub(crate) fn push_hexadecimal(&mut self, key: &str, bytes: &[u8]) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |nibble: u8| DIGITS[usize::from(nibble)];
        let mut digits = vec![0; 2 * bytes.len()];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 0xF)]);
        }
        // They are all of ASCII.
        let digits = String::from_utf8(digits).unwrap_or_default();
        self.0.reserve_exact(digits.len() + key.len() + 6);
        self.push(key, "\"");
        self.0.push_str(&digits);
        self.0.push('"');
    }

    /// Returns the whole object.
    pub(crate) fn into_json(mut self) -> String {
        if self.0.is_empty() {
            self.0.push('{');
        }
        self.0.push('}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use descartes_state::serde_json::{self, Value, json};

    use super::ObjectText;

    #[test]
    fn what_was_written_stays_as_it_is() {
        let mut object = ObjectText::of("{\"b\": 1.10, \"a\":1e400 } ").unwrap();
        object.push("c\"\n", "[1.50]");
        object.push_text("d", "\u{1b}\"");
        object.push_mark("e");
        let text = object.into_json();
        assert!(
            text.starts_with(
                "{\"b\": 1.10, \"a\":1e400,\"c\\\"\\n\":[1.50],\"d\":\"\\u001b\\\"\",\"e\":true}"
            ),
            "{text}"
        );
    }

    #[test]
    fn bytes_are_written_as_two_digits_each() {
        for begun in ["{}", " {  }", "{\"a\":1}"] {
            let mut object = ObjectText::of(begun.trim_start()).unwrap();
            object.push_hexadecimal("hex", &[0, 0x0f, 0xa5, 0xff]);
            object.push_number("n", 7);
            let value: Value = serde_json::from_str(&object.into_json()).unwrap();
            assert_eq!(
                (&value["hex"], &value["n"]),
                (&json!("000fa5ff"), &json!(7))
            );
        }
        assert_eq!(ObjectText::default().into_json(), "{}");
        assert_eq!(ObjectText::of("[1]"), None);
    }
}
