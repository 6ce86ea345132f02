//! What a peer is told to do.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Parser, ValueEnum};
use godwit_interop::{Content, Library};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Load the library and leave.
    Check,
    /// Receive until the connection is over, or until `--expect`.
    Recv,
    /// Send the content.
    Send,
    /// Both at the same time.
    Both,
    /// Send back what is received.
    Echo,
    /// Nothing.
    Idle,
}

/// One end of a UDT connection by the C++ library.
#[derive(Debug, Parser)]
#[command(group(clap::ArgGroup::new("address").args(["listen", "connect"])))]
pub(crate) struct Arguments {
    #[arg(value_enum)]
    pub(crate) role: Role,
    /// `bundled` or `debian`.
    #[arg(long, default_value = "bundled")]
    pub(crate) library: Library,
    /// Accept one connection here.
    #[arg(long)]
    pub(crate) listen: Option<SocketAddr>,
    /// Connect to this address.
    #[arg(long)]
    pub(crate) connect: Option<SocketAddr>,
    /// The local address to connect from.
    #[arg(long)]
    pub(crate) bind: Option<SocketAddr>,
    /// Meet the peer in rendezvous mode.
    #[arg(long, requires = "bind", requires = "connect")]
    pub(crate) rendezvous: bool,
    /// Connect without blocking.
    #[arg(long)]
    pub(crate) non_blocking: bool,

    /// Decides the content to send.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Bytes to send.
    #[arg(long, default_value_t = 0)]
    bytes: u64,
    /// Stop sending after this time, even in the middle of the content.
    #[arg(long)]
    pub(crate) seconds: Option<f64>,
    /// Send one block of the content again and again, and count what is received without looking at it: for measurements.
    #[arg(long, conflicts_with_all = ["message_bytes", "sendfile"])]
    pub(crate) unchecked: bool,
    /// Send this file instead of the content.
    #[arg(long, conflicts_with_all = ["message_bytes", "sendfile", "unchecked"])]
    pub(crate) input: Option<PathBuf>,
    /// Write what is received to this file.
    #[arg(long)]
    pub(crate) output: Option<PathBuf>,
    /// Bytes to receive; without it, until the connection is over.
    #[arg(long)]
    pub(crate) expect: Option<u64>,
    /// Messages of this size instead of a stream.
    #[arg(long)]
    pub(crate) message_bytes: Option<usize>,
    /// Messages in order.
    #[arg(long)]
    pub(crate) in_order: bool,
    /// Bytes per call of send and recv.
    #[arg(long, default_value_t = 64 << 10)]
    pub(crate) chunk: usize,
    /// Read no faster than this, in bytes per second.
    #[arg(long)]
    pub(crate) slow_read: Option<u64>,
    /// Send by sendfile.
    #[arg(long)]
    pub(crate) sendfile: bool,
    /// Keep the connection open after the transfer until standard input closes.
    #[arg(long)]
    pub(crate) hold: bool,
    /// Print the performance counters before closing.
    #[arg(long)]
    pub(crate) perfmon: bool,

    #[command(flatten)]
    pub(crate) options: SocketOptions,
}

/// Options of libudt, in its units.
#[derive(Debug, clap::Args)]
pub(crate) struct SocketOptions {
    /// UDT_MSS, bytes.
    #[arg(long)]
    pub(crate) mss: Option<i32>,
    /// UDT_FC, packets.
    #[arg(long)]
    pub(crate) fc: Option<i32>,
    /// UDT_RCVBUF, bytes.
    #[arg(long)]
    pub(crate) rcvbuf: Option<i32>,
    /// UDT_SNDBUF, bytes.
    #[arg(long)]
    pub(crate) sndbuf: Option<i32>,
    /// UDP_RCVBUF, bytes.
    #[arg(long)]
    pub(crate) udp_rcvbuf: Option<i32>,
    /// UDT_MAXBW, bytes per second.
    #[arg(long)]
    pub(crate) max_rate: Option<i64>,
    /// UDT_LINGER, seconds; 0 is off.
    #[arg(long)]
    pub(crate) linger: Option<u16>,
}

impl Arguments {
    pub(crate) fn content(&self) -> Content {
        Content::new(self.seed, self.bytes)
    }
}
