//! Percent-encoding (RFC 3986, section 2.1): names are bytes on disk and ASCII in a URL.

use std::fmt::Write as _;

/// A `%` that two hexadecimal digits do not follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a '%' in a URL must be followed by two hexadecimal digits")]
pub struct BadPercentEncoding;

/// Encodes every byte but the unreserved ones (RFC 3986, section 2.3: letters, digits, `-`, `.`, `_`, `~`), so that the
/// result is one path segment whatever the bytes are.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut encoded = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
    encoded
}

/// Decodes to bytes, which need not be UTF-8.
///
/// # Errors
/// [`BadPercentEncoding`], for a `%` without two hexadecimal digits.
pub fn decode(text: &str) -> Result<Vec<u8>, BadPercentEncoding> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = bytes.next().and_then(hex_digit).ok_or(BadPercentEncoding)?;
            let low = bytes.next().and_then(hex_digit).ok_or(BadPercentEncoding)?;
            decoded.push(high << 4 | low);
        } else {
            decoded.push(byte);
        }
    }
    Ok(decoded)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| u8::try_from(digit).expect("a hexadecimal digit is under 16"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn encodes_everything_that_a_url_could_misread() {
        assert_eq!(encode(b"a b%#?/\n\xff~"), "a%20b%25%23%3F%2F%0A%FF~");
        assert_eq!(decode("a%20b%2f%FF+"), Ok(b"a b/\xff+".to_vec()));
        for broken in ["%", "%a", "%zz", "a%2", "%%20", "%+1"] {
            assert_eq!(decode(broken), Err(BadPercentEncoding), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn decodes_what_it_encodes(bytes: Vec<u8>) {
            let encoded = encode(&bytes);
            prop_assert!(encoded.is_ascii());
            prop_assert_eq!(decode(&encoded), Ok(bytes));
        }
    }
}
