//! The fields of a JSON object, as they are written.

use std::collections::BTreeMap;
use std::fmt;

use descartes_state::Limits;
use descartes_state::serde_json;
use descartes_state::serde_json::value::RawValue;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};

/// The fields of an object as the sender wrote them.
#[derive(Debug, Default)]
pub(crate) struct Fields<'l> {
    /// Each with its place among them.
    by_key: BTreeMap<String, (usize, &'l RawValue)>,
}

impl<'l> Fields<'l> {
    pub(crate) fn get(&self, key: &str) -> Option<&'l RawValue> {
        self.by_key.get(key).map(|(_, value)| *value)
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<&'l RawValue> {
        self.by_key.remove(key).map(|(_, value)| value)
    }

    /// Returns the bytes of all values.
    pub(crate) fn bytes(&self) -> usize {
        let values = self.by_key.values();
        values.map(|(_, value)| value.get().len()).sum()
    }

    /// Lets go of those that say nothing.
    pub(crate) fn drop_nulls(&mut self) {
        self.by_key.retain(|_, (_, value)| value.get() != "null");
    }

    /// Returns them in the sender's order.
    pub(crate) fn in_order(self) -> Vec<(String, &'l RawValue)> {
        let mut fields: Vec<_> = self.by_key.into_iter().collect();
        fields.sort_by_key(|(_, (place, _))| *place);
        let fields = fields.into_iter();
        fields.map(|(key, (_, value))| (key, value)).collect()
    }
}

/// Reads the fields of an object, up to so many: more of them could not be kept as metadata, and would fill the memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FieldsUpTo(usize);

impl FieldsUpTo {
    /// The bytes of the shortest field: a key of one letter, a digit, and what parts them.
    const SHORTEST: usize = 6;

    pub(crate) fn new(limits: &Limits) -> Self {
        // Beside those that make the event itself.
        Self(limits.max_metadata_bytes() / Self::SHORTEST + 32)
    }

    pub(crate) fn read(self, json: &str) -> serde_json::Result<Fields<'_>> {
        let mut reader = serde_json::Deserializer::from_str(json);
        let fields = self.deserialize(&mut reader)?;
        reader.end()?;
        Ok(fields)
    }
}

impl<'de> DeserializeSeed<'de> for FieldsUpTo {
    type Value = Fields<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Fields<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for FieldsUpTo {
    type Value = Fields<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
            let place = fields.by_key.len();
            if place > self.0 {
                let reason = format!("it has more than {} fields", self.0);
                return Err(serde::de::Error::custom(reason));
            }
            // Of two with one key the last counts, as it does everywhere.
            fields.by_key.insert(key, (place, value));
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use descartes_state::Limits;

    use super::FieldsUpTo;

    #[test]
    fn more_fields_than_metadata_can_hold_are_not_read() {
        let object = |count: usize| {
            let fields: Vec<String> = (0..count).map(|n| format!("\"{n}\":1")).collect();
            format!("{{{}}}", fields.join(","))
        };
        let reader = FieldsUpTo::new(&Limits::default());
        let (few, many) = (object(100_000), object(200_000));
        assert_eq!(reader.read(&few).unwrap().in_order().len(), 100_000);
        let error = reader.read(&many).unwrap_err().to_string();
        assert!(error.contains("fields"), "{error}");
        // What stands behind an object is none of it.
        assert!(reader.read("{} {}").is_err());
    }
}
