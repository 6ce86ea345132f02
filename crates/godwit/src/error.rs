//! Why a command failed.

use std::io;
use std::time::Duration;

use godwit_files::OpenRootError;
use godwit_files::client::{DownloadError, ListError, UploadError, UrlError};
use godwit_files::escape::Escaped;
use godwit_http::BindError;
use thiserror::Error;

use crate::commands::cat::CatError;
use crate::commands::demo::DemoError;
use crate::commands::perf::{PerfError, PerfUrlError};
use crate::signals::StopSignal;
use crate::stderr;

/// One variant per way to fail that the user or the exit code tells apart.
#[derive(Debug, Error)]
pub(crate) enum CommandError {
    #[error("{}: {error}", Escaped::new(text))]
    Url { text: String, error: UrlError },
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error("{}: {error}", Escaped::new(what))]
    Download { what: String, error: Box<DownloadError> },
    #[error("{}: {error}", Escaped::new(what))]
    Upload { what: String, error: Box<UploadError> },
    #[error("{}: {error}", Escaped::new(what))]
    List { what: String, error: Box<ListError> },
    #[error(transparent)]
    Cat(CatError),
    #[error(transparent)]
    Demo(DemoError),
    #[error(transparent)]
    Perf(PerfError),
    /// Each has been reported already.
    #[error("{failed} of {all} failed")]
    Several { failed: usize, all: usize, first: Box<Self> },
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    OpenRoot(#[from] OpenRootError),
    #[error("cannot start: {0}")]
    Runtime(io::Error),
    #[error("cannot print: {0}")]
    Print(io::Error),
    #[error("stopped by a signal")]
    Stopped(StopSignal),
}

/// Arguments that are well-formed one by one and make no sense together.
#[derive(Debug, Error)]
pub(crate) enum UsageError {
    #[error("`perf many` measures UDT: give it a udt:// URL")]
    ManyOverUdt,
    #[error("several files need a URL that ends in /, the directory to put them in")]
    SeveralFilesOneName,
    #[error("several URLs need -o to be a directory that exists")]
    SeveralUrlsOneName,
    #[error("-o -: a download needs a file to go on with and to verify; for a file of that name write ./-")]
    NoStdout,
    #[error("{}: the path names no file, so the URL must name one (it ends in /)", Escaped::new(file))]
    NoFileName { file: String },
    #[error("{}: `cat` needs a UDT address without a path, as in udt://host:9000", Escaped::new(text))]
    CatIsUdt { text: String },
    #[error("{}: {error}", Escaped::new(text))]
    PerfUrl { text: String, error: PerfUrlError },
    #[error("--bytes is less than a byte for each of --connections; raise the one or lower the other")]
    LessThanAByteEach,
    #[error("--secs is more than the longest test, {} hours", max.as_secs() / 3600)]
    TooLong { max: Duration },
    #[error("--min-rate {min} is above --max-rate {max} (bits per second); lower the one or raise the other")]
    MinAboveMax { min: u64, max: u64 },
    #[error("--min-rate needs --policy fair, high or fixed:RATE; the others keep no minimum, so leave it out")]
    NoMinimum,
    #[error("--listen {}: {error}", Escaped::new(text))]
    ListenUrl { text: String, error: godwit_http::ParseListenUrlError },
}

impl CommandError {
    /// Says on stderr what happened; nothing where the user knows.
    pub(crate) fn report(&self) {
        if !matches!(self, Self::Stopped(_)) {
            stderr::say(format_args!("godwit: {self}"));
        }
    }
}
