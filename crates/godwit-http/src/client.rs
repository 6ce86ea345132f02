//! The client: one pool of kept-alive connections over either transport.

use std::time::Duration;

use http::{Request, Response};

use crate::{Body, RequestError};

/// The limits of a client. Any value is valid.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// For the name resolution and all connection attempts of a request together. Default 10 s.
    pub connect_timeout: Duration,
    /// How long a request with `Expect: 100-continue` waits for the answer before it sends its body anyway. Default 1 s.
    pub continue_timeout: Duration,
    /// How long an unused connection is kept. Default 30 s, which is less than what servers keep.
    pub pool_idle_timeout: Duration,
    /// Unused connections kept per scheme, host and port. Default 16.
    pub pool_idle_max: usize,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            continue_timeout: Duration::from_secs(1),
            pool_idle_timeout: Duration::from_secs(30),
            pool_idle_max: 16,
        }
    }
}

/// Sends requests to `http://` and `udt://` URLs. Cheap to clone; clones share the connections.
#[derive(Clone, Debug)]
pub struct Client {}

impl Client {
    /// A client without connections yet.
    #[must_use]
    pub fn new(_config: ClientConfig) -> Self {
        Self {}
    }

    /// Sends a request and returns the head of the response as soon as it is there; its body streams.
    ///
    /// The URI is absolute. A request with `Expect: 100-continue` sends its body when the server asks for it, or after
    /// [`ClientConfig::continue_timeout`], and not at all if the server refuses before. The body of any request stops as
    /// soon as the server answers with an error status.
    ///
    /// # Errors
    ///
    /// [`RequestError`]; its `kind` tells network failures from others. The response body may fail later:
    /// see [`crate::body_error_kind`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the request up and closes its connection if the request was begun.
    pub async fn request(&self, _request: Request<Body>) -> Result<Response<Body>, RequestError> {
        unimplemented!("lands next")
    }
}
