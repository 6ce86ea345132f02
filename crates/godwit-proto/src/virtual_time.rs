//! The one place of this crate's tests that asks the clock: every test's time counts from here.

use std::time::Instant;

/// The instant at which a test begins. Only distances from it mean anything.
#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made from a number; tests need one origin")]
pub(crate) fn origin() -> Instant {
    Instant::now()
}
