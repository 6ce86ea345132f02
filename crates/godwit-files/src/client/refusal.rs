//! What a server says when it says no.

use std::fmt;

use bytes::Buf as _;
use godwit_http::Body;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;

use crate::escape::Escaped;

/// A problem document is a few sentences; nobody reads more of an error.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;

/// An answer with a status other than success, and the reason that its problem document (RFC 9457) gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// The reason in the server's words, as it came: escape it before printing (`Display` does).
    pub detail: Option<String>,
    /// Where a redirect points.
    pub location: Option<String>,
}

#[derive(Deserialize)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
}

impl Refusal {
    /// Reads the reason; what is too long or broken is no reason.
    pub(super) async fn read(response: Response<Body>) -> Self {
        let status = response.status();
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (location, kind) = (text(LOCATION), text(CONTENT_TYPE));
        let mut detail = None;
        if kind.is_some_and(|kind| kind.starts_with("application/problem+json")) {
            let document = Limited::new(response.into_body(), PROBLEM_BYTES_MAX).collect().await;
            let problem: Option<Problem> =
                document.ok().and_then(|document| serde_json::from_reader(document.aggregate().reader()).ok());
            detail = problem.and_then(|problem| problem.detail.or(problem.title));
        }
        Self { status, detail, location }
    }

    /// Whether the server only has no time now.
    pub(super) fn is_transient(&self) -> bool {
        matches!(
            self.status,
            StatusCode::REQUEST_TIMEOUT
                | StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        )
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server answers {}", self.status)?;
        if let Some(detail) = &self.detail {
            write!(f, ": {}", Escaped::new(detail))?;
        }
        if let Some(location) = &self.location {
            write!(f, " (it points to {}; redirects are not followed)", Escaped::new(location))?;
        }
        Ok(())
    }
}
