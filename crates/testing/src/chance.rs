//! Chance that comes again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fastrand::Rng;

/// Numbers by chance that come again from the same seed.
#[derive(Debug)]
pub struct Chance(Rng);

impl Chance {
    /// Begins with this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Rng::with_seed(seed))
    }

    /// Returns the seed that the variable names, or one of this second.
    #[must_use]
    pub fn seed(variable: &str) -> u64 {
        let named = std::env::var(variable).ok();
        named.map_or_else(
            || {
                SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap()
                    .as_secs()
            },
            |seed| seed.parse().unwrap(),
        )
    }

    /// Returns a number below the limit.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0.u64(..limit)
    }

    /// Waits for a moment of at most so many milliseconds.
    pub fn moment(&mut self, most: u64) {
        #[allow(clippy::disallowed_methods)]
        // No condition: what happens is to happen at any moment.
        std::thread::sleep(Duration::from_millis(self.below(most)));
    }
}
