//! Decisions without I/O.

pub mod resume;
