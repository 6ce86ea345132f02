//! PUT of a file.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use godwit_http::{Body, empty_body};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::BodyExt as _;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tracing::debug;

use crate::conditional::{self, Outcome};
use crate::config::FilesConfig;
use crate::digest_fields::{self, MalformedDigest};
use crate::error::StoreError;
use crate::hash::{REPR_DIGEST, Sha256, Sha256Digest};
use crate::headers::GODWIT_LENGTH;
use crate::problem::Problem;
use crate::store::{CHUNK_BYTES, Destination, Existing, FileIdentity, Incoming, Root, is_upload_name};
use crate::url_path::UrlPath;

/// How often a file is placed anew because another program created or removed one of that name at the same moment.
const PLACE_ATTEMPTS_MAX: usize = 8;

/// Takes uploads below a root. Cheap to clone; clones share everything.
#[derive(Clone)]
pub(crate) struct Uploads {
    root: Root,
    config: FilesConfig,
    /// Held from the last look at what exists until it is replaced, so that of two uploads with `If-Match` one fails.
    placing: Arc<Mutex<()>>,
}

impl Uploads {
    pub(crate) fn new(root: Root, config: FilesConfig) -> Self {
        Self { root, config, placing: Arc::default() }
    }

    /// Answers a PUT. Whatever can be refused without the content is refused before the body is polled, for polling makes
    /// hyper send `100 Continue`.
    pub(crate) async fn respond(&self, request: &Parts, body: Body) -> Result<Response<Body>, Problem> {
        let announced = self.check(request)?;
        let destination = self.open(request).await?;
        let received = self.receive(destination, body, announced.length_bytes).await?;
        let claimed = digest_fields::claimed(&received.trailers)?;
        if announced.digests.iter().chain(&claimed).any(|claim| *claim != received.digest) {
            return Err(Problem::DigestMismatch);
        }
        let (uploads, headers) = (self.clone(), request.headers.clone());
        let digest = received.digest;
        let stored = spawn_blocking(move || uploads.store(received, &headers)).await.map_err(internal)??;
        Ok(self.stored_response(&stored, digest))
    }

