//! Buffers of 64 KiB that come back by themselves when the last [`Bytes`] of them is dropped: new memory would have to be cleared
//! each time.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Room for the longest UDP datagram, and so for the longest GRO batch: the kernel merges UDP up to 64 KiB.
pub(crate) const BUFFER_BYTES: usize = 64 << 10;

/// Buffers kept for reuse: 8 MiB. A reader that keeps slices for long makes us allocate more; what comes back beyond
/// this number is freed.
const FREE_BUFFERS_MAX: usize = 128;

/// Where buffers come from and return to: for what is received, and for whoever sends what he has to read first.
#[derive(Clone, Debug, Default)]
pub struct BufferPool {
    free: Arc<Mutex<Vec<Box<[u8]>>>>,
}

impl BufferPool {
    /// A buffer of 64 KiB: the one that came back last if there is any, its old contents still in it.
    #[must_use]
    pub fn take(&self) -> PoolBuffer {
        let used = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let memory = used.unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice());
        PoolBuffer { memory, filled_bytes: 0, pool: self.clone() }
    }

    #[cfg(test)]
    fn free_buffers(&self) -> usize {
        self.free.lock().unwrap().len()
    }
}

/// One buffer, its taker's alone until [`freeze`](Self::freeze).
#[derive(Debug)]
pub struct PoolBuffer {
    memory: Box<[u8]>,
    filled_bytes: usize,
    pool: BufferPool,
}

impl PoolBuffer {
    /// All of the memory, to be filled.
    pub fn memory(&mut self) -> &mut [u8] {
        &mut self.memory
    }

    /// The first `filled_bytes` as shared bytes. The memory returns to the pool with the last of their clones and slices.
    #[must_use]
    pub fn freeze(mut self, filled_bytes: usize) -> Bytes {
        self.filled_bytes = filled_bytes.min(self.memory.len());
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for PoolBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.memory[..self.filled_bytes]
    }
}

impl Drop for PoolBuffer {
    fn drop(&mut self) {
        let mut free = self.pool.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < FREE_BUFFERS_MAX {
            free.push(std::mem::take(&mut self.memory));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_returns_with_its_last_slice() {
        let pool = BufferPool::default();
        let mut buffer = pool.take();
        buffer.memory()[..4].copy_from_slice(b"abcd");
        let bytes = buffer.freeze(4);
        let tail = bytes.slice(2..);
        drop(bytes);
        assert_eq!((&tail[..], pool.free_buffers()), (&b"cd"[..], 0));
        drop(tail);
        assert_eq!(pool.free_buffers(), 1);
        let again = pool.take();
        assert_eq!((again.memory.len(), pool.free_buffers()), (BUFFER_BYTES, 0));
    }

    #[test]
    fn the_pool_keeps_a_bounded_number() {
        let pool = BufferPool::default();
        let many: Vec<Bytes> = (0..FREE_BUFFERS_MAX + 9).map(|_| pool.take().freeze(1)).collect();
        drop(many);
        assert_eq!(pool.free_buffers(), FREE_BUFFERS_MAX);
    }
}
