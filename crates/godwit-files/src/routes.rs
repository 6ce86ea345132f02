//! The URL table, and the service that it makes.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::SystemTime;

use godwit_http::{Body, empty_body};
use http::header::{ALLOW, CONTENT_LENGTH, LOCATION, SERVER};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use tokio::task::spawn_blocking;
use tracing::warn;

use crate::access_log::AccessLog;
use crate::config::FilesConfig;
use crate::digest_cache::DigestCache;
use crate::error::OpenRootError;
use crate::problem::{ALLOWED_METHODS, Problem};
use crate::store::{Entries, Root, SWEEP_AGE_MIN, Served, ServedFile};
use crate::upload::Uploads;
use crate::url_path::UrlPath;
use crate::{download, list};

/// Serves the files below one directory over HTTP. Cheap to clone; clones share everything.
///
/// What it answers, and with what, is in `docs/http.md`. It needs a tokio runtime.
#[derive(Clone)]
pub struct FileService {
    shared: Arc<Shared>,
}

struct Shared {
    root: Root,
    config: FilesConfig,
    digests: DigestCache,
    uploads: Uploads,
}

impl FileService {
    /// Opens the directory `root`. Whatever becomes of its name later, this directory is served. If uploads are allowed, a
    /// thread begins to remove the temporary files that uploads of a killed process left behind.
    ///
    /// # Errors
    /// [`OpenRootError`], if it cannot be opened.
    pub fn new(root: &Path, config: FilesConfig) -> Result<Self, OpenRootError> {
        let root = Root::open(root)?;
        let digests = DigestCache::new(&config);
        let uploads = Uploads::new(root.clone(), config.clone());
        if config.allow_upload {
            sweep_in_background(root.clone());
        }
        Ok(Self { shared: Arc::new(Shared { root, config, digests, uploads }) })
    }

    /// Answers one request. Errors are responses too.
    ///
    /// A body that fails must end the connection (hyper does so): the file changed or vanished under the transfer.
    ///
    /// # Cancel safety
    /// Dropping the future gives the request up; of an upload that has not arrived completely nothing remains.
    pub async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let log = AccessLog::new(request.method(), request.uri().path());
        let is_head = request.method() == Method::HEAD;
        let mut response = self.route(request).await.unwrap_or_else(Problem::into_response);
        response.headers_mut().insert(SERVER, HeaderValue::from_static("godwit"));
        if is_head {
            *response.body_mut() = empty_body();
        }
        log.watch(response)
    }

    /// The URL table. There is nothing but the tree, so the method decides:
    ///
    /// | method    | path of a file | path of a directory with `/`, without | nothing there |
    /// |-----------|----------------|---------------------------------------|---------------|
    /// | GET, HEAD | its bytes      | its listing, 301                      | 404           |
    /// | PUT       | replaces it    | 409                                   | stores it     |
    /// | OPTIONS   | 204            | 204                                   | 204           |
    /// | others    | 405            | 405                                   | 405           |
    async fn route(&self, request: Request<Body>) -> Result<Response<Body>, Problem> {
        let (head, body) = request.into_parts();
        match head.method {
            Method::GET | Method::HEAD => self.read(&head).await,
            Method::PUT => self.shared.uploads.respond(&head, body).await,
            Method::OPTIONS => Ok(options()),
            _ => Err(Problem::MethodNotAllowed),
        }
    }

    async fn read(&self, request: &Parts) -> Result<Response<Body>, Problem> {
        let path = UrlPath::parse(request.uri.path()).map_err(Problem::BadPath)?;
        match self.look_up(&path).await? {
            Found::File(file) => {
                let now = SystemTime::now();
                let validators = file.identity().validators(now, self.shared.config.settle_time);
                let name = path.name().expect("the root is a directory");
                download::respond(request, name, file, &validators, &self.shared.digests).await
            }
            Found::Directory(entries) => Ok(list::respond(&request.headers, &path, entries)),
            Found::DirectoryWithoutSlash => Ok(moved_to_directory(&path, request.uri.query())),
        }
    }

    async fn look_up(&self, path: &UrlPath) -> Result<Found, Problem> {
        let root = self.shared.root.clone();
        let (path, relative) = (path.clone(), path.relative());
        let found = spawn_blocking(move || match root.look_up(&relative)? {
            Served::File(_) if path.ends_with_slash() => Err(Problem::NotFound),
            Served::File(file) => Ok(Found::File(file)),
            Served::Directory(_) if !path.ends_with_slash() => Ok(Found::DirectoryWithoutSlash),
            Served::Directory(directory) => Ok(Found::Directory(directory.entries()?)),
        });
        found.await.unwrap_or(Err(Problem::Internal))
    }
}

/// Removes what uploads of earlier runs left behind. It may take minutes in a large tree, so nobody waits for it.
fn sweep_in_background(root: Root) {
    let thread = thread::Builder::new().name("godwit-sweep".into());
    if let Err(error) = thread.spawn(move || root.sweep(SWEEP_AGE_MIN)) {
        warn!(%error, "cannot look for abandoned uploads");
    }
}

enum Found {
    File(ServedFile),
    Directory(Entries),
    DirectoryWithoutSlash,
}

fn options() -> Response<Body> {
    let mut response = Response::new(empty_body());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, ALLOWED_METHODS);
    response
}

/// 301, so that relative links in the listing lead into the directory.
fn moved_to_directory(path: &UrlPath, query: Option<&str>) -> Response<Body> {
    let location = query.map_or_else(|| path.to_directory_url(), |query| path.to_directory_url() + "?" + query);
    let mut response = Response::new(empty_body());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    let location = HeaderValue::try_from(location).expect("a path re-encoded and a query as it came are visible ASCII");
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}
