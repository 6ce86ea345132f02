//! The path of a request's URL, parsed once into names below the served directory.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::percent::{self, BadPercentEncoding};

/// Names below the served directory, from its root downwards: none of them is empty, `.` or `..`, none contains `/` or
/// NUL. Whether a symlink leaves the directory is the store's question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UrlPath {
    names: Vec<Vec<u8>>,
    ends_with_slash: bool,
}

/// Why a URL's path names nothing that could be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadPath {
    #[error("The path does not start with '/'.")]
    NotAbsolute,
    #[error("The path contains a '%' that two hexadecimal digits do not follow; write a literal '%' as %25.")]
    Percent,
    #[error("The path contains '.' or '..' as a segment; resolve it before sending the request.")]
    Dots,
    #[error("A segment of the path contains an encoded '/' or NUL, which no name of a file can contain.")]
    SlashOrNul,
    #[error("The path contains an empty segment ('//').")]
    EmptySegment,
}

impl UrlPath {
    /// Parses the path of a URL, percent-encoded, without its query.
    pub(crate) fn parse(path: &str) -> Result<Self, BadPath> {
        let path = path.strip_prefix('/').ok_or(BadPath::NotAbsolute)?;
        if path.is_empty() {
            return Ok(Self { names: Vec::new(), ends_with_slash: true });
        }
        let (path, ends_with_slash) = path.strip_suffix('/').map_or((path, false), |path| (path, true));
        let names = path.split('/').map(parse_segment).collect::<Result<_, _>>()?;
        Ok(Self { names, ends_with_slash })
    }

    /// Whether the URL names a directory: it ends with `/`.
    pub(crate) fn ends_with_slash(&self) -> bool {
        self.ends_with_slash
    }

    /// The last name; `None` for the root.
    pub(crate) fn name(&self) -> Option<&[u8]> {
        self.names.last().map(Vec::as_slice)
    }

    /// All names, from the root downwards.
    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.names.iter().map(Vec::as_slice)
    }

    /// As a path relative to the root of the served directory, which itself is `.`.
    pub(crate) fn relative(&self) -> PathBuf {
        join(&self.names)
    }

    /// The directory that contains what the path names, and its name there; `None` for the root.
    pub(crate) fn parent_and_name(&self) -> Option<(PathBuf, &OsStr)> {
        let (name, parents) = self.names.split_last()?;
        Some((join(parents), OsStr::from_bytes(name)))
    }

    /// The URL path of the same names as a directory. It is rebuilt from the names, so it starts with exactly one `/` and
    /// can never be read as `//host/`.
    pub(crate) fn to_directory_url(&self) -> String {
        self.names.iter().fold(String::from("/"), |url, name| url + &percent::encode(name) + "/")
    }
}

fn parse_segment(segment: &str) -> Result<Vec<u8>, BadPath> {
    let name = percent::decode(segment).map_err(|BadPercentEncoding| BadPath::Percent)?;
    match name.as_slice() {
        b"" => Err(BadPath::EmptySegment),
        b"." | b".." => Err(BadPath::Dots),
        bytes if bytes.iter().any(|byte| matches!(byte, b'/' | 0)) => Err(BadPath::SlashOrNul),
        _ => Ok(name),
    }
}

fn join(names: &[Vec<u8>]) -> PathBuf {
    if names.is_empty() { PathBuf::from(".") } else { names.iter().map(|name| OsStr::from_bytes(name)).collect() }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parses_names_and_the_final_slash() {
        let cases: [(&str, &[&[u8]], bool); 6] = [
            ("/", &[], true),
            ("/a", &[b"a"], false),
            ("/a/", &[b"a"], true),
            ("/a/b%20c", &[b"a", b"b c"], false),
            ("/%ff/%0A", &[b"\xff", b"\n"], false),
            ("/-rf/.../..a", &[b"-rf", b"...", b"..a"], false),
        ];
        for (url, names, ends_with_slash) in cases {
            let path = UrlPath::parse(url).unwrap();
            assert_eq!(path.names().collect::<Vec<_>>(), names, "{url}");
            assert_eq!(path.ends_with_slash(), ends_with_slash, "{url}");
        }
        assert_eq!(UrlPath::parse("/").unwrap().relative(), Path::new("."));
        assert_eq!(UrlPath::parse("/a//").unwrap_err(), BadPath::EmptySegment);
    }

    #[test]
    fn refuses_what_could_climb_or_confuse() {
        for (url, error) in [
            ("", BadPath::NotAbsolute),
            ("*", BadPath::NotAbsolute),
            ("//", BadPath::EmptySegment),
            ("//evil.example/", BadPath::EmptySegment),
            ("/../etc/passwd", BadPath::Dots),
            ("/a/..", BadPath::Dots),
            ("/a/%2e%2E/b", BadPath::Dots),
            ("/%2e/", BadPath::Dots),
            ("/a%2fb", BadPath::SlashOrNul),
            ("/..%2F..%2Fetc", BadPath::SlashOrNul),
            ("/%2Fetc/passwd", BadPath::SlashOrNul),
            ("/a%00b", BadPath::SlashOrNul),
            ("/a%zz", BadPath::Percent),
        ] {
            assert_eq!(UrlPath::parse(url), Err(error), "{url}");
        }
    }

    proptest! {
        #[test]
        fn never_leaves_the_root(url in "/[a./%2eEfF0]{0,24}") {
            if let Ok(path) = UrlPath::parse(&url) {
                prop_assert!(path.relative().is_relative());
                prop_assert!(path.names().all(|name| !name.is_empty() && name != b"." && name != b".."));
                prop_assert!(!path.to_directory_url().starts_with("//"));
            }
        }
    }
}
