//! What a simulation can find wrong.

use std::time::Duration;

use godwit_proto::ConnectionError;

/// A check that did not hold. The run ends with the first one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Failure {
    /// Other bytes came out than went in.
    #[error("flow {flow}: the bytes read after {position} are not those written")]
    Content {
        /// The flow.
        flow: usize,
        /// Bytes that had been right.
        position: u64,
    },
    /// More or fewer bytes came out than went in.
    #[error("flow {flow}: {written} bytes were written, but {read} read at the end of the stream")]
    Length {
        /// The flow.
        flow: usize,
        /// Bytes in.
        written: u64,
        /// Bytes out.
        read: u64,
    },
    /// A packet left that the peer had not made room for.
    #[error("flow {flow}: packet #{seq} left, but the peer has room only before #{limit}")]
    BeyondWindow {
        /// The flow.
        flow: usize,
        /// The packet.
        seq: u32,
        /// The first packet without room.
        limit: u32,
    },
    /// After a drain a connection wants to be called in the past, which would be an endless loop.
    #[error("flow {flow}: after a drain the {end} wants to be called {ago:?} ago")]
    TimerInPast {
        /// The flow.
        flow: usize,
        /// Which end.
        end: &'static str,
        /// How long ago.
        ago: Duration,
    },
    /// Much happens, but time stands still.
    #[error("{steps} steps without time passing; flow {flow} is one of those that act")]
    Livelock {
        /// Whose turn it was last.
        flow: usize,
        /// How many.
        steps: u64,
    },
    /// The whole run takes more steps than it may.
    #[error("more than {max} steps")]
    TooManySteps {
        /// The limit.
        max: u64,
    },
    /// A buffer is larger than configured.
    #[error("flow {flow}: the {end}'s buffer holds {bytes} bytes, but may hold {max}")]
    Memory {
        /// The flow.
        flow: usize,
        /// Which end.
        end: &'static str,
        /// Bytes held.
        bytes: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A connection ended that should not have.
    #[error("flow {flow}: the {end}'s connection ended: {reason}")]
    Ended {
        /// The flow.
        flow: usize,
        /// Which end.
        end: &'static str,
        /// Why.
        reason: ConnectionError,
    },
    /// Faults have stopped, and still it does not finish.
    #[error("flow {flow}: not finished {after:?} after the faults stopped, with {read} of {written} bytes read")]
    NotFinished {
        /// The flow.
        flow: usize,
        /// How long it had.
        after: Duration,
        /// Bytes in.
        written: u64,
        /// Bytes out.
        read: u64,
    },
    /// The protocol or the simulator panicked; the message is above.
    #[error("it panicked")]
    Panicked,
    /// A link ran out of memory: the run is not the one asked for.
    #[error("link {link} dropped {packets} packets for want of memory; the scenario is too large")]
    LinkOverflow {
        /// The link.
        link: usize,
        /// How many.
        packets: u64,
    },
}
