//! A time on the command line.

use std::time::Duration;

/// A number of seconds, up to an hour: more is a mistake in typing.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if seconds > 0.0 && seconds <= 3600.0 => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a number of seconds from 0 to 3600".to_owned()),
    }
}
