//! Events whose ids are made of what is known of them, so that the same input once more has the same ids.

use std::collections::HashMap;

use descartes_state::uuid::Uuid;
use descartes_state::{StateStoreError, Transaction};

/// Bytes of an id that the name stands in, and those of the line. What is left counts equal lines.
const NAME: usize = 7;
const LINE: usize = 13;
/// How many ids of one name are looked at. More of them are of a name that means nothing.
const MOST_OF_A_NAME: u32 = 100;

/// Returns the id of a line that its sender has named: of version 5, and put together so that the ids of one name stand
/// beside each other, and those of equal lines within them. `repeats` is how many equal ones came before in this input.
pub(super) fn id_of_named(name: Uuid, line: Uuid, repeats: u64) -> Uuid {
    let (rounds, count) = (repeats >> 24, (repeats & 0xFF_FFFF) as u32);
    let line = match rounds {
        0 => line,
        _ => Uuid::new_v5(&line, &rounds.to_be_bytes()),
    };
    let mut bytes = *line.as_bytes();
    bytes[..NAME].copy_from_slice(&name.as_bytes()[..NAME]);
    bytes[LINE..].copy_from_slice(&count.to_be_bytes()[1..]);
    Uuid::from_bytes(bytes)
}

/// An event that may be stored already.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named {
    id: Uuid,
    is_by_sender: bool,
}

impl Named {
    /// It is known by where its line stands in its input, and what it says.
    pub(super) fn by_content(id: Uuid) -> Self {
        Self {
            id,
            is_by_sender: false,
        }
    }

    /// It is known by the name that its sender gave it.
    pub(super) fn by_sender(id: Uuid) -> Self {
        Self {
            id,
            is_by_sender: true,
        }
    }

    fn look(self, tx: &mut Transaction<'_>) -> Result<Option<Before>, StateStoreError> {
        let exactly = |tx: &mut Transaction<'_>| {
            let found = tx.events().ids_between(&self.id, &self.id, 1)?;
            Ok((!found.is_empty()).then_some(Before::Stored))
        };
        if !self.is_by_sender {
            return exactly(tx);
        }
        let (mut first, mut last) = (*self.id.as_bytes(), *self.id.as_bytes());
        first[NAME..].fill(0);
        last[NAME..].fill(0xFF);
        let (first, last) = (Uuid::from_bytes(first), Uuid::from_bytes(last));
        let of_name = tx.events().ids_between(&first, &last, MOST_OF_A_NAME)?;
        if of_name.contains(&self.id) {
            return Ok(Some(Before::Stored));
        }
        let is_many = of_name.len() as u64 == u64::from(MOST_OF_A_NAME);
        if is_many && let Some(stored) = exactly(tx)? {
            return Ok(Some(stored));
        }
        let says_other = |id: &Uuid| id.as_bytes()[NAME..LINE] != self.id.as_bytes()[NAME..LINE];
        Ok(of_name
            .iter()
            .any(says_other)
            .then_some(Before::OtherContent))
    }
}

/// What the store has of an event from earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// The event.
    Stored,
    /// Another event of its name.
    OtherContent,
}

/// What the store has of named events.
#[derive(Debug, Default)]
pub(super) struct Known(HashMap<Uuid, Before>);

impl Known {
    pub(super) fn look(tx: &mut Transaction<'_>, named: &[Named]) -> Result<Self, StateStoreError> {
        let mut known = HashMap::new();
        for event in named {
            if let Some(before) = event.look(tx)? {
                known.insert(event.id, before);
            }
        }
        Ok(Self(known))
    }

    pub(super) fn is_stored(&self, id: &Uuid) -> bool {
        self.0.get(id) == Some(&Before::Stored)
    }

    pub(super) fn says_other(&self, id: &Uuid) -> bool {
        self.0.get(id) == Some(&Before::OtherContent)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::id_of_named;
    use descartes_state::uuid::Uuid;

    #[test]
    fn ids_of_one_name_stand_together_and_no_two_are_the_same() {
        let uuid = |number: u128| Uuid::new_v5(&Uuid::NAMESPACE_OID, &number.to_be_bytes());
        let mut ids = HashSet::new();
        for (name, line) in (0..20).flat_map(|name| (0..20).map(move |line| (name, line))) {
            let repeats = [
                0,
                1,
                2,
                255,
                256,
                0xFF_FFFF,
                0x100_0000,
                0x100_0001,
                u64::MAX,
            ];
            for repeat in repeats {
                let id = id_of_named(uuid(name), uuid(1_000 + line), repeat);
                assert_eq!(id.get_version_num(), 5);
                assert_eq!(id.get_variant(), uuid(0).get_variant());
                assert_eq!(id.as_bytes()[..7], uuid(name).as_bytes()[..7]);
                assert!(ids.insert(id));
            }
        }
    }
}
