//! Prefixes, and the keys that they make.

use crate::error::StateStoreError;

/// The longest prefix, in bytes.
pub(crate) const MAX_PREFIX_BYTES: usize = 255;

/// A checked prefix; "" means none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    pub(crate) fn new(prefix: &str) -> Result<Self, StateStoreError> {
        if prefix.len() > MAX_PREFIX_BYTES {
            return Err(StateStoreError::invalid(
                "prefix",
                format!("{} bytes, the limit is {MAX_PREFIX_BYTES}", prefix.len()),
            ));
        }
        if prefix.contains('\0') {
            return Err(StateStoreError::invalid(
                "prefix",
                "it holds a NUL character",
            ));
        }
        Ok(Self {
            name: prefix.to_owned(),
        })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.name
    }

    /// Returns `prefix:agent_id`, or the bare id without a prefix. Shown and unique, never parsed.
    pub(crate) fn key(&self, agent_id: &str) -> String {
        let mut key = String::with_capacity(self.name.len() + 1 + agent_id.len());
        if !self.name.is_empty() {
            push_part(&mut key, &self.name);
            key.push(':');
        }
        push_part(&mut key, agent_id);
        key
    }
}

/// Encodes what would make two pairs of prefix and id share a key.
fn push_part(key: &mut String, part: &str) {
    let mut rest = part;
    while let Some(place) = rest.find(['%', ':']) {
        let (before, from) = rest.split_at(place);
        key.push_str(before);
        key.push_str(if from.starts_with('%') { "%25" } else { "%3A" });
        // Both are one byte long.
        rest = &from[1..];
    }
    key.push_str(rest);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Namespace;

    fn part() -> impl Strategy<Value = String> {
        prop_oneof!["[a:%25]{0,4}", "\\PC{0,8}"]
    }

    proptest! {
        #[test]
        fn two_pairs_share_a_key_only_when_they_are_the_same(
            one in (part(), part()), other in (part(), part())
        ) {
            let key = |(prefix, id): &(String, String)| Namespace::new(prefix).map(|n| n.key(id)).ok();
            prop_assert_eq!(key(&one) == key(&other), one == other);
        }
    }

    #[test]
    fn keys_read_as_the_guide_writes_them() {
        let key = |prefix: &str, id: &str| Namespace::new(prefix).unwrap().key(id);
        assert_eq!(key("worker", "agent_001"), "worker:agent_001");
        assert_eq!(key("", "agent_001"), "agent_001");
        assert_eq!(key("a:b", "c%d"), "a%3Ab:c%25d");
    }

    #[test]
    fn an_illegal_prefix_is_refused() {
        assert!(Namespace::new("a\0b").is_err());
        assert!(Namespace::new(&"x".repeat(256)).is_err());
        assert!(Namespace::new(&"x".repeat(255)).is_ok());
    }
}
