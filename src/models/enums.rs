//! Enums that are stored as text: one source for SQL, serde, `Display`, `FromStr` and the program.

use std::fmt;
use std::str::FromStr;

use diesel::backend::Backend;
use diesel::expression::AsExpression;
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::Text;
use serde::{Deserialize, Serialize};

use super::stored::TextEnum;
use crate::error::StateStoreError;

macro_rules! text_enum {
    (
        $(#[$meta:meta])*
        $name:ident as $field:literal { $( $(#[$variant_meta:meta])* $variant:ident = $text:literal ),+ $(,)? }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, AsExpression)]
        #[diesel(sql_type = Text)]
        #[non_exhaustive]
        pub enum $name {
            $( $(#[$variant_meta])* #[serde(rename = $text)] $variant, )+
        }

        impl $name {
            /// Every value, in the order of the table's CHECK.
            pub const ALL: &'static [Self] = &[$( Self::$variant ),+];

            /// Returns the one spelling, in SQL, JSON and the program alike.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $( Self::$variant => $text, )+
                }
            }
        }

        impl TextEnum for $name {
            fn from_text(text: &str) -> Option<Self> {
                match text {
                    $( $text => Some(Self::$variant), )+
                    _ => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = StateStoreError;

            fn from_str(text: &str) -> Result<Self, StateStoreError> {
                Self::from_text(text).ok_or_else(|| {
                    StateStoreError::invalid(
                        $field,
                        format!("{text:?} is none of {}", [$( $text ),+].join(", ")),
                    )
                })
            }
        }

        impl<DB> ToSql<Text, DB> for $name
        where
            DB: Backend,
            str: ToSql<Text, DB>,
        {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
                self.as_str().to_sql(out)
            }
        }
    };
}

text_enum! {
    /// Who caused an event.
    ActorType as "actor_type" {
        /// A person.
        User = "user",
        /// An agent.
        Agent = "agent",
        /// The program around the agents.
        System = "system",
    }
}

text_enum! {
    /// What has become of a task.
    TaskStatus as "task status" {
        /// Not begun.
        Todo = "todo",
        /// Being worked on.
        InProgress = "in_progress",
        /// Waiting for something else.
        Blocked = "blocked",
        /// Finished well.
        Done = "done",
        /// Finished badly; may be tried again.
        Failed = "failed",
        /// Given up by a person.
        Cancelled = "cancelled",
        /// Given up by the program, after its last try.
        Dead = "dead",
    }
}

text_enum! {
    /// What has become of a session.
    SessionStatus as "session status" {
        /// Under way.
        Active = "active",
        /// Paused, to be taken up again.
        Suspended = "suspended",
        /// Ended well.
        Completed = "completed",
        /// Ended badly.
        Failed = "failed",
        /// Ended from outside.
        Terminated = "terminated",
        /// Never ended: its process went away.
        Abandoned = "abandoned",
    }
}

impl SessionStatus {
    /// Returns whether a session with this status is over.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Active | Self::Suspended)
    }

    /// Refuses a status that isn't an end.
    pub(crate) fn require_final(self) -> Result<Self, StateStoreError> {
        if self.is_final() {
            return Ok(self);
        }
        Err(StateStoreError::invalid(
            "session status",
            format!("{self} is not an end"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::{ActorType, SessionStatus, TaskStatus};

    #[test]
    fn one_spelling_serves_serde_and_from_str() {
        fn check<T>(all: &[T], text: fn(T) -> &'static str)
        where
            T: Copy + PartialEq + std::fmt::Debug + std::str::FromStr + serde::Serialize,
        {
            for value in all {
                let spelling = text(*value);
                assert_eq!(spelling.parse::<T>().ok(), Some(*value));
                assert_eq!(serde_json::to_value(value).unwrap(), spelling);
            }
            assert!("Todo".parse::<T>().is_err());
        }
        check(ActorType::ALL, ActorType::as_str);
        check(TaskStatus::ALL, TaskStatus::as_str);
        check(SessionStatus::ALL, SessionStatus::as_str);
    }
}
