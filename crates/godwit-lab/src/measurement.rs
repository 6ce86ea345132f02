//! What the commands that measure have in common: signals end them, and their results go to a file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use godwit_lab::error::BenchError;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

/// Why nothing was measured, or not all of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MeasurementError {
    #[error("signals cannot be handled: {0}")]
    Signals(io::Error),
    #[error(transparent)]
    Bench(#[from] BenchError),
    #[error(
        "interrupted; the runs that were complete are above, and in the file that --json names; start it again for the others"
    )]
    Interrupted,
    #[error("the results cannot be written to {path}: {source}", path = .path.display())]
    Json { path: PathBuf, source: io::Error },
}

/// Whoever interrupts a run wants its processes, namespaces and files gone, too. Signals are handled and not blocked: children would start with
/// them blocked, and never end when they are asked to.
pub(crate) fn end_on_signals(is_interrupted: Arc<AtomicBool>) -> Result<(), MeasurementError> {
    let wait = signals().map_err(MeasurementError::Signals)?;
    std::thread::spawn(move || {
        wait();
        is_interrupted.store(true, Ordering::Relaxed);
    });
    Ok(())
}

/// Writes what was complete, if somebody wants it.
///
/// # Errors
/// It cannot be written, or it is not all that was asked for.
pub(crate) fn finish(
    path: Option<&Path>,
    results: &impl Serialize,
    is_interrupted: &AtomicBool,
) -> Result<(), MeasurementError> {
    write_json(path, results)?;
    if is_interrupted.load(Ordering::Relaxed) { Err(MeasurementError::Interrupted) } else { Ok(()) }
}

pub(crate) fn write_json(path: Option<&Path>, results: &impl Serialize) -> Result<(), MeasurementError> {
    let Some(path) = path else { return Ok(()) };
    let text = serde_json::to_string(results).expect("results have string keys only");
    fs::write(path, text + "\n").map_err(|source| MeasurementError::Json { path: path.to_owned(), source })
}

/// From now on signals are handled; what is returned waits for the first.
fn signals() -> io::Result<impl FnOnce() + Send> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let mut signals = {
        let _context = runtime.enter();
        let handled = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        handled.into_iter().collect::<io::Result<Vec<_>>>()?
    };
    Ok(move || {
        let any = std::future::poll_fn(|context| {
            let has_come = signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
            if has_come { Poll::Ready(()) } else { Poll::Pending }
        });
        runtime.block_on(any);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_measurement_keeps_what_was_complete() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("results");
        let is_interrupted = AtomicBool::new(true);
        let told = finish(Some(&path), &[7], &is_interrupted);
        assert!(matches!(told, Err(MeasurementError::Interrupted)), "{told:?}");
        assert_eq!(fs::read_to_string(&path).expect("it was written"), "[7]\n");
        is_interrupted.store(false, Ordering::Relaxed);
        finish(None, &[7], &is_interrupted).expect("nothing is missing");
    }
}
