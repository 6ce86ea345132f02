//! Digests of files, known or being computed: each file is hashed once for everybody who asks at the same time.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, spawn_blocking};

use crate::config::FilesConfig;
use crate::error::ReadError;
use crate::hash::{Sha256, Sha256Digest};
use crate::store::{FileIdentity, ServedFile};

/// Digests remembered: 15 MB at most, and more files than are downloaded again before they are forgotten.
const DIGESTS_MAX: usize = 65_536;

/// The digests of a service. Cheap to clone; clones share everything.
#[derive(Clone)]
pub(crate) struct DigestCache {
    known: Arc<Mutex<Known>>,
    computations: Arc<Mutex<HashMap<FileIdentity, Weak<Computation>>>>,
    /// Files that a response hashes while it sends them.
    claimed: Arc<Mutex<HashSet<FileIdentity>>>,
    permits: Arc<Semaphore>,
    settle_time: Duration,
}

impl DigestCache {
    pub(crate) fn new(config: &FilesConfig) -> Self {
        Self {
            known: Arc::default(),
            computations: Arc::default(),
            claimed: Arc::default(),
            permits: Arc::new(Semaphore::new(config.concurrent_hashes_max.get())),
            settle_time: config.settle_time,
        }
    }

    /// The digest of a file in this state, if it is known.
    pub(crate) fn known(&self, identity: &FileIdentity) -> Option<Sha256Digest> {
        lock(&self.known).digests.get(identity).copied()
    }

    /// Remembers the digest of bytes read from a file in this state, the first of them at `began`. Forgets it at once if
    /// the file was not settled then, for another content could bear the same identity.
    pub(crate) fn remember(&self, identity: FileIdentity, digest: Sha256Digest, began: SystemTime) {
        if identity.is_settled(began, self.settle_time) {
            lock(&self.known).insert(identity, digest);
        }
    }

    /// The right to hash a file in this state only in order to remember its digest: for one response at a time, since a hundred that
    /// send the same file would all find out the same.
    pub(crate) fn claim(&self, identity: FileIdentity) -> Option<Claim> {
        let is_first = lock(&self.claimed).insert(identity);
        is_first.then(|| Claim { identity, claimed: Arc::clone(&self.claimed) })
    }

    /// The digest of the file: known, or computed once for all who wait for it. At most
    /// [`FilesConfig::concurrent_hashes_max`] files are read at a time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing for other waiters; with the last one the computation stops within a chunk.
    pub(crate) async fn compute(&self, file: ServedFile) -> Result<Sha256Digest, Arc<ReadError>> {
        if let Some(digest) = self.known(file.identity()) {
            return Ok(digest);
        }
        let computation = self.join(file);
        let mut result = computation.result.clone();
        let finished = result.wait_for(Option::is_some).await;
        finished.ok().and_then(|result| result.clone()).unwrap_or_else(|| Err(Arc::new(ReadError::Cancelled)))
    }

    fn join(&self, file: ServedFile) -> Arc<Computation> {
        let identity = *file.identity();
        let mut computations = lock(&self.computations);
        if let Some(running) = computations.get(&identity).and_then(Weak::upgrade) {
            return running;
        }
        let computation = Arc::new(self.start(file));
        computations.insert(identity, Arc::downgrade(&computation));
        computation
    }

    fn start(&self, file: ServedFile) -> Computation {
        let (sender, result) = watch::channel(None);
        let cancelled = Arc::new(AtomicBool::new(false));
        let identity = *file.identity();
        let (cache, is_cancelled) = (self.clone(), Arc::clone(&cancelled));
        let task = tokio::spawn(async move {
            let permit = Arc::clone(&cache.permits).acquire_owned().await.expect("the semaphore is never closed");
            let hashed = spawn_blocking(move || {
                // Held by the thread: a cancelled task leaves before its thread does.
                let _permit = permit;
                let began = SystemTime::now();
                let digest = hash(&file, &is_cancelled)?;
                cache.remember(*file.identity(), digest, began);
                Ok(digest)
            });
            let hashed = hashed.await.unwrap_or(Err(ReadError::Cancelled));
            sender.send_replace(Some(hashed.map_err(Arc::new)));
        });
        Computation {
            result,
            cancelled,
            task: task.abort_handle(),
            identity,
            computations: Arc::downgrade(&self.computations),
        }
    }
}

fn hash(file: &ServedFile, cancelled: &AtomicBool) -> Result<Sha256Digest, ReadError> {
    let size_bytes = file.identity().size_bytes();
    file.advise_sequential(0, size_bytes);
    let mut sha256 = Sha256::new();
    let mut offset = 0;
    while offset < size_bytes {
        if cancelled.load(Ordering::Relaxed) {
            return Err(ReadError::Cancelled);
        }
        let chunk = file.read_chunk(&(offset..size_bytes))?;
        sha256.update(&chunk);
        offset += chunk.len() as u64;
    }
    Ok(sha256.finish())
}

/// See [`DigestCache::claim`]; it ends when this is dropped.
pub(crate) struct Claim {
    identity: FileIdentity,
    claimed: Arc<Mutex<HashSet<FileIdentity>>>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&self.claimed).remove(&self.identity);
    }
}

/// A file being hashed. Everybody who waits for it holds it; the last one to leave stops it.
struct Computation {
    result: watch::Receiver<Option<Result<Sha256Digest, Arc<ReadError>>>>,
    cancelled: Arc<AtomicBool>,
    task: AbortHandle,
    identity: FileIdentity,
    computations: Weak<Mutex<HashMap<FileIdentity, Weak<Self>>>>,
}

