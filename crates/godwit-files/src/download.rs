//! GET and HEAD of a file.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::SystemTime;

use bytes::Bytes;
use godwit_http::{Body, BoxError, empty_body};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED, TRAILER,
    X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::BodyExt as _;

use crate::blocking_body::{BlockingBody, Chunk, ChunkSource};
use crate::conditional::{self, Outcome, Validators, whole_seconds};
use crate::content_type;
use crate::digest_cache::{Claim, DigestCache};
use crate::digest_fields::{self, DigestWish};
use crate::error::ReadError;
use crate::hash::{REPR_DIGEST, Sha256, Sha256Digest};
use crate::headers::GODWIT_LENGTH;
use crate::plan::ranges::{Plan, plan};
use crate::problem::Problem;
use crate::range;
use crate::store::{FileIdentity, ServedFile};

/// Answers a GET or HEAD of `file`, whose last path segment is `name`.
pub(crate) async fn respond(
    request: &Parts,
    name: &[u8],
    file: ServedFile,
    validators: &Validators,
    digests: &DigestCache,
) -> Result<Response<Body>, Problem> {
    match conditional::evaluate(&request.headers, true, Some(validators)) {
        Outcome::PreconditionFailed => return Err(Problem::PreconditionFailed),
        Outcome::NotModified => return Ok(not_modified(validators)),
        Outcome::Proceed => {}
    }
    let wish = digest_fields::wish(&request.headers);
    let mut digest = digests.known(file.identity());
    let mut headers = representation_headers(name, validators);
    if request.method == Method::HEAD {
        let size_bytes = file.identity().size_bytes();
        if wish == DigestWish::Wanted {
            digest = Some(digests.compute(file).await.map_err(|error| Problem::from(&*error))?);
        }
        insert_digest(&mut headers, digest, wish);
        headers.insert(CONTENT_LENGTH, size_bytes.into());
        return Ok(response(StatusCode::OK, headers, empty_body()));
    }
    insert_digest(&mut headers, digest, wish);
    // Nothing further is hashed if the digest is known.
    let digests = digest.is_none().then_some(digests);
    get(request, file, validators, headers, digests)
}

fn get(
    request: &Parts,
    file: ServedFile,
    validators: &Validators,
    mut headers: HeaderMap,
    digests: Option<&DigestCache>,
) -> Result<Response<Body>, Problem> {
    let size_bytes = file.identity().size_bytes();
    let ranges = range::parse(&request.headers).filter(|_| conditional::if_range_holds(&request.headers, validators));
    match plan(&ranges.unwrap_or_default(), size_bytes) {
        Plan::Whole => Ok(whole(request, file, headers, digests)),
        Plan::Single(range) => {
            let length_bytes = range.end - range.start;
            headers.insert(CONTENT_RANGE, content_range(&range, size_bytes));
            Ok(partial(headers, length_bytes, FileBytes::new(file, [Part::File(range)])))
        }
        Plan::Multiple(ranges) => {
            let boundary = format!("godwit-{:032x}", rand::random::<u128>());
            let part_type = headers.remove(CONTENT_TYPE).expect("every representation has a type");
            let multipart_type = HeaderValue::try_from(format!("multipart/byteranges; boundary={boundary}"));
            headers.insert(CONTENT_TYPE, multipart_type.expect("the boundary is hexadecimal"));
            let parts = multipart(&ranges, size_bytes, &boundary, &part_type);
            Ok(partial(headers, parts.iter().map(Part::length_bytes).sum(), FileBytes::new(file, parts)))
        }
        Plan::Unsatisfiable => Err(Problem::RangeNotSatisfiable { size_bytes }),
    }
}

