//! The two forms of a listing, and which of them a client prefers.

use std::fmt::Write as _;

use http::HeaderMap;
use http::header::ACCEPT;
use serde::Serialize;

use crate::conditional::whole_seconds;
use crate::escape::Escaped;
use crate::percent;
use crate::store::{DirectoryEntry, EntryKind};
use crate::url_path::UrlPath;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Html,
    Json,
}

/// An entry in the shape of nginx's `autoindex_format json`.
#[derive(Serialize)]
struct JsonEntry<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    mtime: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// The reference to follow, percent-encoded. Only where the name is no UTF-8, and `name` thus not the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    href: Option<String>,
}

impl Format {
    /// Chooses by `Accept` (RFC 9110, section 12.5.1); HTML if the client prefers neither, or wants neither.
    pub(super) fn negotiate(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
        let ranges: Vec<_> = lines.flat_map(|line| line.split(',')).filter_map(parse_media_range).collect();
        let json = quality(&ranges, "application", "json");
        let html = quality(&ranges, "text", "html");
        if json > html { Self::Json } else { Self::Html }
    }

    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Json => "application/json",
        }
    }

    pub(super) fn write_head(self, text: &mut String, path: &UrlPath) {
        match self {
            Self::Html => write_html_head(text, path),
            Self::Json => text.push('['),
        }
    }

    pub(super) fn write_entry(self, text: &mut String, entry: &DirectoryEntry, is_first: bool) {
        match self {
            Self::Html => write_html_entry(text, entry),
            Self::Json => {
                text.push_str(if is_first { "\n" } else { ",\n" });
                write_json_entry(text, entry);
            }
        }
    }

    pub(super) fn write_foot(self, text: &mut String) {
        text.push_str(match self {
            Self::Html => "</table>\n</body>\n</html>\n",
            Self::Json => "\n]\n",
        });
    }
}

/// A member of `Accept`, in lower case, and its quality in thousandths.
struct MediaRange {
    kind: String,
    subtype: String,
    quality: u16,
}

fn parse_media_range(member: &str) -> Option<MediaRange> {
    let mut pieces = member.split(';').map(str::trim);
    let (kind, subtype) = pieces.next()?.split_once('/')?;
    let quality = pieces.find_map(|piece| piece.strip_prefix("q=").or_else(|| piece.strip_prefix("Q=")));
    let quality = quality.map_or(Some(1.0), |text| text.parse::<f32>().ok()).unwrap_or(0.0);
    let quality = (quality.clamp(0.0, 1.0) * 1000.0).round() as u16;
    Some(MediaRange { kind: kind.to_ascii_lowercase(), subtype: subtype.to_ascii_lowercase(), quality })
}

/// The quality of the most specific range that covers the type.
fn quality(ranges: &[MediaRange], kind: &str, subtype: &str) -> u16 {
    let of = |kind: &str, subtype: &str| {
        let found = ranges.iter().find(|range| range.kind == kind && range.subtype == subtype);
        found.map(|range| range.quality)
    };
    of(kind, subtype).or_else(|| of(kind, "*")).or_else(|| of("*", "*")).unwrap_or(0)
}

fn write_json_entry(text: &mut String, entry: &DirectoryEntry) {
    let utf8 = std::str::from_utf8(&entry.name);
    let name = String::from_utf8_lossy(&entry.name);
    let (kind, size) = match entry.kind {
        EntryKind::Directory => ("directory", None),
        EntryKind::File { size_bytes } => ("file", Some(size_bytes)),
    };
    let href = utf8.is_err().then(|| href(entry));
    let entry = JsonEntry { name: &name, kind, mtime: http_date(entry), size, href };
    text.push_str(&serde_json::to_string(&entry).expect("strings and numbers are always JSON"));
}

