//! What a prepared write holds while it waits to be written.

use super::body::Body;
use super::{
    NewAgent, NewSession, NewSnapshot, NewTask, NewTransition, SessionStatus, SnapshotChange,
    TaskStatus,
};
use crate::condition::{ChangeIf, SaveIf};

/// What a write was prepared into, and how many bytes of the caller's it holds.
pub(crate) trait Footprint {
    /// The same, with nothing borrowed of the caller.
    type Held: 'static;

    fn bytes(&self) -> usize;

    /// Returns how many rows are written, as far as that is known before.
    fn operations(&self) -> usize {
        1
    }

    fn held(self) -> Self::Held;
}

/// Borrows nothing.
macro_rules! held {
    () => {
        type Held = Self;

        fn held(self) -> Self {
            self
        }
    };
}

/// Types that hold nothing beside themselves.
macro_rules! small {
    ($($name:ty),*) => {$(
        impl Footprint for $name {
            held!();

            fn bytes(&self) -> usize {
                size_of::<Self>()
            }
        }
    )*};
}

small!((), i64, SaveIf, ChangeIf, SessionStatus, TaskStatus);

impl Footprint for String {
    held!();

    fn bytes(&self) -> usize {
        self.len()
    }
}

impl Footprint for Body {
    held!();

    fn bytes(&self) -> usize {
        self.0.len()
    }
}

impl<T: Footprint> Footprint for Option<T> {
    type Held = Option<T::Held>;

    fn bytes(&self) -> usize {
        self.as_ref().map_or(0, T::bytes)
    }

    fn held(self) -> Self::Held {
        self.map(T::held)
    }
}

impl<T: Footprint> Footprint for Vec<T> {
    type Held = Vec<T::Held>;

    fn bytes(&self) -> usize {
        self.iter().map(T::bytes).sum()
    }

    fn operations(&self) -> usize {
        self.iter().map(T::operations).sum()
    }

    fn held(self) -> Self::Held {
        self.into_iter().map(T::held).collect()
    }
}

impl<A: Footprint, B: Footprint> Footprint for (A, B) {
    type Held = (A::Held, B::Held);

    fn bytes(&self) -> usize {
        self.0.bytes() + self.1.bytes()
    }

    fn held(self) -> Self::Held {
        (self.0.held(), self.1.held())
    }
}

impl<A: Footprint, B: Footprint, C: Footprint> Footprint for (A, B, C) {
    type Held = (A::Held, B::Held, C::Held);

    fn bytes(&self) -> usize {
        self.0.bytes() + self.1.bytes() + self.2.bytes()
    }

    fn held(self) -> Self::Held {
        (self.0.held(), self.1.held(), self.2.held())
    }
}

/// Rows: themselves, and what they hold in these fields.
macro_rules! rows {
    ($($name:ident: $($field:ident),*;)*) => {$(
        impl Footprint for $name {
            held!();

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
    NewTask: namespace, id, title, description, assigned_to, metadata;
    NewSession: namespace, id, agent_id, metadata;
}
