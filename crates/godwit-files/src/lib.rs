//! Files over HTTP: serve, list, download, upload, resume, verify

mod access_log;
mod blocking_body;
pub mod client;
mod conditional;
mod config;
mod content_type;
mod digest_cache;
mod digest_fields;
mod download;
mod error;
pub mod escape;
mod etag;
pub mod hash;
pub mod headers;
mod list;
pub mod percent;
pub mod plan;
mod problem;
pub mod progress;
mod range;
mod routes;
pub mod store;
mod upload;
mod url_path;

pub use config::FilesConfig;
pub use error::OpenRootError;
pub use routes::FileService;