impl Drop for Computation {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
        self.task.abort();
        let Some(computations) = self.computations.upgrade() else { return };
        let mut computations = lock(&computations);
        // Somebody may have begun anew between our last holder's leaving and now.
        if computations.get(&self.identity).is_some_and(|entry| entry.strong_count() == 0) {
            computations.remove(&self.identity);
        }
    }
}

/// The digests known, and the order in which they were learnt: the oldest is forgotten first.
#[derive(Default)]
struct Known {
    digests: HashMap<FileIdentity, Sha256Digest>,
    order: VecDeque<FileIdentity>,
}

impl Known {
    fn insert(&mut self, identity: FileIdentity, digest: Sha256Digest) {
        if self.digests.insert(identity, digest).is_some() {
            return;
        }
        self.order.push_back(identity);
        if self.order.len() > DIGESTS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.digests.remove(&oldest);
        }
    }
}

/// Nothing in here panics between two changes that belong together.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::num::NonZeroUsize;
    use std::path::Path;

    use tempfile::TempDir;

    use super::*;
    use crate::store::{Root, Served};

    /// Far too long to be hashed within a test; sparse, so it takes no space.
    const ENDLESS_BYTES: u64 = 1 << 40;
    /// Long beyond what any machine needs: only a test that hangs gets here.
    const HANG_LIMIT: Duration = Duration::from_secs(60);

    fn cache(concurrent_hashes_max: usize) -> DigestCache {
        let concurrent_hashes_max = NonZeroUsize::new(concurrent_hashes_max).unwrap();
        DigestCache::new(&FilesConfig { concurrent_hashes_max, settle_time: Duration::ZERO, ..FilesConfig::default() })
    }

    fn open(directory: &TempDir, name: &str) -> ServedFile {
        match Root::open(directory.path()).unwrap().look_up(Path::new(name)).unwrap() {
            Served::File(file) => file,
            Served::Directory(_) => panic!("{name} is a directory"),
        }
    }

    fn endless(directory: &TempDir, name: &str) -> ServedFile {
        File::create(directory.path().join(name)).unwrap().set_len(ENDLESS_BYTES).unwrap();
        open(directory, name)
    }

    async fn until(condition: impl Fn() -> bool) {
        let wait = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(HANG_LIMIT, wait).await.expect("the condition never came true");
    }

    fn waiters(cache: &DigestCache) -> Vec<usize> {
        lock(&cache.computations).values().map(Weak::strong_count).collect()
    }

    #[tokio::test]
    async fn a_file_is_hashed_once_for_all_and_stops_with_the_last_who_waits() {
        let directory = tempfile::tempdir().unwrap();
        let cache = cache(2);
        endless(&directory, "f");
        let ask = || {
            let (cache, file) = (cache.clone(), open(&directory, "f"));
            tokio::spawn(async move { cache.compute(file).await })
        };
        let askers = [ask(), ask(), ask()];
        until(|| waiters(&cache) == [3] && cache.permits.available_permits() == 1).await;
        let [first, second, last] = askers;
        first.abort();
        second.abort();
        until(|| waiters(&cache) == [1]).await;
        assert_eq!(cache.permits.available_permits(), 1, "still running for the last one");
        last.abort();
        until(|| waiters(&cache).is_empty() && cache.permits.available_permits() == 2).await;
    }

    #[tokio::test]
    async fn no_more_files_are_hashed_at_a_time_than_allowed() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("small"), "hello").unwrap();
        let cache = cache(1);
        let ask = |file| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.compute(file).await })
        };
        let running = ask(endless(&directory, "running"));
        until(|| cache.permits.available_permits() == 0).await;
        let gives_up = ask(endless(&directory, "waiting"));
        let waits = ask(open(&directory, "small"));
        until(|| waiters(&cache).len() == 3).await;
        gives_up.abort();
        until(|| waiters(&cache).len() == 2).await;
        assert!(cache.known(open(&directory, "small").identity()).is_none());
        running.abort();
        let digest = tokio::time::timeout(HANG_LIMIT, waits).await.unwrap().unwrap().unwrap();
        assert_eq!(cache.known(open(&directory, "small").identity()), Some(digest));
    }

    #[test]
    fn of_the_responses_that_send_a_file_one_hashes_it() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("f"), "hello").unwrap();
        std::fs::write(directory.path().join("g"), "hello").unwrap();
        let [f, g] = ["f", "g"].map(|name| *open(&directory, name).identity());
        let cache = cache(1);
        let claim = cache.claim(f);
        assert!(claim.is_some() && cache.claim(f).is_none() && cache.claim(g).is_some());
        drop(claim);
        assert!(cache.claim(f).is_some(), "the first has ended, perhaps too early");
    }

    #[test]
    fn forgets_the_oldest() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("f"), "hello").unwrap();
        let first = *open(&directory, "f").identity();
        let mut known = Known::default();
        let digest = Sha256::new().finish();
        known.insert(first, digest);
        for size_bytes in 1000.. {
            if known.digests.len() == DIGESTS_MAX {
                assert!(known.digests.contains_key(&first));
                known.insert(first, digest);
                known.insert(first.with_size(size_bytes), digest);
                break;
            }
            known.insert(first.with_size(size_bytes), digest);
        }
        assert!(!known.digests.contains_key(&first));
        assert_eq!((known.digests.len(), known.order.len()), (DIGESTS_MAX, DIGESTS_MAX));
    }
}
