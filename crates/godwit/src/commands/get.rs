//! `godwit get`

use std::time::Instant;

use godwit_files::client::{Downloaded, Outcome, download};
use godwit_files::escape::Escaped;
use godwit_http::Client;
use indicatif::HumanBytes;

use super::Failures;
use crate::config::GetConfig;
use crate::error::CommandError;
use crate::progress::{self, Rate};
use crate::stderr;

/// Downloads one after the other; a failure does not keep the next from being tried.
pub(crate) async fn run(client: &Client, config: GetConfig, quiet: bool) -> Result<(), CommandError> {
    let mut failures = Failures::default();
    for (url, target) in &config.downloads {
        let started = Instant::now();
        let observer = progress::observer(target, quiet);
        match download(client, url, target, &config.options, observer).await {
            Ok(downloaded) if !quiet => stderr::say(summary(&downloaded, started)),
            Ok(_) => {}
            Err(error) => {
                let error = CommandError::Download { what: url.to_string(), error: Box::new(error) };
                failures.add(error, config.downloads.len());
            }
        }
    }
    failures.result(config.downloads.len())
}

fn summary(downloaded: &Downloaded, started: Instant) -> String {
    let name = Escaped::path(&downloaded.path);
    let digest = downloaded.sha256.map(|digest| format!(", SHA-256 {digest}")).unwrap_or_default();
    let verdict = match downloaded.outcome {
        Outcome::UpToDate => return format!("{name}: up to date, nothing to do{digest}"),
        Outcome::Verified => "verified",
        Outcome::NotVerified => "not verified: the server gives no SHA-256",
    };
    let time = started.elapsed();
    let rate = Rate { bytes: downloaded.received, time };
    let (length, received) = (HumanBytes(downloaded.length), HumanBytes(downloaded.received));
    let moved = if downloaded.received == downloaded.length {
        format!("{length} in {:.1?} ({rate})", time)
    } else {
        format!("{length}, the last {received} in {:.1?} ({rate})", time)
    };
    format!("{name}: {moved}{digest}, {verdict}")
}
