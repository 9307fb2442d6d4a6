//! The last state of each agent in each session: where its next transition comes from.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use descartes_state::uuid::Uuid;
use descartes_state::{StateStoreError, Transaction};

/// Bytes of states that are kept; older ones are read from the store.
const KEPT_BYTES: usize = 16 * 1024 * 1024;

/// The state before a transition.
#[derive(Debug, Clone)]
pub(crate) enum Before {
    /// There was none.
    Nothing,
    Known(Arc<str>),
    /// The state after the transition of this id, which is in the store by then.
    Recorded(Uuid),
}

impl Before {
    /// Returns its text; `{}` where there was none.
    pub(crate) fn text(&self, tx: &mut Transaction<'_>) -> Result<String, StateStoreError> {
        let found = match self {
            Self::Nothing => None,
            Self::Known(state) => Some(state.to_string()),
            Self::Recorded(id) => tx
                .transitions()
                .get(id)?
                .map(|record| record.transition.state_after),
        };
        Ok(found.unwrap_or_else(|| "{}".to_owned()))
    }
}

/// Knows every session that it was told of, and a bounded part of their agents' states.
#[derive(Debug, Default)]
pub(crate) struct LastStates {
    sessions: HashMap<String, HashMap<String, Last>>,
    bytes: usize,
    /// Which states are kept, oldest first; those that were replaced stand there too.
    kept: VecDeque<Kept>,
    changes: u64,
}

#[derive(Debug)]
struct Last {
    transition: Uuid,
    state: Option<Arc<str>>,
    change: u64,
}

#[derive(Debug)]
struct Kept {
    session_id: String,
    agent_id: String,
    change: u64,
}

impl LastStates {
    /// Takes note of a session; returns whether it is new.
    pub(crate) fn open(&mut self, session_id: &str) -> bool {
        let is_new = !self.sessions.contains_key(session_id);
        if is_new {
            self.sessions.insert(session_id.to_owned(), HashMap::new());
        }
        is_new
    }

    /// Returns the sessions, in no order.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = &String> {
        self.sessions.keys()
    }

    /// Changes an agent's state in a session by a transition; returns the state before.
    pub(crate) fn change(
        &mut self,
        session_id: &str,
        agent_id: &str,
        transition: Uuid,
        state: &Arc<str>,
    ) -> Before {
        self.changes += 1;
        let next = Last {
            transition,
            state: Some(Arc::clone(state)),
            change: self.changes,
        };
        self.bytes += state.len();
        self.kept.push_back(Kept {
            session_id: session_id.to_owned(),
            agent_id: agent_id.to_owned(),
            change: self.changes,
        });
        let agents = self.sessions.entry(session_id.to_owned()).or_default();
        let before = match agents.insert(agent_id.to_owned(), next) {
            None => Before::Nothing,
            Some(Last {
                state: Some(state), ..
            }) => {
                self.bytes -= state.len();
                Before::Known(state)
            }
            Some(last) => Before::Recorded(last.transition),
        };
        self.bound();
        before
    }

    fn bound(&mut self) {
        // Each replaced state leaves its place behind: they are swept where they are the most of them.
        let is_stale = |sessions: &HashMap<String, HashMap<String, Last>>, kept: &Kept| {
            let last = sessions
                .get(&kept.session_id)
                .and_then(|agents| agents.get(&kept.agent_id));
            last.is_none_or(|last| last.change != kept.change)
        };
        if self.kept.len() > 1024 && self.changes.is_multiple_of(1024) {
            let sessions = &self.sessions;
            self.kept.retain(|kept| !is_stale(sessions, kept));
        }
        // The newest stays, whatever it measures.
        while self.bytes > KEPT_BYTES && self.kept.len() > 1 {
            let Some(oldest) = self.kept.pop_front() else {
                return;
            };
            let agents = self.sessions.get_mut(&oldest.session_id);
            let last = agents.and_then(|agents| agents.get_mut(&oldest.agent_id));
            if let Some(last) = last
                && last.change == oldest.change
                && let Some(state) = last.state.take()
            {
                self.bytes -= state.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Arc, Before, KEPT_BYTES, LastStates};
    use descartes_state::new_id;

    #[test]
    fn what_is_kept_is_bounded_and_what_is_not_is_known_by_its_transition() {
        let mut states = LastStates::default();
        // A little less than a MiB, so that the small ones that follow push none out.
        let state: Arc<str> = "x".repeat(1024 * 1024 - 100).into();
        let ids: Vec<_> = (0..40).map(|_| new_id()).collect();
        for (number, id) in ids.iter().enumerate() {
            let before = states.change(&format!("s{number}"), "a", *id, &state);
            assert!(matches!(before, Before::Nothing));
            assert!(states.bytes <= KEPT_BYTES);
        }
        for (number, id) in ids.iter().enumerate() {
            let is_kept = number >= 40 - KEPT_BYTES / state.len();
            let small: Arc<str> = "{}".into();
            match states.change(&format!("s{number}"), "a", new_id(), &small) {
                Before::Recorded(before) => assert!(before == *id && !is_kept, "{number}"),
                Before::Known(_) => assert!(is_kept, "{number}"),
                Before::Nothing => panic!("{number} is not known"),
            }
        }
        assert_eq!(states.sessions().count(), 40);
    }

    #[test]
    fn an_agent_that_changes_often_leaves_no_list_behind() {
        let mut states = LastStates::default();
        let state: Arc<str> = "{}".into();
        for _ in 0..10_000 {
            states.change("s", "a", new_id(), &state);
        }
        assert!(states.kept.len() < 2100, "{}", states.kept.len());
        assert_eq!(states.bytes, 2);
    }
}
