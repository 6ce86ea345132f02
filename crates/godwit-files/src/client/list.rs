//! `ls`: what a directory holds.

use std::time::{Duration, SystemTime};

use bytes::Buf as _;
use godwit_http::{Body, Client};
use http::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::{Deserialize, Serialize};

use super::{ListError, Refusal, RemoteUrl, request};

/// Some hundred thousand entries; a listing is held in memory as a whole.
const LISTING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A large directory on a slow disk takes a while to be read.
const RESPONSE_TIME_MAX: Duration = Duration::from_secs(60);

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Anything else.
    #[serde(other)]
    Other,
}

/// One entry of a directory, in the shape of nginx's `autoindex_format json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name as it came: escape it before printing.
    pub name: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: EntryKind,
    /// When it was modified, as an HTTP date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtime: Option<String>,
    /// Its length in bytes; none for a directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

impl Entry {
    /// When it was modified, to the second; `None` if the server did not tell or not in an HTTP date.
    pub fn modified(&self) -> Option<SystemTime> {
        httpdate::parse_http_date(self.mtime.as_deref()?).ok()
    }
}

/// Lists the directory that `url` names, with or without a final `/`.
///
/// # Errors
///
/// [`ListError`]; [`ListError::NotJson`] when the server has no JSON listing.
///
/// # Cancel safety
///
/// Dropping the future gives the request up.
pub async fn list(client: &Client, url: &RemoteUrl) -> Result<Vec<Entry>, ListError> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let mut response = send(client, url, headers.clone()).await?;
    if response.status().is_redirection()
        && let Some(directory) = with_slash(url, response.headers())
    {
        response = send(client, &directory, headers).await?;
    }
    if response.status() != StatusCode::OK {
        return Err(ListError::Refused(Refusal::read(response).await));
    }
    let content_type = response.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if !content_type.starts_with(b"application/json") {
        let content_type = String::from_utf8_lossy(content_type).into_owned();
        return Err(ListError::NotJson { content_type });
    }
    let body = Limited::new(response.into_body(), LISTING_BYTES_MAX).collect().await.map_err(|error| {
        let too_long = error.is::<LengthLimitError>();
        if too_long { ListError::TooLong { bytes_max: LISTING_BYTES_MAX } } else { ListError::Body(error) }
    })?;
    serde_json::from_reader(body.aggregate().reader()).map_err(ListError::Malformed)
}

async fn send(client: &Client, url: &RemoteUrl, headers: HeaderMap) -> Result<Response<Body>, ListError> {
    let sent = tokio::time::timeout(RESPONSE_TIME_MAX, client.request(request(Method::GET, url, headers))).await;
    Ok(sent.map_err(|_| ListError::NoAnswer(RESPONSE_TIME_MAX))??)
}

/// The URL with a `/` appended, if that is where a redirect points: to a directory that was named without it.
fn with_slash(url: &RemoteUrl, headers: &HeaderMap) -> Option<RemoteUrl> {
    let location = headers.get(LOCATION)?.to_str().ok()?;
    let directory = url.as_directory();
    let points_there = location == directory.to_string()
        || location == directory.uri().path()
        || directory.uri().path().strip_suffix(location).is_some_and(|parent| parent.ends_with('/'));
    (!url.is_directory() && points_there).then_some(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn understands_nginx_and_tolerates_what_is_missing() {
        let text = r#"[{"name":"a","type":"file","mtime":"Sun, 06 Nov 1994 08:49:37 GMT","size":7},
            {"name":"d","type":"directory","mtime":"Sun, 06 Nov 1994 08:49:37 GMT"}, {"name":"x","type":"socket"}]"#;
        let entries: Vec<Entry> = serde_json::from_str(text).expect("a listing");
        assert_eq!((entries[0].kind, entries[0].size), (EntryKind::File, Some(7)));
        assert!(entries[0].modified().is_some());
        assert_eq!((entries[1].kind, entries[1].size), (EntryKind::Directory, None));
        assert_eq!((entries[2].kind, entries[2].modified()), (EntryKind::Other, None));
    }

    #[test]
    fn follows_a_redirect_only_to_the_same_directory() {
        let url: RemoteUrl = "http://h:1/a/b".parse().expect("a URL");
        let follow = |to: &'static str| {
            with_slash(&url, &HeaderMap::from_iter([(LOCATION, HeaderValue::from_static(to))]))
                .map(|url| url.to_string())
        };
        let there = Some("http://h:1/a/b/".to_owned());
        assert_eq!((follow("/a/b/"), follow("http://h:1/a/b/"), follow("b/")), (there.clone(), there.clone(), there));
        assert_eq!((follow("http://other/a/b/"), follow("/a/c/"), follow("/")), (None, None, None));
    }
}
