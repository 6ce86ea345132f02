//! What is remembered beside a file: `NAME.part.meta` while it arrives, an extended attribute once it is complete.

use http::HeaderMap;
use http::header::{DATE, ETAG, LAST_MODIFIED};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A last modification this much older than the answer cannot hide a second one (RFC 9110 section 8.8.2.2 asks for one
/// second where the clocks are one; the minute is its older and more careful figure, for servers whose clocks differ).
const LAST_MODIFIED_STRONG_AGE: Duration = Duration::from_secs(60);

/// Tells one version of a representation from every other; only strong validators, so that pieces may be joined
/// (RFC 9110 section 13.1.5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Validator {
    /// A strong entity tag, with its quotes.
    Etag(String),
    /// A `Last-Modified` date that is strong, as the server spelled it.
    LastModified(String),
}

impl Validator {
    /// The strong validator of a response, if it has one.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let strong = text(ETAG).filter(|etag| etag.len() >= 2 && etag.starts_with('"') && etag.ends_with('"'));
        if let Some(etag) = strong {
            return Some(Self::Etag(etag.to_owned()));
        }
        let (modified, now) = (text(LAST_MODIFIED)?, text(DATE)?);
        let age = httpdate::parse_http_date(now).ok()?.duration_since(httpdate::parse_http_date(modified).ok()?);
        age.is_ok_and(|age| age >= LAST_MODIFIED_STRONG_AGE).then(|| Self::LastModified(modified.to_owned()))
    }

    /// As the value of `If-Range`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Etag(text) | Self::LastModified(text) => text,
        }
    }
}

/// What `NAME.part` is a beginning of. Written before the first byte of it, never changed while it grows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartMeta {
    /// Where it comes from.
    pub url: String,
    /// Which version it is; without one the next run starts anew.
    pub validator: Option<Validator>,
    /// The length of the whole in bytes, if the server told it.
    pub length: Option<u64>,
}

/// What a complete file was when we finished it: holds as long as length and modification time are still the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishedRecord {
    /// Which version it is.
    pub validator: Validator,
    /// Its length in bytes.
    pub length: u64,
    /// Its modification time when we finished it, in nanoseconds since 1970.
    pub modified_ns: i128,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validator(headers: &[(http::HeaderName, &str)]) -> Option<Validator> {
        Validator::of(&headers.iter().map(|(name, value)| (name.clone(), value.parse().expect("a value"))).collect())
    }

    #[test]
    fn only_strong_validators_count() {
        let strong = validator(&[(ETAG, "\"abc\""), (LAST_MODIFIED, "Sun, 06 Nov 1994 08:49:37 GMT")]);
        assert_eq!(strong, Some(Validator::Etag("\"abc\"".into())));
        assert_eq!(validator(&[(ETAG, "W/\"abc\"")]), None);
        assert_eq!(validator(&[(ETAG, "\"")]), None);
        assert_eq!(validator(&[(LAST_MODIFIED, "Sun, 06 Nov 1994 08:49:37 GMT")]), None);
    }

    #[test]
    fn a_date_is_strong_once_it_is_a_minute_old() {
        let modified = (LAST_MODIFIED, "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(validator(&[modified.clone(), (DATE, "Sun, 06 Nov 1994 08:50:36 GMT")]), None);
        assert!(validator(&[modified, (DATE, "Sun, 06 Nov 1994 08:50:37 GMT")]).is_some());
    }

    #[test]
    fn meta_keeps_its_spelling_on_disk() {
        let meta = PartMeta {
            url: "udt://h:9000/a".into(),
            validator: Some(Validator::Etag("\"x\"".into())),
            length: Some(7),
        };
        let text = r#"{"url":"udt://h:9000/a","validator":{"etag":"\"x\""},"length":7}"#;
        assert_eq!(serde_json::to_string(&meta).expect("plain data"), text);
        assert_eq!(serde_json::from_str::<PartMeta>(text).expect("as written"), meta);
    }
}
