//! Many datagrams in one system call where the path takes no segmented sends: the kernel still works on each, but the call, and
//! what surrounds it, is paid once for a run: docs/performance.md, "What was tried". Linux only; elsewhere each is a call of its own.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6, SockaddrLike, cmsg_space, sendmmsg,
};

use crate::socket::{Addressed, SEGMENTS_MAX};

thread_local! {
    /// Kept to spare allocations, and by thread because they hold pointers, which no driver may carry from thread to thread. Each is
    /// made for the first run that needs it.
    static HEADERS_V4: RefCell<Headers<SockaddrIn>> = const { RefCell::new(Headers::NONE) };
    static HEADERS_V6: RefCell<Headers<SockaddrIn6>> = const { RefCell::new(Headers::NONE) };
}

/// What the kernel wants to be told of each datagram, with and without the address of ours to send it from: control data cannot be
/// left out again.
struct Headers<S> {
    addressed: Option<MultiHeaders<S>>,
    plain: Option<MultiHeaders<S>>,
}

/// Sends the datagrams of `run`, of `segment_bytes` each but the last, at most [`SEGMENTS_MAX`] of them; tells how many bytes have left:
/// at least one datagram.
///
/// # Errors
/// Why the first could not be sent.
pub(crate) fn send(socket: &impl AsRawFd, to: Addressed, run: &[u8], segment_bytes: usize) -> io::Result<usize> {
    match to.remote {
        SocketAddr::V4(remote) => HEADERS_V4.with_borrow_mut(|headers| {
            let source = to.local.and_then(source_v4);
            let from = source.as_ref().map(ControlMessage::Ipv4PacketInfo);
            headers.send(socket, SockaddrIn::from(remote), from.as_slice(), run, segment_bytes)
        }),
        SocketAddr::V6(remote) => HEADERS_V6.with_borrow_mut(|headers| {
            let source = to.local.and_then(source_v6);
            let from = source.as_ref().map(ControlMessage::Ipv6PacketInfo);
            headers.send(socket, SockaddrIn6::from(remote), from.as_slice(), run, segment_bytes)
        }),
    }
}

impl<S: SockaddrLike + Copy> Headers<S> {
    const NONE: Self = Self { addressed: None, plain: None };

    fn send(
        &mut self,
        socket: &impl AsRawFd,
        to: S,
        from: &[ControlMessage<'_>],
        run: &[u8],
        segment_bytes: usize,
    ) -> io::Result<usize> {
        let mut segments = run.chunks(segment_bytes);
        let slices: [_; SEGMENTS_MAX] = std::array::from_fn(|_| [IoSlice::new(segments.next().unwrap_or_default())]);
        let datagrams = run.len().div_ceil(segment_bytes).min(SEGMENTS_MAX);
        let to = [Some(to); SEGMENTS_MAX];
        let headers = match from {
            [] => self.plain.get_or_insert_with(|| MultiHeaders::preallocate(SEGMENTS_MAX, None)),
            [from, ..] => self.addressed.get_or_insert_with(|| {
                MultiHeaders::preallocate(SEGMENTS_MAX, Some(Vec::with_capacity(control_bytes(from))))
            }),
        };
        let sent = sendmmsg(socket.as_raw_fd(), headers, &slices[..datagrams], to, from, MsgFlags::empty())?;
        // How many there are is all that may be asked of them: nix fills in no addresses of what was sent.
        Ok((sent.count() * segment_bytes).min(run.len()))
    }
}

fn control_bytes(message: &ControlMessage<'_>) -> usize {
    match message {
        ControlMessage::Ipv6PacketInfo(_) => cmsg_space::<in6_pktinfo>(),
        _ => cmsg_space::<in_pktinfo>(),
    }
}

fn source_v4(local: IpAddr) -> Option<in_pktinfo> {
    let IpAddr::V4(local) = local else { return None };
    let address = in_addr { s_addr: u32::from_ne_bytes(local.octets()) };
    Some(in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: address, ipi_addr: in_addr { s_addr: 0 } })
}

fn source_v6(local: IpAddr) -> Option<in6_pktinfo> {
    let IpAddr::V6(local) = local else { return None };
    Some(in6_pktinfo { ipi6_addr: in6_addr { s6_addr: local.octets() }, ipi6_ifindex: 0 })
}