    /// What the head alone decides.
    fn check(&self, request: &Parts) -> Result<Announced, Problem> {
        let headers = &request.headers;
        if !self.config.allow_upload {
            return Err(Problem::UploadsOff);
        }
        // A part taken for the whole would destroy the file (RFC 9110, section 14.4).
        if headers.contains_key(CONTENT_RANGE) {
            return Err(Problem::PartialUpload);
        }
        if headers.get_all(CONTENT_ENCODING).iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(Problem::ContentCoding);
        }
        let announced =
            Announced { length_bytes: announced_length(headers)?, digests: digest_fields::claimed(headers)? };
        match announced.length_bytes {
            Some(length_bytes) if length_bytes > self.config.upload_bytes_max => Err(self.too_large()),
            _ => Ok(announced),
        }
    }

    /// What the file system decides: where the file goes, whether it may, and a temporary file there.
    async fn open(&self, request: &Parts) -> Result<(Destination, Incoming), Problem> {
        let (parent, name) = target(request)?;
        let (uploads, headers) = (self.clone(), request.headers.clone());
        let open = move || {
            let destination = uploads.root.destination(&parent, OsStr::from_bytes(&name))?;
            uploads.check_preconditions(&headers, destination.existing()?.as_ref())?;
            let incoming = destination.create()?;
            Ok((destination, incoming))
        };
        spawn_blocking(open).await.map_err(internal)?
    }

    fn check_preconditions(&self, headers: &HeaderMap, existing: Option<&Existing>) -> Result<(), Problem> {
        let now = SystemTime::now();
        let validators = existing.map(|existing| existing.identity.validators(now, self.config.settle_time));
        match conditional::evaluate(headers, false, validators.as_ref()) {
            Outcome::Proceed => Ok(()),
            Outcome::NotModified | Outcome::PreconditionFailed => Err(Problem::PreconditionFailed),
        }
    }

    /// Takes the content. At most two buffers are held: one being filled, one being written.
    async fn receive(
        &self,
        (destination, incoming): (Destination, Incoming),
        mut body: Body,
        announced_bytes: Option<u64>,
    ) -> Result<Received, Problem> {
        let mut writer = Writer::Idle(Box::new((incoming, Sha256::new())));
        let mut buffer = Vec::new();
        let mut received_bytes = 0;
        let mut trailers = HeaderMap::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                debug!(error, "an upload broke off");
                Problem::Incomplete
            })?;
            let Ok(bytes) = frame.into_data().map_err(|frame| trailers = frame.into_trailers().unwrap_or_default())
            else {
                continue;
            };
            received_bytes += bytes.len() as u64;
            if received_bytes > self.config.upload_bytes_max {
                return Err(self.too_large());
            }
            buffer.extend_from_slice(&bytes);
            if buffer.len() >= CHUNK_BYTES {
                writer = writer.write(std::mem::take(&mut buffer)).await?;
            }
        }
        if announced_bytes.is_some_and(|announced_bytes| announced_bytes != received_bytes) {
            return Err(Problem::Incomplete);
        }
        let (incoming, sha256) = *writer.write(buffer).await?.finish().await?;
        Ok(Received { incoming, destination, digest: sha256.finish(), trailers })
    }

    /// Makes the file durable and gives it its name. Blocks.
    fn store(&self, received: Received, headers: &HeaderMap) -> Result<Stored, Problem> {
        let Received { mut incoming, destination, .. } = received;
        incoming.sync()?;
        let stored = self.place(&mut incoming, &destination, headers)?;
        destination.sync()?;
        Ok(stored)
    }

    fn place(&self, incoming: &mut Incoming, to: &Destination, headers: &HeaderMap) -> Result<Stored, Problem> {
        let _placing = self.placing.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..PLACE_ATTEMPTS_MAX {
            let existing = to.existing()?;
            self.check_preconditions(headers, existing.as_ref())?;
            let is_replaced = existing.is_some();
            match incoming.place(existing) {
                Ok(identity) => return Ok(Stored { identity, is_replaced }),
                // Somebody else's file came in between: what the preconditions say of it is yet to be seen.
                Err(StoreError::Exists) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Problem::Overloaded)
    }

    fn stored_response(&self, stored: &Stored, digest: Sha256Digest) -> Response<Body> {
        let mut response = Response::new(empty_body());
        *response.status_mut() = if stored.is_replaced { StatusCode::NO_CONTENT } else { StatusCode::CREATED };
        let validators = stored.identity.validators(SystemTime::now(), self.config.settle_time);
        let headers = response.headers_mut();
        headers.insert(ETAG, validators.etag.to_header_value());
        headers.insert(REPR_DIGEST, digest.to_repr_digest());
        if !stored.is_replaced {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        response
    }

    fn too_large(&self) -> Problem {
        Problem::TooLarge { max_bytes: self.config.upload_bytes_max }
    }
}

/// What the head says about the content.
struct Announced {
    length_bytes: Option<u64>,
    digests: Vec<Sha256Digest>,
}

/// Content that has arrived, and is not checked yet.
struct Received {
    incoming: Incoming,
    destination: Destination,
    digest: Sha256Digest,
    trailers: HeaderMap,
}

struct Stored {
    identity: FileIdentity,
    is_replaced: bool,
}

/// The directory and the name that the URL stands for.
fn target(request: &Parts) -> Result<(PathBuf, Vec<u8>), Problem> {
    let path = UrlPath::parse(request.uri.path()).map_err(Problem::BadPath)?;
    if path.names().any(|name| is_upload_name(OsStr::from_bytes(name))) {
        return Err(Problem::ReservedName);
    }
    match path.parent_and_name() {
        Some((parent, name)) if !path.ends_with_slash() => Ok((parent, name.as_bytes().to_vec())),
        _ => Err(Problem::NoFileName),
    }
}

fn announced_length(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let content_length = length(headers, CONTENT_LENGTH)?;
    let godwit_length = length(headers, GODWIT_LENGTH)?;
    match (content_length, godwit_length) {
        (Some(one), Some(other)) if one != other => Err(Problem::BadLength),
        (one, other) => Ok(one.or(other)),
    }
}

fn length(headers: &HeaderMap, name: HeaderName) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let digits = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).map(Some).ok_or(Problem::BadLength)
}

/// The file and its digest so far, here or on the thread that writes to it.
enum Writer {
    Idle(Box<(Incoming, Sha256)>),
    Writing(JoinHandle<Result<Box<(Incoming, Sha256)>, StoreError>>),
}

impl Writer {
    /// Starts to write, when what was written before is.
    async fn write(self, bytes: Vec<u8>) -> Result<Self, Problem> {
        let mut state = self.finish().await?;
        Ok(Self::Writing(spawn_blocking(move || {
            let (incoming, sha256) = &mut *state;
            incoming.write(&bytes)?;
            sha256.update(&bytes);
            Ok(state)
        })))
    }

    async fn finish(self) -> Result<Box<(Incoming, Sha256)>, Problem> {
        match self {
            Self::Idle(state) => Ok(state),
            Self::Writing(handle) => Ok(handle.await.map_err(internal)??),
        }
    }
}

fn internal(error: JoinError) -> Problem {
    tracing::error!(%error, "a blocking task ended early");
    Problem::Internal
}

impl From<MalformedDigest> for Problem {
    fn from(MalformedDigest: MalformedDigest) -> Self {
        Self::BadDigest
    }
}
