//! What to ask for when a part of a file is already here, and what an answer then means. Pure: no I/O.

use std::ops::Range;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use thiserror::Error;

use crate::headers::GODWIT_LENGTH;
use crate::store::local::{PartMeta, Validator};

/// How a download begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// From the first byte.
    Anew(Anew),
    /// `Range: bytes=FROM-` with `If-Range: VALIDATOR`.
    Continue {
        /// The first byte that is missing.
        from: u64,
        /// Which version the bytes belong to.
        validator: Validator,
    },
    /// All bytes are here; only the verification is missing.
    Complete {
        /// Which version they belong to.
        validator: Validator,
    },
}

/// Why a download begins with its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anew {
    /// Nothing is there.
    Nothing,
    /// What is there came from another URL.
    OtherUrl,
    /// The server gave nothing to tell versions apart by.
    NoValidator,
    /// More bytes are there than the file has.
    TooLong,
    /// The file has changed on the server.
    Changed,
}

/// Decides how to begin, from what an earlier run (or try) left.
pub fn start(meta: Option<&PartMeta>, url: &str, length: u64) -> Start {
    let Some(meta) = meta.filter(|_| length > 0) else {
        return Start::Anew(Anew::Nothing);
    };
    if meta.url != url {
        return Start::Anew(Anew::OtherUrl);
    }
    let Some(validator) = meta.validator.clone() else {
        return Start::Anew(Anew::NoValidator);
    };
    match meta.length {
        Some(whole) if length > whole => Start::Anew(Anew::TooLong),
        Some(whole) if length == whole => Start::Complete { validator },
        _ => Start::Continue { from: length, validator },
    }
}

/// What the answer to a GET brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The file from its first byte; its length if the server tells it.
    Whole {
        /// In bytes.
        length: Option<u64>,
    },
    /// The missing rest, up to the end of the file.
    Rest {
        /// Of the whole file, in bytes, if the server knows.
        length: Option<u64>,
    },
    /// No such bytes: the file ends at `length`, if the server tells.
    BeyondEnd {
        /// Of the whole file, in bytes.
        length: Option<u64>,
    },
}

/// Why an answer is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// An error or a redirect: its problem document says more.
    #[error("the server answers {0}")]
    Status(StatusCode),
    /// A part that nobody asked for, or not the part asked for.
    #[error("the server sends another part than the one asked for (a wrong or missing Content-Range)")]
    WrongRange,
    /// Content-Encoding, though only identity was acceptable.
    #[error("the server encodes the file (Content-Encoding) though it was asked not to")]
    Encoded,
}

/// Judges the head of the answer to a request for everything from byte `from` (0: no `Range` was sent).
///
/// # Errors
///
/// [`AnswerError`] when the body must not be written.
pub fn answer(status: StatusCode, headers: &HeaderMap, from: u64) -> Result<Answer, AnswerError> {
    let answer = match status {
        StatusCode::OK => Answer::Whole { length: whole_length(headers) },
        StatusCode::PARTIAL_CONTENT => {
            Answer::Rest { length: rest_length(headers, from).ok_or(AnswerError::WrongRange)? }
        }
        StatusCode::RANGE_NOT_SATISFIABLE if from > 0 => Answer::BeyondEnd { length: unsatisfied_length(headers) },
        _ => return Err(AnswerError::Status(status)),
    };
    if is_identity(headers) { Ok(answer) } else { Err(AnswerError::Encoded) }
}

/// Judges the head of the answer to a request for the bytes of `wanted`, where the file may end before: the length of the whole
/// file, if that is exactly what comes, as it is.
pub fn segment_answer(status: StatusCode, headers: &HeaderMap, wanted: &Range<u64>) -> Option<u64> {
    let (first, last, length) = content_range(headers)?;
    let length = length.filter(|_| status == StatusCode::PARTIAL_CONTENT && is_identity(headers))?;
    (first == wanted.start && last + 1 == wanted.end.min(length)).then_some(length)
}

fn is_identity(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_ENCODING).is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn whole_length(headers: &HeaderMap) -> Option<u64> {
    [CONTENT_LENGTH, GODWIT_LENGTH].iter().find_map(|name| text(headers, name)?.parse().ok())
}

/// The length of the whole file, if the server knows it and sends all from `from` on.
fn rest_length(headers: &HeaderMap, from: u64) -> Option<Option<u64>> {
    let (first, _, length) = content_range(headers)?;
    (from > 0 && first == from).then_some(length)
}

/// `bytes FIRST-LAST/LENGTH`, where LENGTH may be `*` (RFC 9110 section 14.4).
fn content_range(headers: &HeaderMap) -> Option<(u64, u64, Option<u64>)> {
    let multipart = text(headers, &CONTENT_TYPE).is_some_and(|kind| kind.starts_with("multipart/"));
    let (range, length) = text(headers, &CONTENT_RANGE)?.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    if multipart || last < first || last == u64::MAX {
        return None;
    }
    match length {
        "*" => Some((first, last, None)),
        length => length.parse().ok().filter(|&length: &u64| last < length).map(|length| (first, last, Some(length))),
    }
}

