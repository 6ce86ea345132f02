//! `godwit put`

use std::time::Instant;

use godwit_files::client::{UploadOptions, upload};
use godwit_http::Client;
use indicatif::HumanBytes;

use super::Failures;
use crate::config::PutConfig;
use crate::error::CommandError;
use crate::progress::{self, Rate};
use crate::stderr;

/// Uploads one after the other; a failure does not keep the next from being tried.
pub(crate) async fn run(client: &Client, config: PutConfig, quiet: bool) -> Result<(), CommandError> {
    let options = UploadOptions { force: config.force, ..UploadOptions::default() };
    let mut failures = Failures::default();
    for (file, url) in &config.uploads {
        let started = Instant::now();
        let observer = progress::observer(file, quiet);
        match upload(client, file, url, options, observer).await {
            Ok(uploaded) if !quiet => {
                let time = started.elapsed();
                let rate = Rate { bytes: uploaded.length, time };
                let done = if uploaded.replaced { "replaced" } else { "stored" };
                let (length, digest) = (HumanBytes(uploaded.length), uploaded.sha256);
                stderr::say(format_args!("{url}: {done}, {length} in {time:.1?} ({rate}), SHA-256 {digest}"));
            }
            Ok(_) => {}
            Err(error) => {
                let what = file.to_string_lossy().into_owned();
                failures.add(CommandError::Upload { what, error: Box::new(error) }, config.uploads.len());
            }
        }
    }
    failures.result(config.uploads.len())
}
