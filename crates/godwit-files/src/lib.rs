//! Files over HTTP: serve, list, download, upload, resume, verify

pub mod client;
pub mod escape;
pub mod hash;
pub mod headers;
pub mod percent;
pub mod plan;
pub mod progress;
pub mod store;
