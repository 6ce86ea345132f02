//! How much a sender buffers: what it needs, within what the connections of a port may buffer together.

/// What may wait to be sent, whatever the window and the pace are: enough to keep a new connection busy until it has a window.
pub(super) const BUFFERED_BYTES_MIN: usize = 1 << 20;

/// What each connection may buffer however little is left for it: two full slabs, one to fill while the other leaves.
const SHARE_BYTES_MIN: usize = 128 << 10;

/// Memory of send buffers in bytes: what a connection holds, or what it may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendMemory {
    /// All of it.
    pub held_bytes: usize,
    /// What is to be sent.
    pub unsent_bytes: usize,
    /// What is empty, and kept for what will be sent.
    pub spare_bytes: usize,
}

impl SendMemory {
    /// No limit.
    pub const MAX: Self = Self { held_bytes: usize::MAX, unsent_bytes: usize::MAX, spare_bytes: usize::MAX };
}

/// What a sender needs its buffer for, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::connection) struct Need {
    /// The window now, and what a gap keeps from being released: a packet that is lost twice holds back three round-trips' worth.
    pub(in crate::connection) window_bytes: usize,
    /// What has left and is not acknowledged.
    pub(in crate::connection) held_bytes: usize,
    /// What may leave until the writer comes again.
    pub(in crate::connection) ahead_bytes: usize,
    /// What leaves before a writer who found no room has room again, however short the path is.
    pub(in crate::connection) paced_bytes: usize,
}

impl Need {
    /// The most that may be buffered: two windows, and not much more than what has left; of that as much as `share` allows.
    pub(super) fn limit_bytes(self, share: SendMemory) -> usize {
        let ahead = self.held_bytes.saturating_add(self.ahead_bytes.max(BUFFERED_BYTES_MIN));
        let needed = self.window_bytes.saturating_mul(2).min(ahead).max(self.paced_bytes).max(BUFFERED_BYTES_MIN);
        let unsent = self.held_bytes.saturating_add(share.unsent_bytes.max(SHARE_BYTES_MIN));
        needed.min(unsent).min(share.held_bytes.max(SHARE_BYTES_MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_bounds_what_is_needed_and_is_never_too_small_to_go_on() {
        let need = Need { window_bytes: 8 << 20, held_bytes: 3 << 20, ahead_bytes: 2 << 20, paced_bytes: 0 };
        let limit_bytes =
            |held_bytes, unsent_bytes| need.limit_bytes(SendMemory { held_bytes, unsent_bytes, spare_bytes: 0 });
        assert_eq!(need.limit_bytes(SendMemory::MAX), 5 << 20);
        assert_eq!(limit_bytes(64 << 20, 1 << 20), 4 << 20);
        assert_eq!(limit_bytes(64 << 20, 0), (3 << 20) + SHARE_BYTES_MIN, "beyond what has left");
        assert_eq!(limit_bytes(0, 0), SHARE_BYTES_MIN);
    }
}
