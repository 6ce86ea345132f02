//! Disk work beside the runtime: never on it, and never longer than somebody waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Tells long disk work that nobody waits for it any more.
#[derive(Clone, Debug, Default)]
pub(super) struct Cancelled(Arc<AtomicBool>);

struct CancelOnDrop(Cancelled);

impl Cancelled {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// Runs work that blocks. When the future is dropped the work is told through [`Cancelled`] and its result is dropped.
pub(super) async fn blocking<T, F>(work: F) -> T
where
    T: Send + 'static,
    F: FnOnce(&Cancelled) -> T + Send + 'static,
{
    let guard = CancelOnDrop(Cancelled::default());
    let cancelled = guard.0.clone();
    let done = tokio::task::spawn_blocking(move || work(&cancelled)).await;
    drop(guard);
    done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