fn write_html_head(text: &mut String, path: &UrlPath) {
    let mut title = String::from("/");
    for name in path.names() {
        write!(title, "{}/", Html(&Escaped::new(name).to_string())).expect(INFALLIBLE);
    }
    write!(
        text,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<table>\n"
    )
    .expect(INFALLIBLE);
    if path.name().is_some() {
        text.push_str("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
    }
}

const STYLE: &str = "body{font-family:sans-serif}td{padding:0 1em 0 0;font-variant-numeric:tabular-nums}\
                     td:nth-child(2){text-align:right}bdi{white-space:pre-wrap}";
const INFALLIBLE: &str = "writing to a String cannot fail";

fn write_html_entry(text: &mut String, entry: &DirectoryEntry) {
    let name = Escaped::new(&entry.name).to_string();
    let (slash, size) = match entry.kind {
        EntryKind::Directory => ("/", String::new()),
        EntryKind::File { size_bytes } => ("", size_bytes.to_string()),
    };
    let (href, name, mtime) = (href(entry), Html(&name), http_date(entry));
    writeln!(text, "<tr><td><a href=\"{href}\"><bdi>{name}{slash}</bdi></a></td><td>{size}</td><td>{mtime}</td></tr>")
        .expect(INFALLIBLE);
}

/// A reference relative to the listing. Every byte that means something in a URL or in HTML is encoded.
fn href(entry: &DirectoryEntry) -> String {
    let slash = if entry.kind == EntryKind::Directory { "/" } else { "" };
    percent::encode(&entry.name) + slash
}

fn http_date(entry: &DirectoryEntry) -> String {
    httpdate::fmt_http_date(whole_seconds(entry.modified))
}

/// Text between tags or in quotes.
struct Html<'a>(&'a str);

impl std::fmt::Display for Html<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use http::HeaderValue;

    use super::*;

    #[test]
    fn chooses_by_accept() {
        for (accept, expected) in [
            ("*/*", Format::Html),
            ("application/json", Format::Json),
            ("application/*", Format::Json),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format::Html),
            ("application/json;q=0.5, text/html;q=0.4", Format::Json),
            ("application/json;q=0.4, text/html;q=0.5", Format::Html),
            ("application/json, */*;q=0.1", Format::Json),
            ("text/html;q=0, */*", Format::Json),
            ("*/*, application/json;q=0", Format::Html),
            ("APPLICATION/JSON; Q=1.0", Format::Json),
            ("image/png", Format::Html),
            ("application/json;q=x", Format::Html),
            (",;,/", Format::Html),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(Format::negotiate(&headers), expected, "{accept}");
        }
        assert_eq!(Format::negotiate(&HeaderMap::new()), Format::Html);
    }

    fn written(format: Format, name: &[u8], kind: EntryKind) -> String {
        let entry = DirectoryEntry { name: name.to_vec(), kind, modified: UNIX_EPOCH + Duration::from_millis(1500) };
        let mut text = String::new();
        format.write_entry(&mut text, &entry, true);
        text.trim().to_owned()
    }

    #[test]
    fn json_has_the_shape_of_nginx() {
        let file = EntryKind::File { size_bytes: 7 };
        for (name, kind, expected) in [
            (&b"a"[..], file, r#"{"name":"a","type":"file","mtime":"Thu, 01 Jan 1970 00:00:01 GMT","size":7}"#),
            (b"d", EntryKind::Directory, r#"{"name":"d","type":"directory","mtime":"Thu, 01 Jan 1970 00:00:01 GMT"}"#),
            (b"\"\n", file, r#"{"name":"\"\n","type":"file","mtime":"Thu, 01 Jan 1970 00:00:01 GMT","size":7}"#),
            (
                b"\xff%",
                file,
                "{\"name\":\"\u{fffd}%\",\"type\":\"file\",\"mtime\":\"Thu, 01 Jan 1970 00:00:01 GMT\",\"size\":7,\
                 \"href\":\"%FF%25\"}",
            ),
        ] {
            assert_eq!(written(Format::Json, name, kind), expected);
        }
    }

    #[test]
    fn html_cannot_be_broken_out_of() {
        let html = written(Format::Html, b"<script>\"'&\n\x1b\xe2\x80\xae javascript:x", EntryKind::Directory);
        let href = "%3Cscript%3E%22%27%26%0A%1B%E2%80%AE%20javascript%3Ax/";
        assert!(html.contains(&format!("<a href=\"{href}\">")), "{html}");
        let name = r"&lt;script&gt;&quot;&#39;&amp;\n\u{1b}\u{202e} javascript:x/";
        assert!(html.contains(&format!("<bdi>{name}</bdi>")), "{html}");
    }
}