/// The whole file. A digest that is not known yet goes behind the bytes, to those who said that they take trailers; then the
/// length cannot be in `Content-Length`, for HTTP/1.1 has trailers only behind chunks (RFC 9112, section 6.2). For others it is only
/// remembered, so one response of the file computes it and not each. `digests` is given if it is not known.
fn whole(request: &Parts, file: ServedFile, mut headers: HeaderMap, digests: Option<&DigestCache>) -> Response<Body> {
    let size_bytes = file.identity().size_bytes();
    let is_refused = digest_fields::wish(&request.headers) == DigestWish::Refused;
    let has_trailer =
        digests.is_some() && !is_refused && digest_fields::takes_trailers(request.version, &request.headers);
    let hashing = digests.and_then(|digests| Hashing::new(digests, *file.identity(), has_trailer));
    let mut bytes = FileBytes::new(file, [Part::File(0..size_bytes)]);
    bytes.hashing = hashing;
    bytes.has_trailer = has_trailer;
    if has_trailer {
        headers.insert(TRAILER, HeaderValue::from_static("Repr-Digest"));
        headers.insert(GODWIT_LENGTH, size_bytes.into());
        return response(StatusCode::OK, headers, BlockingBody::new(bytes, None).boxed_unsync());
    }
    headers.insert(CONTENT_LENGTH, size_bytes.into());
    response(StatusCode::OK, headers, BlockingBody::new(bytes, Some(size_bytes)).boxed_unsync())
}

fn partial(mut headers: HeaderMap, length_bytes: u64, bytes: FileBytes) -> Response<Body> {
    headers.insert(CONTENT_LENGTH, length_bytes.into());
    let body = BlockingBody::new(bytes, Some(length_bytes)).boxed_unsync();
    response(StatusCode::PARTIAL_CONTENT, headers, body)
}

/// 304, with the fields that RFC 9110, section 15.4.5, asks for.
fn not_modified(validators: &Validators) -> Response<Body> {
    let mut headers = HeaderMap::new();
    insert_validators(&mut headers, validators);
    response(StatusCode::NOT_MODIFIED, headers, empty_body())
}

fn representation_headers(name: &[u8], validators: &Validators) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, content_type::of_name(name));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    insert_validators(&mut headers, validators);
    headers
}

fn insert_validators(headers: &mut HeaderMap, validators: &Validators) {
    headers.insert(ETAG, validators.etag.to_header_value());
    let date = httpdate::fmt_http_date(whole_seconds(validators.last_modified));
    headers.insert(LAST_MODIFIED, HeaderValue::try_from(date).expect("a date is visible ASCII"));
    // Caches may keep it but ask each time; without this they would guess how long it stays valid.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
}

fn insert_digest(headers: &mut HeaderMap, digest: Option<Sha256Digest>, wish: DigestWish) {
    if let Some(digest) = digest
        && wish != DigestWish::Refused
    {
        headers.insert(REPR_DIGEST, digest.to_repr_digest());
    }
}

