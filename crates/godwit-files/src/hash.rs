//! SHA-256 and its spelling in HTTP: `Repr-Digest` and `Want-Repr-Digest` (RFC 9530).

use std::fmt;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

/// The digest of a whole representation (RFC 9530, section 3).
pub const REPR_DIGEST: http::HeaderName = http::HeaderName::from_static("repr-digest");
/// Asks for a digest of the whole representation (RFC 9530, section 4).
pub const WANT_REPR_DIGEST: http::HeaderName = http::HeaderName::from_static("want-repr-digest");
/// The value of [`WANT_REPR_DIGEST`] that our client sends: SHA-256, as wanted as can be.
pub const WANT_SHA_256: HeaderValue = HeaderValue::from_static("sha-256=9");

/// SHA-256 of bytes that arrive in pieces.
#[derive(Clone)]
pub struct Sha256(digest::Context);

impl Sha256 {
    /// Starts with no bytes.
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of everything taken.
    pub fn finish(self) -> Sha256Digest {
        let digest = self.0.finish();
        Sha256Digest(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha256(…)")
    }
}

/// A finished SHA-256. `Display` is lower-case hexadecimal, as `sha256sum` prints it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256Digest(pub [u8; 32]);

impl Sha256Digest {
    /// As the value of a `Repr-Digest` field: `sha-256=:…:`.
    pub fn to_repr_digest(self) -> HeaderValue {
        let value = format!("sha-256=:{}:", STANDARD.encode(self.0));
        HeaderValue::from_str(&value).expect("base64 is visible ASCII")
    }

    /// The SHA-256 in a `Repr-Digest` field value, a dictionary of byte sequences (RFC 8941); `None` where there is none,
    /// or where what is there is no SHA-256.
    pub fn from_repr_digest(value: &HeaderValue) -> Option<Self> {
        value.to_str().ok()?.split(',').find_map(|member| {
            let (name, item) = member.trim().split_once('=')?;
            let encoded = item.split(';').next()?.trim().strip_prefix(':')?.strip_suffix(':')?;
            let decoded = STANDARD.decode(encoded).ok().filter(|_| name.trim() == "sha-256")?;
            decoded.try_into().ok().map(Self)
        })
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha-256 {self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_string_has_its_known_digest_in_hex_and_in_http() {
        let digest = Sha256::new().finish();
        assert_eq!(digest.to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(digest.to_repr_digest(), "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:");
        assert_eq!(Sha256Digest::from_repr_digest(&digest.to_repr_digest()), Some(digest));
    }

    #[test]
    fn finds_sha_256_among_other_members_and_ignores_what_is_none() {
        let among = "sha-512=:AAAA:, sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:;x=1";
        assert!(Sha256Digest::from_repr_digest(&HeaderValue::from_static(among)).is_some());
        for broken in ["", "sha-256", "sha-256=abc", "sha-256=:AAAA:", "sha-256=:", "=::,,", "sha-256=:!!:"] {
            assert_eq!(Sha256Digest::from_repr_digest(&HeaderValue::from_static(broken)), None, "{broken}");
        }
    }
}
