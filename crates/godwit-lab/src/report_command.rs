//! `godwit-lab report`

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use godwit_lab::report::{self, NoMarks};
use godwit_lab::results::Results;

/// A document from the results of earlier runs.
#[derive(Debug, Args)]
pub(crate) struct ReportArguments {
    /// What `run --json` wrote
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The document whose generated part is to be replaced; its pictures go to the directory of its name beside it. Without it, the
    /// text goes to standard output
    #[arg(long, value_name = "DOCUMENT")]
    into: Option<PathBuf>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    #[error("cannot read {path}: {source}", path = .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} has no results of this version of godwit-lab: {source}; run it again", path = .path.display())]
    Results { path: PathBuf, source: serde_json::Error },
    #[error("cannot write {path}: {source}", path = .path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    NoMarks(#[from] NoMarks),
}

/// Writes the report, or prints it.
pub(crate) fn run(arguments: &ReportArguments) -> Result<(), ReportError> {
    let mut files = arguments.files.clone();
    files.sort();
    let results: Result<Vec<_>, _> = files.iter().map(|path| read(path)).collect();
    let Some(document) = &arguments.into else {
        print!("{}", report::report(&results?, "benchmarks").markdown);
        return Ok(());
    };
    let name = document.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let report = report::report(&results?, &name);
    let text = fs::read_to_string(document).map_err(|source| ReportError::Read { path: document.clone(), source })?;
    write(document, &report::insert(&text, &report.markdown)?)?;
    let directory = document.with_extension("");
    fs::create_dir_all(&directory).map_err(|source| ReportError::Write { path: directory.clone(), source })?;
    report.pictures.iter().try_for_each(|(name, svg)| write(&directory.join(name), svg))
}

fn read(path: &Path) -> Result<(String, Results), ReportError> {
    let text = fs::read_to_string(path).map_err(|source| ReportError::Read { path: path.to_owned(), source })?;
    let results =
        serde_json::from_str(&text).map_err(|source| ReportError::Results { path: path.to_owned(), source })?;
    Ok((path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), results))
}

fn write(path: &Path, text: &str) -> Result<(), ReportError> {
    fs::write(path, text).map_err(|source| ReportError::Write { path: path.to_owned(), source })
}