fn response(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn content_range(range: &Range<u64>, size_bytes: u64) -> HeaderValue {
    let value = format!("bytes {}-{}/{size_bytes}", range.start, range.end - 1);
    HeaderValue::try_from(value).expect("numbers are visible ASCII")
}

/// The parts of a `multipart/byteranges` (RFC 9110, section 14.6).
fn multipart(ranges: &[Range<u64>], size_bytes: u64, boundary: &str, part_type: &HeaderValue) -> Vec<Part> {
    let part_type = part_type.to_str().expect("media types are ASCII");
    let mut parts = Vec::with_capacity(2 * ranges.len() + 1);
    for (index, range) in ranges.iter().enumerate() {
        let line_break = if index == 0 { "" } else { "\r\n" };
        let range_field = content_range(range, size_bytes);
        let range_field = range_field.to_str().expect("numbers are visible ASCII");
        let head =
            format!("{line_break}--{boundary}\r\nContent-Type: {part_type}\r\nContent-Range: {range_field}\r\n\r\n");
        parts.extend([Part::Given(Bytes::from(head)), Part::File(range.clone())]);
    }
    parts.push(Part::Given(Bytes::from(format!("\r\n--{boundary}--\r\n"))));
    parts
}

/// The bytes of a response, in order.
struct FileBytes {
    file: ServedFile,
    parts: VecDeque<Part>,
    /// Only if the whole file is sent.
    hashing: Option<Hashing>,
    has_trailer: bool,
    is_advised: bool,
}

enum Part {
    Given(Bytes),
    File(Range<u64>),
}

impl Part {
    fn length_bytes(&self) -> u64 {
        match self {
            Self::Given(bytes) => bytes.len() as u64,
            Self::File(range) => range.end - range.start,
        }
    }
}

struct Hashing {
    sha256: Sha256,
    began: SystemTime,
    digests: DigestCache,
    _claim: Option<Claim>,
}

impl Hashing {
    /// `None` if the digest is not needed here, and another response is finding it out.
    fn new(digests: &DigestCache, identity: FileIdentity, is_needed: bool) -> Option<Self> {
        let claim = digests.claim(identity);
        (is_needed || claim.is_some()).then(|| Self {
            sha256: Sha256::new(),
            began: SystemTime::now(),
            digests: digests.clone(),
            _claim: claim,
        })
    }
}

impl FileBytes {
    fn new(file: ServedFile, parts: impl IntoIterator<Item = Part>) -> Self {
        Self { file, parts: parts.into_iter().collect(), hashing: None, has_trailer: false, is_advised: false }
    }

    /// The next bytes, of a file as `read` reads them. `None` only if `read` says so.
    fn next_part(
        &mut self,
        read: impl FnOnce(&ServedFile, &Range<u64>) -> Option<Result<Bytes, ReadError>>,
    ) -> Option<Result<Bytes, ReadError>> {
        let range = match self.parts.front_mut() {
            None => return Some(Ok(Bytes::new())),
            Some(Part::Given(bytes)) => {
                let bytes = std::mem::take(bytes);
                self.parts.pop_front();
                return Some(Ok(bytes));
            }
            Some(Part::File(range)) => range,
        };
        if !self.is_advised {
            self.file.advise_sequential(range.start, range.end - range.start);
            self.is_advised = true;
        }
        let bytes = if range.is_empty() { Ok(Bytes::new()) } else { read(&self.file, range)? };
        range.start += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        if range.is_empty() {
            self.parts.pop_front();
        }
        Some(bytes)
    }

    /// The last one, if no part is left.
    fn chunk_of(&mut self, bytes: Bytes) -> Chunk {
        if self.parts.is_empty() { Chunk::Last(bytes, self.finish_digest()) } else { Chunk::More(bytes) }
    }

    fn finish_digest(&mut self) -> Option<HeaderMap> {
        let Hashing { sha256, began, digests, .. } = self.hashing.take()?;
        let digest = sha256.finish();
        digests.remember(*self.file.identity(), digest, began);
        self.has_trailer.then(|| HeaderMap::from_iter([(REPR_DIGEST, digest.to_repr_digest())]))
    }
}

impl ChunkSource for FileBytes {
    fn next_chunk(&mut self) -> Result<Chunk, BoxError> {
        let read = |file: &ServedFile, range: &Range<u64>| Some(file.read_chunk(range));
        let bytes = self.next_part(read).expect("it reads whatever it takes")?;
        if let Some(hashing) = &mut self.hashing {
            hashing.sha256.update(&bytes);
        }
        Ok(self.chunk_of(bytes))
    }

    /// Not what must be hashed, too: that takes longer than to hand it to another thread.
    fn chunk_at_once(&mut self) -> Option<Result<Chunk, BoxError>> {
        if self.hashing.is_some() {
            return None;
        }
        let bytes = self.next_part(ServedFile::read_at_once)?;
        Some(bytes.map(|bytes| self.chunk_of(bytes)).map_err(BoxError::from))
    }
}
