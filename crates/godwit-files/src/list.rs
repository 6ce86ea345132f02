//! GET of a directory: a listing as HTML for a browser, as JSON for a program.

use std::vec;

use bytes::Bytes;
use godwit_http::{Body, BoxError};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::BodyExt as _;

use self::format::Format;
use crate::blocking_body::{BlockingBody, Chunk, ChunkSource};
use crate::store::{DirectoryEntry, Entries, EntryKind};
use crate::url_path::UrlPath;

mod format;

/// Entries held and sorted at a time: 5 MB for the longest names, 2 MB for usual ones. A larger directory is listed
/// completely, in sorted runs of this many.
const RUN_ENTRIES_MAX: usize = 16_384;
/// Entries written at a time: some 64 KiB of text.
const CHUNK_ENTRIES: usize = 512;

/// Answers a GET of a directory with its entries: directories first, each kind in the order of the names' bytes.
pub(crate) fn respond(request_headers: &HeaderMap, path: &UrlPath, entries: Entries) -> Response<Body> {
    let format = Format::negotiate(request_headers);
    let listing = Listing::new(entries, format, path, RUN_ENTRIES_MAX);
    let mut response = Response::new(BlockingBody::new(listing, None).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // The names come from anybody who may write here. This stands behind the escaping, not in place of it.
    let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'");
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    response
}

/// A listing that is being written.
struct Listing {
    entries: Entries,
    run_entries_max: usize,
    /// Read and sorted, not written yet.
    run: vec::IntoIter<DirectoryEntry>,
    format: Format,
    path: UrlPath,
    /// `None` before the head is written.
    written_entries: Option<u64>,
}

impl ChunkSource for Listing {
    fn next_chunk(&mut self) -> Result<Chunk, BoxError> {
        let mut text = String::new();
        let mut written_entries = self.written_entries.unwrap_or_else(|| {
            self.format.write_head(&mut text, &self.path);
            0
        });
        if self.run.len() == 0 {
            self.run = self.read_run()?.into_iter();
        }
        for entry in self.run.by_ref().take(CHUNK_ENTRIES) {
            self.format.write_entry(&mut text, &entry, written_entries == 0);
            written_entries += 1;
        }
        self.written_entries = Some(written_entries);
        if self.run.len() > 0 {
            return Ok(Chunk::More(Bytes::from(text)));
        }
        // Only a full run can have another one behind it.
        self.run = self.read_run()?.into_iter();
        if self.run.len() > 0 {
            return Ok(Chunk::More(Bytes::from(text)));
        }
        self.format.write_foot(&mut text);
        Ok(Chunk::Last(Bytes::from(text), None))
    }
}

impl Listing {
    fn new(entries: Entries, format: Format, path: &UrlPath, run_entries_max: usize) -> Self {
        let run = Vec::new().into_iter();
        Self { entries, run_entries_max, run, format, path: path.clone(), written_entries: None }
    }

    fn read_run(&mut self) -> Result<Vec<DirectoryEntry>, BoxError> {
        let mut run = self.entries.by_ref().take(self.run_entries_max).collect::<Result<Vec<_>, _>>()?;
        run.sort_unstable_by(|a, b| {
            let is_file = |entry: &DirectoryEntry| entry.kind != EntryKind::Directory;
            is_file(a).cmp(&is_file(b)).then_with(|| a.name.cmp(&b.name))
        });
        Ok(run)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::store::{Root, Served};

    fn listed(root: &Root, run_entries_max: usize) -> Vec<String> {
        let Ok(Served::Directory(directory)) = root.look_up(Path::new(".")) else { panic!("the root is a directory") };
        let path = UrlPath::parse("/").unwrap();
        let mut listing = Listing::new(directory.entries().unwrap(), Format::Json, &path, run_entries_max);
        let mut text = Vec::new();
        loop {
            match listing.next_chunk().unwrap() {
                Chunk::More(bytes) => text.extend_from_slice(&bytes),
                Chunk::Last(bytes, trailers) => {
                    assert_eq!(trailers, None);
                    text.extend_from_slice(&bytes);
                    break;
                }
            }
        }
        let entries: Vec<serde_json::Value> = serde_json::from_slice(&text).unwrap();
        entries.iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Around every limit of the writer, as one sorted run and as several.
    #[test]
    fn directories_of_every_size_are_listed_completely() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        let mut created = BTreeSet::new();
        for size in [0, 1, 599, 600, 601, 2 * CHUNK_ENTRIES - 1, 2 * CHUNK_ENTRIES, 1200, 1201] {
            for index in created.len()..size {
                let name = format!("{index:05}");
                fs::write(directory.path().join(&name), "").unwrap();
                created.insert(name);
            }
            assert!(listed(&root, 10_000).iter().eq(&created), "{size}");
            let in_runs = listed(&root, 600);
            assert!(in_runs.chunks(600).all(<[String]>::is_sorted), "{size}");
            assert_eq!((in_runs.len(), BTreeSet::from_iter(in_runs)), (size, created.clone()));
        }
    }
}
