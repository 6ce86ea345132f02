//! What a client claims, wishes and can take in the way of digests (RFC 9530; RFC 9110, section 10.1.4).

use http::header::TE;
use http::{HeaderMap, HeaderName, HeaderValue, Version};

use crate::hash::{REPR_DIGEST, Sha256Digest, WANT_REPR_DIGEST};

/// The digest of a message's content (RFC 9530, section 2).
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

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

/// A SHA-256 that is none: not 32 bytes in base64 between colons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MalformedDigest;

/// The digests that the sender of a file claims for it, in the head or in the trailer section. Other algorithms than
/// SHA-256 are ignored. Without content coding `Content-Digest` means the same as `Repr-Digest` on a whole file.
pub(crate) fn claimed(fields: &HeaderMap) -> Result<Vec<Sha256Digest>, MalformedDigest> {
    let lines = [REPR_DIGEST, CONTENT_DIGEST].into_iter().flat_map(|name| fields.get_all(name));
    let is_sha_256 = |member: &str| member.split_once('=').is_some_and(|(name, _)| name.trim() == "sha-256");
    let has_sha_256 = |line: &HeaderValue| line.to_str().is_ok_and(|line| line.split(',').any(is_sha_256));
    let claims = lines.filter(|line| has_sha_256(line));
    claims.map(|line| Sha256Digest::from_repr_digest(line).ok_or(MalformedDigest)).collect()
}

/// Whether the client takes a trailer section, which needs HTTP/1.1's chunks at least.
pub(crate) fn takes_trailers(version: Version, headers: &HeaderMap) -> bool {
    let lines = headers.get_all(TE).iter().filter_map(|line| line.to_str().ok());
    let mut codings = lines.flat_map(|line| line.split(','));
    version >= Version::HTTP_11 && codings.any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Sha256;

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
    fn reads_claims_and_refuses_what_looks_like_one() {
        let digest = Sha256::new().finish();
        let good = digest.to_repr_digest();
        let fields = |name: HeaderName, value: &'static str| {
            HeaderMap::from_iter([(REPR_DIGEST, good.clone()), (name, HeaderValue::from_static(value))])
        };
        assert_eq!(claimed(&HeaderMap::new()), Ok(vec![]));
        assert_eq!(claimed(&fields(CONTENT_DIGEST, "sha-512=:AAAA:, md5=:AAAA:")), Ok(vec![digest]));
        assert_eq!(claimed(&fields(CONTENT_DIGEST, "sha-256=:AAAA:")), Err(MalformedDigest));
        assert_eq!(claimed(&fields(CONTENT_DIGEST, "md5=:AAAA:, sha-256=x")), Err(MalformedDigest));
        let same = HeaderMap::from_iter([(CONTENT_DIGEST, good.clone())]);
        assert_eq!(claimed(&same), Ok(vec![digest]));
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
