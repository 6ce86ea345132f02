//! A URL as a person types it, and the local name that follows from it.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt as _;
use std::str::FromStr;

use godwit_http::Transport;
use http::Uri;
use thiserror::Error;

use crate::percent;

/// An absolute `udt://` or `http://` URL with a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteUrl(Uri);

/// Why a text is no [`RemoteUrl`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UrlError {
    /// Neither `udt://` nor `http://` in front.
    #[error("not a URL that we can reach: it must start with udt:// or http://")]
    Scheme,
    /// No host, or not a host and a port.
    #[error("the URL names no host: write it as in udt://host:9000/path")]
    Host,
    /// `user@` or `user:password@`.
    #[error("the URL names a user: logging in is not supported, leave out everything up to the @")]
    User,
    /// The rest of it is malformed.
    #[error("not a valid URL: check the part after the host")]
    Malformed,
}

/// Why a URL gives no local file name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// The path ends in `/`: it is a directory.
    #[error("the URL ends in / and so names a directory: list it with `ls`, or name a file")]
    Directory,
    /// `.` or `..`.
    #[error("the last part of the URL is . or .., which is no file name: choose a name with -o")]
    Dots,
    /// The decoded name contains `/`.
    #[error("the last part of the URL contains an encoded /: choose a name with -o")]
    Slash,
    /// The decoded name contains a NUL byte.
    #[error("the last part of the URL contains an encoded NUL byte: choose a name with -o")]
    Nul,
    /// `%` without two hexadecimal digits.
    #[error("the last part of the URL has a % without two hexadecimal digits: write %25 for a percent sign")]
    Encoding,
}

impl RemoteUrl {
    /// The URL for requests.
    pub fn uri(&self) -> &Uri {
        &self.0
    }

    /// What carries the bytes.
    ///
    /// # Panics
    ///
    /// Never: only URLs with a known scheme parse.
    pub fn transport(&self) -> Transport {
        self.0.scheme_str().and_then(Transport::from_scheme).expect("only known schemes parse")
    }

    /// Whether the path ends in `/`, so that a file name can be appended.
    pub fn is_directory(&self) -> bool {
        self.0.path().ends_with('/')
    }

    /// The name that a download gets: the last segment of the path, decoded. Never one that leaves its directory.
    ///
    /// # Errors
    ///
    /// [`NameError`] for an empty name, `.`, `..`, or one with `/` or NUL in it.
    pub fn local_name(&self) -> Result<OsString, NameError> {
        let segment = self.0.path().rsplit('/').next().unwrap_or_default();
        let name = percent::decode(segment).map_err(|_| NameError::Encoding)?;
        match name.as_slice() {
            b"" => Err(NameError::Directory),
            b"." | b".." => Err(NameError::Dots),
            name if name.contains(&b'/') => Err(NameError::Slash),
            name if name.contains(&0) => Err(NameError::Nul),
            _ => Ok(OsString::from_vec(name)),
        }
    }

    /// This directory's URL with a file name appended.
    pub fn join(&self, name: &[u8]) -> Self {
        let path = format!("{}{}", self.0.path(), percent::encode(name));
        self.with_path(&path)
    }

    /// This URL with a `/` at the end of its path, and without a query.
    pub fn as_directory(&self) -> Self {
        let slash = if self.is_directory() { "" } else { "/" };
        self.with_path(&format!("{}{slash}", self.0.path()))
    }

    fn with_path(&self, path: &str) -> Self {
        let mut parts = self.0.clone().into_parts();
        parts.path_and_query = Some(path.parse().expect("an encoded path is valid"));
        Self(Uri::from_parts(parts).expect("scheme and host are there"))
    }
}

impl FromStr for RemoteUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let transport = Transport::from_scheme(scheme).ok_or(UrlError::Scheme)?;
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(UrlError::User);
        }
        let server: http::uri::Authority = authority.parse().map_err(|_| UrlError::Host)?;
        let bad_port = server.as_str() != server.host() && server.port_u16().is_none();
        if server.host().is_empty() || bad_port {
            return Err(UrlError::Host);
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        let path = tolerate(path);
        let uri = format!("{}://{authority}{slash}{path}", transport.scheme());
        uri.parse().map(Self).map_err(|_| UrlError::Malformed)
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Encodes what a URL cannot hold and a person may have typed, and nothing that is encoded already.
fn tolerate(path: &str) -> String {
    path.bytes().fold(String::with_capacity(path.len()), |mut encoded, byte| {
        if is_allowed_in_url(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&percent::encode(&[byte]));
        }
        encoded
    })
}

/// What a person may mean literally: everything that is visible ASCII and no known trouble-maker.
fn is_allowed_in_url(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> RemoteUrl {
        text.parse().expect(text)
    }

    #[test]
    fn the_local_name_is_the_last_segment_decoded() {
        let name = |text| url(text).local_name().map(OsString::into_vec);
        assert_eq!(name("http://h/a/b.iso?x=/y#z"), Ok(b"b.iso".to_vec()));
        assert_eq!(name("udt://h:9000/%C3%A9%20%ff"), Ok(b"\xc3\xa9 \xff".to_vec()));
        assert_eq!(name("udt://h/a b"), Ok(b"a b".to_vec()));
        assert_eq!(name("udt://h/é"), Ok("é".as_bytes().to_vec()));
    }

    #[test]
    fn refuses_names_that_are_none_or_leave_the_directory() {
        let refused = |text| url(text).local_name().expect_err(text);
        assert_eq!(refused("http://h"), NameError::Directory);
        assert_eq!(refused("http://h/sub/"), NameError::Directory);
        assert_eq!(refused("http://h/."), NameError::Dots);
        assert_eq!(refused("http://h/a/%2e%2E"), NameError::Dots);
        assert_eq!(refused("http://h/..%2fetc%2fpasswd"), NameError::Slash);
        assert_eq!(refused("http://h/a%00b"), NameError::Nul);
        assert_eq!(refused("http://h/100%"), NameError::Encoding);
    }

    #[test]
    fn says_what_is_wrong_with_a_url() {
        let refused = |text: &str| text.parse::<RemoteUrl>().expect_err(text);
        assert_eq!(refused("host:9000/x"), UrlError::Scheme);
        assert_eq!(refused("https://h/x"), UrlError::Scheme);
        assert_eq!(refused("udt:///x"), UrlError::Host);
        assert_eq!(refused("udt://h:port/x"), UrlError::Host);
        assert_eq!(refused("http://me:secret@h/"), UrlError::User);
    }

    #[test]
    fn joins_encode_whatever_a_file_may_be_called() {
        assert_eq!(url("udt://h/in/").join(b"a b%/\xff#?.x").to_string(), "udt://h/in/a%20b%25%2F%FF%23%3F.x");
    }
}
