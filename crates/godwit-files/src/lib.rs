//! Files over HTTP: serve, list, download, upload, resume, verify

pub mod escape;
pub mod hash;
pub mod headers;
