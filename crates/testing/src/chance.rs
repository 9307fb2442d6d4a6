//! Chance that comes again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Numbers by chance that come again from the same seed (splitmix64).
#[derive(Debug)]
pub struct Chance(u64);

impl Chance {
    /// Begins with this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
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

    /// The next number.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below the limit.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Waits for a moment of at most so many milliseconds.
    pub fn moment(&mut self, most: u64) {
        #[allow(clippy::disallowed_methods)]
        // No condition: what happens is to happen at any moment.
        std::thread::sleep(Duration::from_millis(self.below(most)));
    }
}
