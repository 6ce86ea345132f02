//! The media type of a file, by the extension of its name.

use http::HeaderValue;

/// The type to send for a file of this name. What is unknown is bytes: together with `nosniff` a browser then saves it
/// instead of guessing. Text is said to be UTF-8, which is what text is nowadays.
pub(crate) fn of_name(name: &[u8]) -> HeaderValue {
    let extension = name.rsplit(|&byte| byte == b'.').next().filter(|rest| rest.len() + 1 < name.len());
    let extension = extension.unwrap_or_default().to_ascii_lowercase();
    let known = TYPES.iter().find(|(extensions, _)| extensions.iter().any(|known| known.as_bytes() == extension));
    HeaderValue::from_static(known.map_or("application/octet-stream", |(_, media_type)| media_type))
}

const TYPES: &[(&[&str], &str)] = &[
    (&["html", "htm"], "text/html; charset=utf-8"),
    (&["txt", "text", "log", "conf", "cfg", "ini", "toml", "rs", "c", "h", "cc", "cpp", "py", "sh"], TEXT),
    (&["md", "markdown"], "text/markdown; charset=utf-8"),
    (&["css"], "text/css; charset=utf-8"),
    (&["csv"], "text/csv; charset=utf-8"),
    (&["js", "mjs"], "text/javascript; charset=utf-8"),
    (&["yaml", "yml"], "application/yaml"),
    (&["json", "map"], "application/json"),
    (&["ndjson", "jsonl"], "application/x-ndjson"),
    (&["xml"], "text/xml; charset=utf-8"),
    (&["svg"], "image/svg+xml"),
    (&["png"], "image/png"),
    (&["jpg", "jpeg"], "image/jpeg"),
    (&["gif"], "image/gif"),
    (&["webp"], "image/webp"),
    (&["avif"], "image/avif"),
    (&["ico"], "image/vnd.microsoft.icon"),
    (&["tif", "tiff"], "image/tiff"),
    (&["mp3"], "audio/mpeg"),
    (&["ogg", "oga", "opus"], "audio/ogg"),
    (&["flac"], "audio/flac"),
    (&["wav"], "audio/wav"),
    (&["m4a"], "audio/mp4"),
    (&["mp4", "m4v"], "video/mp4"),
    (&["webm"], "video/webm"),
    (&["mkv"], "video/matroska"),
    (&["mov"], "video/quicktime"),
    (&["woff"], "font/woff"),
    (&["woff2"], "font/woff2"),
    (&["ttf"], "font/ttf"),
    (&["otf"], "font/otf"),
    (&["wasm"], "application/wasm"),
    (&["pdf"], "application/pdf"),
    (&["zip"], "application/zip"),
    (&["gz", "tgz"], "application/gzip"),
    (&["bz2"], "application/x-bzip2"),
    (&["xz"], "application/x-xz"),
    (&["zst"], "application/zstd"),
    (&["7z"], "application/x-7z-compressed"),
    (&["tar"], "application/x-tar"),
    (&["epub"], "application/epub+zip"),
];
const TEXT: &str = "text/plain; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_by_the_last_extension() {
        for (name, expected) in [
            (&b"index.html"[..], "text/html; charset=utf-8"),
            (b"A.TXT", TEXT),
            (b"a.tar.gz", "application/gzip"),
            (b".txt", "application/octet-stream"),
            (b"txt", "application/octet-stream"),
            (b"disk.iso", "application/octet-stream"),
            (b"\xff.png", "image/png"),
            (b"a.", "application/octet-stream"),
            (b"", "application/octet-stream"),
        ] {
            assert_eq!(of_name(name), expected, "{}", name.escape_ascii());
        }
    }
}
