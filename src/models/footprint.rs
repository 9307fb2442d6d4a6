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

    /// Names the rows that are changed and that others may want as well, each with the aggregate that it is of. What is a bare id is
    /// one of `aggregate`.
    fn name_rows(&self, _aggregate: &'static str, _name: &mut dyn FnMut(&'static str, &str)) {}

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

    fn name_rows(&self, aggregate: &'static str, name: &mut dyn FnMut(&'static str, &str)) {
        name(aggregate, self);
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

    fn name_rows(&self, aggregate: &'static str, name: &mut dyn FnMut(&'static str, &str)) {
        self.0.name_rows(aggregate, name);
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

    fn name_rows(&self, aggregate: &'static str, name: &mut dyn FnMut(&'static str, &str)) {
        self.0.name_rows(aggregate, name);
    }
}

/// Rows: themselves, and what they hold in these fields; those with a key may be wanted by others as well.
macro_rules! rows {
    ($($name:ident $(by $key:ident)?: $($field:ident),*;)*) => {$(
        impl Footprint for $name {
            held!();

            fn bytes(&self) -> usize {
                size_of::<Self>() $(+ self.$field.bytes())*
            }

            $(
                fn name_rows(&self, aggregate: &'static str, name: &mut dyn FnMut(&'static str, &str)) {
                    name(aggregate, &self.$key);
                }
            )?
        }
    )*};
}

rows! {
    NewAgent by agent_id: key, namespace, agent_id, name, status, metadata, state_data;
    NewTransition: namespace, id, agent_id, state_before, state_after, reason, metadata;
    NewSnapshot: id, agent_id, agent_key, description;
    SnapshotChange: description;
    NewTask by id: namespace, id, title, description, assigned_to, metadata;
    NewSession by id: namespace, id, agent_id, metadata;
}
