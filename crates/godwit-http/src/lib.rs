//! HTTP/1.1 requests and responses over UDT or TCP.
//!
//! A [`Server`] answers requests on any number of [`ListenUrl`]s, a [`Client`] sends them over pooled connections; both
//! meet either transport as a byte stream. Every request and every response carries the [`ConnectionHandle`] of the
//! connection that it came over, as an extension.
//!
//! ```
//! use godwit_http::{Body, Client, ClientConfig, ListenUrl, Server, ServerConfig, empty_body, full_body};
//! use http::{Request, Response};
//! use http_body_util::BodyExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let listen_url: ListenUrl = "http://127.0.0.1:0".parse()?;
//! let server = Server::bind(&[listen_url], ServerConfig::default())?;
//! let url = server.local_urls()[0].to_string();
//!
//! let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
//! let service = async |request: Request<Body>| Response::new(full_body(format!("you asked for {}", request.uri())));
//! let serving = tokio::spawn(server.serve(service, async { drop(stopped.await) }));
//!
//! let response = Client::new(ClientConfig::default()).request(Request::get(&url).body(empty_body())?).await?;
//! assert_eq!(response.into_body().collect().await?.to_bytes(), "you asked for /");
//!
//! drop(stop);
//! serving.await?;
//! # Ok(())
//! # }
//! ```
//!
//! This crate does not know files, does no TLS, no HTTP/2 and no proxies, and follows no redirects.

mod activity;
mod byte_stream;
mod client;
mod client_body;
mod connection_handle;
mod connection_io;
mod connection_limits;
mod connector;
mod error;
mod lingering_close;
mod listen_url;
mod listener;
mod rate_limit;
mod response_first;
mod server;
mod server_body;
mod server_connection;
pub mod tcp;
pub mod tcp_info;
mod transport;
mod udt;
mod upload_gate;

pub use client::{Client, ClientConfig};
pub use connection_handle::{ConnectionHandle, ConnectionStats};
pub use error::{BindError, BodyError, ErrorKind, ParseListenUrlError, RequestError, SetRateError, body_error_kind};
pub use godwit_udt::BufferPool;
pub use listen_url::{ListenUrl, default_listen_urls};
pub use server::{Server, ServerConfig};
pub use transport::{DEFAULT_PORT, Transport};

/// The error of a body: why no further bytes come. See [`body_error_kind`].
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of every request and response, either direction.
pub type Body = http_body_util::combinators::UnsyncBoxBody<bytes::Bytes, BoxError>;

/// A body without bytes.
#[must_use]
pub fn empty_body() -> Body {
    full_body(bytes::Bytes::new())
}

/// A body whose bytes are all there.
pub fn full_body(bytes: impl Into<bytes::Bytes>) -> Body {
    use http_body_util::BodyExt;
    http_body_util::Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}
