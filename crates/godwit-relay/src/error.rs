//! Everything that can go wrong with a relay.

use std::io;

/// A value of [`crate::LinkConfig`] that describes no path.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkConfigError {
    /// The loss is not a probability.
    #[error("the loss of a link must be a probability from 0 to 1, not {0}")]
    Loss(f64),
    /// The mean burst loss is not from 0 to 0.5, or the bursts are shorter than one packet.
    #[error("bursts of loss must take 0 to half of the packets, 1 or more at a time, not {}, {} at a time", .0.mean, .0.mean_packets)]
    BurstLoss(crate::BurstLoss),
    /// The share of damaged packets is not a probability.
    #[error("the damage of a link must be a probability from 0 to 1, not {0}")]
    Corrupt(f64),
    /// The duplication is not a probability.
    #[error("the duplication of a link must be a probability from 0 to 1, not {0}")]
    Duplicate(f64),
    /// The share of delayed packets is not a probability.
    #[error("the reordering of a link must be a probability from 0 to 1, not {0}")]
    Reorder(f64),
    /// The rate is zero, so no packet would ever leave.
    #[error("the rate of a link must be at least 1 bit/s; leave it out for a link without a rate limit")]
    ZeroRate,
    /// No packet fits into the queue of a link that has a rate.
    #[error("the queue of a link with a rate must hold at least one packet: give it 2,000 bytes or more")]
    ZeroQueue,
}

/// Why a relay could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The path from the client to the server (or from A to B) makes no sense.
    #[error("the forward path cannot be built: {0}")]
    Forward(#[source] LinkConfigError),
    /// The path from the server to the client (or from B to A) makes no sense.
    #[error("the backward path cannot be built: {0}")]
    Backward(#[source] LinkConfigError),
    /// The two ends of a rendezvous are of different IP versions.
    #[error("the two ends must both be IPv4 or both be IPv6")]
    MixedVersions,
    /// The relay's own UDP port could not be opened.
    #[error("cannot open a UDP port on the loopback for the relay: {0}")]
    Socket(#[source] io::Error),
    /// The forwarding thread could not be started.
    #[error("cannot start the relay's forwarding thread: {0}")]
    Thread(#[source] io::Error),
}

/// The path was not the one that was asked for, so whatever was measured or tested over it is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the relay lost datagrams that nobody planned ({kernel} in its socket buffers, {overflowed} in its own memory, \
     {unsent} that the kernel refused to send, {refused_clients} from too many clients), so this run is invalid: \
     repeat it on an idle machine, at a lower rate, or with a larger receive buffer \
     (sysctl -w net.core.rmem_max=16777216)"
)]
pub struct UnplannedDrops {
    /// Datagrams that the kernel dropped because a receive buffer of the relay was full.
    pub kernel: u64,
    /// Packets that a link without a rate limit had no memory for.
    pub overflowed: u64,
    /// Datagrams that the kernel did not take from the relay.
    pub unsent: u64,
    /// Datagrams from clients beyond the relay's limit.
    pub refused_clients: u64,
}
