//! The only modules that touch files.

pub mod local;
