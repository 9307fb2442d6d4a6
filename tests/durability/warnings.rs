//! What the store warns of.

use std::fmt::Debug;
use std::sync::{Mutex, Once};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Warnings of the whole test program: the log is moved on threads that no test's own subscriber sees.
static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Warnings;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push_str(&format!(" {}={value:?}", field.name()));
    }
}

impl<S: Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() <= Level::WARN {
            let mut line = Line(event.metadata().level().to_string());
            event.record(&mut line);
            WARNINGS.lock().unwrap().push(line.0);
        }
    }
}

/// Captures warnings from now on.
pub(crate) fn capture_warnings() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::registry().with(Warnings);
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

/// Returns the warnings of the store with this limit; each test has a limit of its own.
pub(crate) fn warnings(limit: u64) -> Vec<String> {
    let limit = format!(" limit={limit}");
    let warnings = WARNINGS.lock().unwrap();
    let of_limit = warnings.iter().filter(|line| line.ends_with(&limit));
    of_limit.cloned().collect()
}
