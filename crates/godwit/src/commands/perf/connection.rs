//! A connection of either transport, as far as a test needs it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use godwit_http::{Transport, tcp_info};
use godwit_udt::{Endpoint, Stream};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;

/// Bytes thrown away before the task looks at its clock and lets others run.
const DISCARD_BYTES_MAX: u64 = 1 << 20;
/// One read of a TCP socket; UDT's bytes are thrown away where they are.
const SCRATCH_BYTES: usize = 256 << 10;

/// An open connection. Dropping it ends it at once, and what has not arrived is lost.
#[derive(Debug)]
pub(super) enum Connection {
    Udt { stream: Box<Stream>, endpoint: Endpoint },
    Tcp { stream: TcpStream, peer: SocketAddr, scratch: Vec<u8> },
}

/// What the transport counted since the connection began. Nothing where it does not tell.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub(super) sent_packets: Option<u64>,
    pub(super) retransmitted_packets: Option<u64>,
    pub(super) rtt: Option<Duration>,
    pub(super) duplicate_packets: Option<u64>,
}

impl Connection {
    pub(super) fn udt(stream: Stream, endpoint: Endpoint) -> Self {
        Self::Udt { stream: Box::new(stream), endpoint }
    }

    /// # Errors
    /// The connection has already ended.
    pub(super) fn tcp(stream: TcpStream) -> io::Result<Self> {
        Ok(Self::Tcp { peer: stream.peer_addr()?, stream, scratch: Vec::new() })
    }

    pub(super) fn transport(&self) -> Transport {
        match self {
            Self::Udt { .. } => Transport::Udt,
            Self::Tcp { .. } => Transport::Tcp,
        }
    }

    pub(super) fn peer(&self) -> SocketAddr {
        match self {
            Self::Udt { stream, .. } => stream.peer_addr(),
            Self::Tcp { peer, .. } => *peer,
        }
    }

    /// Takes the beginning of `data`, at least one byte of it, once there is room.
    pub(super) fn poll_write(&mut self, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Udt { stream, .. } => stream.poll_write_chunk(context, data).map_err(io::Error::from),
            Self::Tcp { stream, .. } => Pin::new(stream).poll_write(context, data),
        }
    }

    /// The next bytes, how many; 0 at the end.
    pub(super) fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(match self {
            Self::Udt { stream, .. } => Pin::new(&mut **stream).poll_read(context, &mut buffer),
            Self::Tcp { stream, .. } => Pin::new(stream).poll_read(context, &mut buffer),
        })?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Throws away what has arrived, at most `bytes_max` (at least 1) and [`DISCARD_BYTES_MAX`], and tells how much that was;
    /// 0 at the end.
    pub(super) fn poll_discard(&mut self, context: &mut Context<'_>, bytes_max: u64) -> Poll<io::Result<u64>> {
        let bytes_max = bytes_max.min(DISCARD_BYTES_MAX);
        let mut discarded = 0;
        while discarded < bytes_max {
            match self.poll_discard_piece(context, bytes_max - discarded) {
                Poll::Ready(Ok(bytes @ 1..)) => discarded += bytes,
                // The end and errors come again.
                _ if discarded > 0 => break,
                ended => return ended,
            }
        }
        Poll::Ready(Ok(discarded))
    }

    pub(super) fn counters(&self) -> Counters {
        match self {
            Self::Udt { stream, .. } => {
                let stats = stream.stats();
                Counters {
                    sent_packets: Some(stats.sender.sent_packets),
                    retransmitted_packets: Some(stats.sender.retransmitted_packets),
                    rtt: Some(stats.rtt),
                    duplicate_packets: Some(stats.receiver.duplicate_packets),
                }
            }
            Self::Tcp { stream, .. } => tcp_info::read(stream).map_or_else(Counters::default, |info| Counters {
                sent_packets: info.sent_segments,
                retransmitted_packets: Some(info.retransmitted_segments),
                rtt: Some(info.rtt),
                duplicate_packets: None,
            }),
        }
    }

    /// Datagrams that the kernel dropped because the receive buffer was full, of this connection's socket; UDT's alone.
    pub(super) fn kernel_drops(&self) -> Option<u64> {
        match self {
            Self::Udt { endpoint, .. } => endpoint.socket_stats().kernel_drops,
            Self::Tcp { .. } => None,
        }
    }

    fn poll_discard_piece(&mut self, context: &mut Context<'_>, bytes_max: u64) -> Poll<io::Result<u64>> {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        match self {
            Self::Udt { stream, .. } => {
                let chunk = ready!(stream.poll_read_chunk(context, bytes_max)).map_err(io::Error::from)?;
                Poll::Ready(Ok(chunk.map_or(0, |chunk| chunk.len() as u64)))
            }
            Self::Tcp { stream, scratch, .. } => {
                scratch.resize(SCRATCH_BYTES, 0);
                let mut buffer = ReadBuf::new(&mut scratch[..bytes_max.min(SCRATCH_BYTES)]);
                ready!(Pin::new(stream).poll_read(context, &mut buffer))?;
                Poll::Ready(Ok(buffer.filled().len() as u64))
            }
        }
    }
}
