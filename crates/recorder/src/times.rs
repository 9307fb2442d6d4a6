//! Times as programs write them: RFC 3339, or a number since 1970 in seconds, milliseconds, microseconds or nanoseconds.

use chrono::DateTime;
use descartes_state::serde_json;

/// Returns the Unix second of a time in JSON, rounded down; `None` for what is no time.
///
/// The unit of a number is told by its size: 100,000,000,000 seconds are in the year 5138, and as milliseconds in 1973.
pub(crate) fn seconds(json: &str) -> Option<i64> {
    const SECONDS: f64 = 1e11;
    let text: String = if json.starts_with('"') {
        serde_json::from_str(json).ok()?
    } else {
        json.to_owned()
    };
    if let Ok(time) = DateTime::parse_from_rfc3339(text.trim()) {
        return Some(time.timestamp());
    }
    let number: f64 = text.trim().parse().ok()?;
    let mut seconds = number;
    for _ in 0..3 {
        if seconds.abs() < SECONDS {
            break;
        }
        seconds /= 1000.0;
    }
    // Larger ones are no times, and fit no event.
    #[expect(clippy::cast_possible_truncation, reason = "it is below 1e11")]
    (seconds.abs() < SECONDS).then(|| seconds.floor() as i64)
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn every_usual_form_is_the_same_second() {
        for json in [
            "1763856000",
            "1763856000.9",
            "1763856000123",
            "1763856000123456",
            "1763856000123456789",
            "\"1763856000\"",
            "\"2025-11-23T00:00:00Z\"",
            "\"2025-11-23T01:00:00.5+01:00\"",
            "\"2025-11-22 19:00:00-05:00\"",
        ] {
            assert_eq!(seconds(json), Some(1_763_856_000), "{json}");
        }
        assert_eq!(seconds("-1.5"), Some(-2));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for json in [
            "true",
            "\"yesterday\"",
            "1e300",
            "{}",
            "\"\"",
            "\"NaN\"",
            "[1]",
        ] {
            assert_eq!(seconds(json), None, "{json}");
        }
    }
}
