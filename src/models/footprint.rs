//! How much memory a prepared write holds while it waits to be written.

use super::stored::Body;
use super::{
    NewAgent, NewEvent, NewSession, NewSnapshot, NewTask, NewTransition, SessionStatus,
    SnapshotChange, TaskStatus,
};
use crate::condition::{ChangeIf, SaveIf};

/// What a write was prepared into, and how many bytes of the caller's it holds.
pub(crate) trait Footprint {
    fn bytes(&self) -> usize;
}

/// Types that hold nothing beside themselves.
macro_rules! small {
    ($($name:ty),*) => {$(
        impl Footprint for $name {
            fn bytes(&self) -> usize {
                size_of::<Self>()
            }
        }
    )*};
}

small!((), i64, SaveIf, ChangeIf, SessionStatus, TaskStatus);

impl Footprint for String {
    fn bytes(&self) -> usize {
        self.len()
    }
}

impl Footprint for Body {
    fn bytes(&self) -> usize {
        self.0.len()
    }
}

impl<T: Footprint> Footprint for Option<T> {
    fn bytes(&self) -> usize {
        self.as_ref().map_or(0, T::bytes)
    }
}

impl<T: Footprint> Footprint for Vec<T> {
    fn bytes(&self) -> usize {
        self.iter().map(T::bytes).sum()
    }
}

impl<A: Footprint, B: Footprint> Footprint for (A, B) {
    fn bytes(&self) -> usize {
        self.0.bytes() + self.1.bytes()
    }
}

impl<A: Footprint, B: Footprint, C: Footprint> Footprint for (A, B, C) {
    fn bytes(&self) -> usize {
        self.0.bytes() + self.1.bytes() + self.2.bytes()
    }
}

/// Rows: themselves, and what they hold in these fields.
macro_rules! rows {
    ($($name:ident: $($field:ident),*;)*) => {$(
        impl Footprint for $name {
            fn bytes(&self) -> usize {
                size_of::<Self>() $(+ self.$field.bytes())*
            }
        }
    )*};
}

rows! {
    NewAgent: key, namespace, agent_id, name, status, metadata, state_data;
    NewTransition: namespace, id, agent_id, state_before, state_after, reason, metadata;
    NewSnapshot: id, agent_id, agent_key, description;
    SnapshotChange: description;
    NewEvent: namespace, id, event_type, session_id, actor_id, content, metadata, git_commit, search_text;
    NewTask: namespace, id, title, description, assigned_to, metadata;
    NewSession: namespace, id, agent_id, metadata;
}
