//! Decisions without I/O.

pub(crate) mod ranges;
pub mod resume;
