//! When what has come of a line that isn't over is shown.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::lines::Splitter;

/// When to show what has come of a line that isn't over: after a moment of quiet, and ever more seldom.
pub(super) struct Interim {
    is_strict: bool,
    pace: Pace,
    /// Whether lines that begin like objects are shown too.
    shows_json: bool,
    last_read: Instant,
    /// When the first bytes of a piece of a screen came.
    screen_since: Option<Instant>,
    /// When the first bytes came that weren't shown.
    waiting_since: Option<Instant>,
    /// When it was last shown, and how long it has to wait from then.
    last_shown: Option<(Instant, Duration)>,
}

/// How soon, and how often.
struct Pace {
    quiet: Duration,
    /// Without quiet, the longest that anything waits.
    at_latest: Option<Duration>,
    first_pause: Duration,
    longest_pause: Duration,
}

/// Where the bytes are seen already, and showing is only for the store.
const SEEN: Pace = Pace {
    quiet: Duration::from_millis(200),
    at_latest: None,
    first_pause: Duration::from_millis(400),
    longest_pause: Duration::from_secs(5),
};

/// Where nobody sees them before.
const UNSEEN: Pace = Pace {
    quiet: Duration::from_millis(50),
    at_latest: Some(Duration::from_secs(1)),
    first_pause: Duration::from_millis(100),
    longest_pause: Duration::from_secs(1),
};

/// How long a piece of a screen gathers.
const SCREEN_TIME: Duration = Duration::from_secs(1);
/// How often a line is shown that is drawn again and again.
const FRAME_TIME: Duration = Duration::from_millis(500);

impl Interim {
    /// `is_strict`: bytes are seen only once they are kept.
    pub(super) fn new(shows_json: bool, is_strict: bool) -> Self {
        Self {
            is_strict,
            pace: if is_strict { UNSEEN } else { SEEN },
            shows_json,
            last_read: Instant::now(),
            screen_since: None,
            waiting_since: None,
            last_shown: None,
        }
    }

    pub(super) fn was_read(&mut self, has_ended_a_line: bool, has_screen: bool) {
        self.last_read = Instant::now();
        self.screen_since = match self.screen_since {
            _ if has_ended_a_line || !has_screen => has_screen.then_some(self.last_read),
            Some(since) => Some(since),
            None => Some(self.last_read),
        };
        if has_ended_a_line {
            self.last_shown = None;
            self.waiting_since = None;
        }
        self.waiting_since.get_or_insert(self.last_read);
    }

    /// Returns whether nothing has come for a moment.
    pub(super) fn is_quiet(&self) -> bool {
        self.last_read.elapsed() >= self.pace.quiet
    }

    pub(super) fn was_shown(&mut self) {
        self.screen_since = None;
        let Pace {
            first_pause,
            longest_pause,
            ..
        } = self.pace;
        let pause = self
            .last_shown
            .map_or(first_pause, |(_, pause)| (pause * 2).min(longest_pause));
        self.last_shown = Some((Instant::now(), pause));
        self.waiting_since = None;
    }

    pub(super) async fn due(&self, splitter: &Splitter) {
        if let Some(since) = self.screen_since {
            return sleep_until(since + SCREEN_TIME).await;
        }
        let has_pending = if self.is_strict {
            splitter.has_unshown()
        } else {
            splitter.has_pending()
        };
        if !has_pending || (!self.shows_json && splitter.begins_like_an_object()) {
            return std::future::pending().await;
        }
        let quiet = self.last_read + self.pace.quiet;
        let at_latest = match self.pace.at_latest {
            None if splitter.is_redrawn() => Some(FRAME_TIME),
            at_latest => at_latest,
        };
        let at_latest = self.waiting_since.zip(at_latest);
        let due = at_latest.map_or(quiet, |(since, longest)| quiet.min(since + longest));
        let next = self.last_shown.map_or(due, |(at, pause)| {
            let pause = if splitter.is_redrawn() {
                FRAME_TIME
            } else {
                pause
            };
            due.max(at + pause)
        });
        sleep_until(next).await;
    }
}
