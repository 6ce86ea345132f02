//! Buffers for what is read at once: used again when their bytes have gone, so that each is cleared a single time and is still in the
//! core's cache.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Bytes of one buffer: they stay in the core's cache until they are copied on.
pub(super) const BUFFER_BYTES: usize = 64 * 1024;

/// Buffers kept for reuse: 4 MiB. Responses that wait for their network hold more; what comes back beyond this number is freed.
const SPARE_BUFFERS_MAX: usize = 64;

/// Where buffers come from and return to.
#[derive(Clone, Debug, Default)]
pub(super) struct ChunkPool {
    spare: Arc<Mutex<Vec<Box<[u8]>>>>,
}

impl ChunkPool {
    /// The buffer that came back last, with its old contents, or a new one.
    pub(super) fn take(&self) -> ChunkBuffer {
        let used = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let memory = used.unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice());
        ChunkBuffer { memory, filled_bytes: 0, pool: self.clone() }
    }

    #[cfg(test)]
    fn spare_buffers(&self) -> usize {
        self.spare.lock().unwrap().len()
    }
}

/// One buffer, which returns to its pool.
#[derive(Debug)]
pub(super) struct ChunkBuffer {
    memory: Box<[u8]>,
    filled_bytes: usize,
    pool: ChunkPool,
}

impl ChunkBuffer {
    /// All of the memory, to read into.
    pub(super) fn memory(&mut self) -> &mut [u8] {
        &mut self.memory
    }

    /// Its first `filled_bytes`. It returns to the pool with the last of their clones and slices.
    pub(super) fn freeze(mut self, filled_bytes: usize) -> Bytes {
        self.filled_bytes = filled_bytes.min(self.memory.len());
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for ChunkBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.memory[..self.filled_bytes]
    }
}

impl Drop for ChunkBuffer {
    fn drop(&mut self) {
        let mut spare = self.pool.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_BUFFERS_MAX {
            spare.push(std::mem::take(&mut self.memory));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_returns_with_its_last_slice_and_is_used_again() {
        let pool = ChunkPool::default();
        let mut buffer = pool.take();
        buffer.memory()[..4].copy_from_slice(b"abcd");
        let bytes = buffer.freeze(4);
        let tail = bytes.slice(2..);
        drop(bytes);
        assert_eq!((&tail[..], pool.spare_buffers()), (&b"cd"[..], 0));
        drop(tail);
        assert_eq!(pool.spare_buffers(), 1);
        assert_eq!((&pool.take().memory()[..4], pool.spare_buffers()), (&b"abcd"[..], 0));
    }

    #[test]
    fn a_bounded_number_is_kept() {
        let pool = ChunkPool::default();
        let held: Vec<Bytes> = (0..SPARE_BUFFERS_MAX + 9).map(|_| pool.take().freeze(1)).collect();
        drop(held);
        assert_eq!(pool.spare_buffers(), SPARE_BUFFERS_MAX);
    }
}
