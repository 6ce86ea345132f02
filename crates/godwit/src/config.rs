//! Arguments become configuration: defaults < environment < flags (clap merges those), then checked together.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use godwit_files::FilesConfig;
use godwit_files::client::{DownloadOptions, RemoteUrl, RetryPolicy};
use godwit_http::{DEFAULT_PORT, ListenUrl, ServerConfig, Transport, default_listen_urls};
use godwit_udt::sockets_per_core;

use crate::cli::{CatArgs, GetArgs, PutArgs, ServeArgs};
use crate::error::{CommandError, UsageError};

/// What `serve` serves, where and within which limits.
#[derive(Debug)]
pub(crate) struct ServeConfig {
    pub(crate) root: PathBuf,
    pub(crate) listen: Vec<ListenUrl>,
    pub(crate) server: ServerConfig,
    pub(crate) files: FilesConfig,
}

/// What `get` fetches, and to where.
#[derive(Debug)]
pub(crate) struct GetConfig {
    pub(crate) downloads: Vec<(RemoteUrl, PathBuf)>,
    pub(crate) options: DownloadOptions,
}

/// What `put` sends, and to where.
#[derive(Debug)]
pub(crate) struct PutConfig {
    pub(crate) uploads: Vec<(PathBuf, RemoteUrl)>,
    pub(crate) force: bool,
}

/// Which end of the pipe `cat` is.
#[derive(Debug)]
pub(crate) enum CatConfig {
    Listen(SocketAddr),
    Connect { host: String, port: u16 },
}

impl TryFrom<ServeArgs> for ServeConfig {
    type Error = CommandError;

    fn try_from(mut args: ServeArgs) -> Result<Self, CommandError> {
        // In `serve --listen URL DIR` the directory looks like one more URL.
        if args.dir.is_none() && args.listen.len() > 1 && args.listen.last().is_some_and(|last| !last.contains("://")) {
            args.dir = args.listen.pop().map(PathBuf::from);
        }
        let mut listen = args.listen.iter().map(|text| parse_listen_url(text)).collect::<Result<Vec<_>, _>>()?;
        if listen.is_empty() {
            listen = default_listen_urls();
        }
        let server = ServerConfig {
            connections_max: args.max_connections,
            connections_per_address_max: args.max_connections_per_address,
            request_head_timeout: args.head_timeout,
            idle_timeout: args.idle_timeout,
            accept_backlog: args.accept_backlog,
            half_open_handshakes_max: args.max_half_open,
            udt_sockets: args.udt_sockets.unwrap_or_else(sockets_per_core),
            ..ServerConfig::default()
        };
        let files = FilesConfig {
            allow_upload: args.allow_upload,
            upload_bytes_max: args.max_upload_size,
            ..FilesConfig::default()
        };
        Ok(Self { root: args.dir.unwrap_or_else(|| ".".into()), listen, server, files })
    }
}

impl TryFrom<GetArgs> for GetConfig {
    type Error = CommandError;

    fn try_from(args: GetArgs) -> Result<Self, CommandError> {
        let directory = match args.output.as_deref() {
            Some(path) if path == "-" => return Err(UsageError::NoStdout.into()),
            None => Some(Path::new("")),
            Some(path) if path.is_dir() => Some(path),
            Some(_) if args.urls.len() > 1 => return Err(UsageError::SeveralUrlsOneName.into()),
            Some(_) => None,
        };
        let download = |text: &String| {
            let url = parse_url(text)?;
            let Some(directory) = directory else {
                return Ok((url, args.output.clone().unwrap_or_default()));
            };
            let name = url.local_name().map_err(|error| {
                let error = Box::new(error.into());
                CommandError::Download { what: text.clone(), error }
            })?;
            Ok((url, directory.join(name)))
        };
        let downloads = args.urls.iter().map(download).collect::<Result<_, CommandError>>()?;
        let options = DownloadOptions {
            force: args.force,
            require_digest: args.require_digest,
            connections: args.connections,
            retry: RetryPolicy { attempts_max: args.retries, ..RetryPolicy::default() },
            ..DownloadOptions::default()
        };
        Ok(Self { downloads, options })
    }
}

impl TryFrom<PutArgs> for PutConfig {
    type Error = CommandError;

    fn try_from(args: PutArgs) -> Result<Self, CommandError> {
        let url = parse_url(&args.url)?;
        if args.files.len() > 1 && !url.is_directory() {
            return Err(UsageError::SeveralFilesOneName.into());
        }
        let upload = |file: PathBuf| {
            let target = match (url.is_directory(), file.file_name()) {
                (false, _) => url.clone(),
                (true, Some(name)) => url.join(name.as_encoded_bytes()),
                (true, None) => return Err(UsageError::NoFileName { file: file.to_string_lossy().into_owned() }),
            };
            Ok((file, target))
        };
        let uploads = args.files.into_iter().map(upload).collect::<Result<_, UsageError>>()?;
        Ok(Self { uploads, force: args.force })
    }
}

impl TryFrom<CatArgs> for CatConfig {
    type Error = CommandError;

    fn try_from(args: CatArgs) -> Result<Self, CommandError> {
        if let Some(listen) = args.listen {
            // The scheme goes without saying, and may be said.
            let url = if listen.contains("://") { listen } else { format!("udt://{listen}") };
            let listen = parse_listen_url(&url)?;
            return if listen.transport == Transport::Udt {
                Ok(Self::Listen(listen.address))
            } else {
                Err(UsageError::CatIsUdt { text: url }.into())
            };
        }
        let text = args.url.expect("clap requires one of both");
        let url = parse_url(&text)?;
        let uri = url.uri();
        if url.transport() != Transport::Udt || uri.path_and_query().is_some_and(|path| path != "/") {
            return Err(UsageError::CatIsUdt { text }.into());
        }
        let host = uri.host().expect("a RemoteUrl has a host");
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self::Connect { host, port: uri.port_u16().unwrap_or(DEFAULT_PORT) })
    }
}

fn parse_listen_url(text: &str) -> Result<ListenUrl, UsageError> {
    text.parse().map_err(|error| UsageError::ListenUrl { text: text.to_owned(), error })
}

/// A URL of the command line.
pub(crate) fn parse_url(text: &str) -> Result<RemoteUrl, CommandError> {
    text.parse().map_err(|error| CommandError::Url { text: text.to_owned(), error })
}
