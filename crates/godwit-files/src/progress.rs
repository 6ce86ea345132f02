//! What a transfer tells while it runs.

use std::fmt;
use std::time::Duration;

use crate::plan::resume::Anew;

/// One thing that happened.
#[derive(Clone, Copy)]
pub enum Event<'a> {
    /// Bytes begin to move.
    Started {
        /// Bytes that were already there.
        from: u64,
        /// Bytes of the whole, if known.
        total: Option<u64>,
    },
    /// Now `position` bytes of the whole are done.
    Moved {
        /// In bytes from the beginning of the whole.
        position: u64,
    },
    /// What an earlier run left is read again, to continue its digest.
    Rereading {
        /// How much, in bytes.
        bytes: u64,
    },
    /// What is there is dropped, and the download begins anew.
    StartingAnew(Anew),
    /// All bytes have moved; the other end's digest is awaited.
    Verifying,
    /// The network failed, and the transfer will go on where it was.
    Retrying {
        /// What failed.
        error: &'a dyn fmt::Display,
        /// When it goes on.
        after: Duration,
        /// Which retry without progress this is, from 1.
        attempt: u32,
        /// How many there will be.
        attempts_max: u32,
    },
}

/// Who wants to know.
pub trait Observer: Send + Sync {
    /// Is called at every event, and must return soon: the transfer waits.
    fn on(&self, event: Event<'_>);
}

/// Nobody wants to know.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn on(&self, _event: Event<'_>) {}
}
