//! The two numbers that the store assigns to its rows.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(i64);

        impl $name {
            /// Returns the bare number.
            #[must_use]
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl From<i64> for $name {
            fn from(number: i64) -> Self {
                Self(number)
            }
        }

        impl From<$name> for i64 {
            fn from(number: $name) -> Self {
                number.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }

        impl FromStr for $name {
            type Err = ParseIntError;

            fn from_str(text: &str) -> Result<Self, ParseIntError> {
                text.parse().map(Self)
            }
        }
    };
}

number! {
    /// Which write of a row this is: the store raises it by one at every write, also across deletion and purge.
    ///
    /// ```
    /// use descartes_state::Revision;
    ///
    /// let revision = Revision::from(3);
    /// assert_eq!(revision.to_string(), "3");
    /// assert_eq!("3".parse(), Ok(revision));
    /// assert_eq!(serde_json::to_string(&revision)?, "3");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    Revision
}

number! {
    /// A row's place in the order of its table: rising in the order of commits, with gaps, and never used again.
    ///
    /// ```
    /// use descartes_state::Seq;
    ///
    /// assert!(Seq::from(7) < Seq::from(12));
    /// assert_eq!(i64::from(Seq::from(7)), 7);
    /// ```
    Seq
}