fn unsatisfied_length(headers: &HeaderMap) -> Option<u64> {
    text(headers, &CONTENT_RANGE)?.strip_prefix("bytes */")?.parse().ok()
}

fn text<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "http://h/f";

    fn meta(length: Option<u64>) -> PartMeta {
        PartMeta { url: URL.into(), validator: Some(Validator::Etag("\"1\"".into())), length }
    }

    fn headers(fields: &[(http::HeaderName, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), value.parse().expect("a value"))).collect()
    }

    #[test]
    fn continues_only_what_is_surely_the_same() {
        let validator = Validator::Etag("\"1\"".into());
        assert_eq!(start(None, URL, 5), Start::Anew(Anew::Nothing));
        assert_eq!(start(Some(&meta(Some(9))), URL, 0), Start::Anew(Anew::Nothing));
        assert_eq!(start(Some(&meta(Some(9))), "http://h/g", 5), Start::Anew(Anew::OtherUrl));
        assert_eq!(start(Some(&meta(Some(9))), URL, 5), Start::Continue { from: 5, validator: validator.clone() });
        assert_eq!(start(Some(&meta(None)), URL, 5), Start::Continue { from: 5, validator: validator.clone() });
        assert_eq!(start(Some(&meta(Some(9))), URL, 9), Start::Complete { validator });
        assert_eq!(start(Some(&meta(Some(9))), URL, 10), Start::Anew(Anew::TooLong));
        let unknown = PartMeta { validator: None, ..meta(Some(9)) };
        assert_eq!(start(Some(&unknown), URL, 5), Start::Anew(Anew::NoValidator));
    }

    #[test]
    fn the_length_comes_from_content_length_or_from_our_header() {
        let whole = |fields: &[_]| answer(StatusCode::OK, &headers(fields), 0);
        assert_eq!(whole(&[(CONTENT_LENGTH, "7")]), Ok(Answer::Whole { length: Some(7) }));
        assert_eq!(whole(&[(GODWIT_LENGTH, "7")]), Ok(Answer::Whole { length: Some(7) }));
        assert_eq!(whole(&[]), Ok(Answer::Whole { length: None }));
        assert_eq!(whole(&[(CONTENT_ENCODING, "gzip")]), Err(AnswerError::Encoded));
    }

    #[test]
    fn a_part_must_be_the_one_asked_for() {
        let rest = |range: &str, from| answer(StatusCode::PARTIAL_CONTENT, &headers(&[(CONTENT_RANGE, range)]), from);
        assert_eq!(rest("bytes 5-8/9", 5), Ok(Answer::Rest { length: Some(9) }));
        assert_eq!(rest("bytes 5-8/*", 5), Ok(Answer::Rest { length: None }));
        for (range, from) in [
            ("bytes 4-8/9", 5),
            ("bytes 5-9/9", 5),
            ("bytes 5-4/9", 5),
            ("bytes 0-8/9", 0),
            ("bytes */9", 5),
            ("items 5-8/9", 5),
            ("bytes 5-8", 5),
            ("bytes 5-99999999999999999999/9", 5),
        ] {
            assert_eq!(rest(range, from), Err(AnswerError::WrongRange), "{range} from {from}");
        }
        let multipart = headers(&[(CONTENT_RANGE, "bytes 5-8/9"), (CONTENT_TYPE, "multipart/byteranges; boundary=x")]);
        assert_eq!(answer(StatusCode::PARTIAL_CONTENT, &multipart, 5), Err(AnswerError::WrongRange));
    }

    #[test]
    fn a_segment_must_be_all_that_was_asked_for_up_to_the_end() {
        let judged = |status, range: &str| segment_answer(status, &headers(&[(CONTENT_RANGE, range)]), &(5..8));
        assert_eq!(judged(StatusCode::PARTIAL_CONTENT, "bytes 5-7/9"), Some(9));
        assert_eq!(judged(StatusCode::PARTIAL_CONTENT, "bytes 5-6/7"), Some(7));
        for range in ["bytes 5-6/9", "bytes 5-8/9", "bytes 4-7/9", "bytes 5-7/*", "bytes */9"] {
            assert_eq!(judged(StatusCode::PARTIAL_CONTENT, range), None, "{range}");
        }
        assert_eq!(judged(StatusCode::OK, "bytes 5-7/9"), None);
        let encoded = headers(&[(CONTENT_RANGE, "bytes 5-7/9"), (CONTENT_ENCODING, "gzip")]);
        assert_eq!(segment_answer(StatusCode::PARTIAL_CONTENT, &encoded, &(5..8)), None);
    }

    #[test]
    fn a_range_beyond_the_end_tells_the_length() {
        let beyond = headers(&[(CONTENT_RANGE, "bytes */9")]);
        assert_eq!(answer(StatusCode::RANGE_NOT_SATISFIABLE, &beyond, 9), Ok(Answer::BeyondEnd { length: Some(9) }));
        let status = StatusCode::RANGE_NOT_SATISFIABLE;
        assert_eq!(answer(status, &beyond, 0), Err(AnswerError::Status(status)));
    }
}
