//! What a client wishes and can take in the way of digests (RFC 9530, section 4; RFC 9110, section 10.1.4).

use http::header::TE;
use http::{HeaderMap, Version};

use crate::hash::WANT_REPR_DIGEST;

/// How much a client wants a SHA-256 of the whole representation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DigestWish {
    /// `sha-256=0`: not at all.
    Refused,
    /// It did not say.
    Unspoken,
    /// It wants it, enough for a `HEAD` to wait for it.
    Wanted,
}

/// Reads `Want-Repr-Digest`, a dictionary of integers (RFC 8941). What is malformed says nothing.
pub(crate) fn wish(headers: &HeaderMap) -> DigestWish {
    let lines = headers.get_all(WANT_REPR_DIGEST).iter().filter_map(|line| line.to_str().ok());
    let members = lines.flat_map(|line| line.split(','));
    let mut preferences = members.filter_map(|member| {
        let (algorithm, rest) = member.trim().split_once('=')?;
        let preference = rest.split(';').next()?.trim().parse::<u8>().ok()?;
        (algorithm == "sha-256" && preference <= 10).then_some(preference)
    });
    // The last one counts (RFC 8941, section 4.2.2).
    match preferences.next_back() {
        None => DigestWish::Unspoken,
        Some(0) => DigestWish::Refused,
        Some(_) => DigestWish::Wanted,
    }
}

/// Whether the client takes a trailer section, which needs HTTP/1.1's chunks at least.
pub(crate) fn takes_trailers(version: Version, headers: &HeaderMap) -> bool {
    let lines = headers.get_all(TE).iter().filter_map(|line| line.to_str().ok());
    let mut codings = lines.flat_map(|line| line.split(','));
    version >= Version::HTTP_11 && codings.any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn reads_the_wish_for_sha_256() {
        for (value, expected) in [
            ("sha-256=9", DigestWish::Wanted),
            ("sha-512=5, sha-256=1;q=x", DigestWish::Wanted),
            ("sha-256=0", DigestWish::Refused),
            ("sha-256=3, sha-256=0", DigestWish::Refused),
            ("sha-512=9", DigestWish::Unspoken),
            ("sha-256", DigestWish::Unspoken),
            ("sha-256=99", DigestWish::Unspoken),
            ("SHA-256=9", DigestWish::Unspoken),
        ] {
            let headers = HeaderMap::from_iter([(WANT_REPR_DIGEST, HeaderValue::from_static(value))]);
            assert_eq!(wish(&headers), expected, "{value}");
        }
        assert_eq!(wish(&HeaderMap::new()), DigestWish::Unspoken);
    }

    #[test]
    fn trailers_need_consent_and_chunks() {
        for (value, expected) in
            [("trailers", true), ("gzip;q=0.5, Trailers", true), ("gzip", false), ("trailersx", false)]
        {
            let headers = HeaderMap::from_iter([(TE, HeaderValue::from_static(value))]);
            assert_eq!(takes_trailers(Version::HTTP_11, &headers), expected, "{value}");
            assert!(!takes_trailers(Version::HTTP_10, &headers));
        }
    }
}
