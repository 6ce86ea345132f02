//! The relay's thread: receive, judge, push into a link, wait for what is due, send.

use std::{
    io::{self, PipeReader},
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{
    Direction, Filter, Link, LinkCounters, UnplannedDrops, Verdict,
    drops::DropCounter,
    routes::{Hop, NoHop, Port, Routes},
};

/// Datagrams taken from one socket before the others, and the links, get their turn: 64 take about 100 µs.
const RECEIVE_BURST: usize = 64;

/// How long to wait when the kernel does not take a datagram, before counting it as unsent.
const SEND_WAIT_MAX: Duration = Duration::from_millis(10);

/// The largest UDP payload.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// What a relay has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RelayStats {
    /// From the client to the server, or from A to B.
    pub forward: LinkCounters,
    /// From the server to the client, or from B to A.
    pub backward: LinkCounters,
    /// Datagrams that the filter dropped, forward and backward.
    pub filtered: [u64; 2],
    /// Datagrams from strangers, and those to an end of a rendezvous that has not been heard yet.
    pub stray: u64,
    /// Datagrams that the kernel dropped because a receive buffer of the relay was full; `None` where it does not tell.
    pub kernel_drops: Option<u64>,
    /// Datagrams that the kernel did not take from the relay.
    pub unsent: u64,
    /// Datagrams from clients beyond the relay's limit.
    pub refused_clients: u64,
}

impl RelayStats {
    /// Whether the path was the one asked for so far.
    ///
    /// # Errors
    /// Datagrams were lost that nobody planned; whatever was tested or measured over this relay is invalid.
    pub fn check(&self) -> Result<(), UnplannedDrops> {
        let drops = UnplannedDrops {
            kernel: self.kernel_drops.unwrap_or(0),
            overflowed: self.forward.overflowed + self.backward.overflowed,
            unsent: self.unsent,
            refused_clients: self.refused_clients,
        };
        if self.unplanned_drops() == 0 { Ok(()) } else { Err(drops) }
    }

    /// Datagrams lost that nobody planned, of all causes.
    pub fn unplanned_drops(&self) -> u64 {
        let links = self.forward.overflowed + self.backward.overflowed;
        self.kernel_drops.unwrap_or(0) + links + self.unsent + self.refused_clients
    }
}

/// What the thread and the handle share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) stats: Mutex<RelayStats>,
    /// `None` where the kernel does not count.
    pub(crate) drops: Mutex<Option<DropCounter>>,
}

pub(crate) struct Worker {
    pub(crate) ports: Vec<UdpSocket>,
    pub(crate) routes: Routes,
    pub(crate) links: [Link<Parcel>; 2],
    pub(crate) filter: Option<Filter>,
    /// Bytes that IP and UDP add to each datagram on the wire.
    pub(crate) header_bytes: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) stats: RelayStats,
    /// Closed by the handle to end the thread.
    pub(crate) stop: PipeReader,
}

/// A datagram on its way.
#[derive(Debug, Clone)]
pub(crate) struct Parcel {
    bytes: Bytes,
    leaves_by: Port,
    to: SocketAddr,
}

impl Worker {
    /// Forwards until the handle is dropped, or the kernel fails to wait.
    pub(crate) fn run(mut self) {
        // Wakes some 50 µs closer to the time asked for; without it the relay is only that much less exact.
        #[cfg(target_os = "linux")]
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        let mut due = Vec::new();
        while let Ok(Some(readable)) = self.wait() {
            for port in readable {
                self.receive(port, &mut buffer);
            }
            self.take_due(&mut due);
            // Published before they are sent: whoever has received a datagram finds it counted.
            self.publish();
            for parcel in due.drain(..) {
                self.send(&parcel);
            }
        }
        self.publish();
    }

    /// Waits for datagrams or for the next packet due. `None`: the handle was dropped.
    fn wait(&self) -> io::Result<Option<Vec<Port>>> {
        let next_due = self.links.iter().filter_map(Link::next_due).min();
        let timeout = next_due.map(|due| timespec(due.saturating_duration_since(Instant::now())));
        let mut waiting: Vec<_> = self.ports.iter().map(|port| PollFd::new(port, PollFlags::IN)).collect();
        waiting.push(PollFd::new(&self.stop, PollFlags::IN));
        match poll(&mut waiting, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let stop = waiting.pop().is_some_and(|stop| !stop.revents().is_empty());
        let ready = waiting.iter().enumerate().filter(|(_, port)| !port.revents().is_empty());
        Ok((!stop).then(|| ready.map(|(port, _)| port).collect()))
    }

    fn receive(&mut self, port: Port, buffer: &mut [u8]) {
        for _ in 0..RECEIVE_BURST {
            // WouldBlock ends the burst; any other error (an ICMP message) belongs to an earlier datagram.
            let Ok((length, source)) = self.ports[port].recv_from(buffer) else { return };
            self.enter(port, source, &buffer[..length]);
        }
    }

    fn enter(&mut self, port: Port, source: SocketAddr, datagram: &[u8]) {
        let (ports, shared) = (&mut self.ports, &self.shared);
        let open_port = |socket: UdpSocket| {
            if let Some(drops) = lock(&shared.drops).as_mut() {
                // Fails only without descriptors; then this socket's drops stay unseen, as on other systems.
                let _ = drops.watch(&socket);
            }
            ports.push(socket);
            ports.len() - 1
        };
        match self.routes.hop(port, source, open_port) {
            Ok(hop) => self.push(hop, datagram),
            Err(NoHop::Stray) => self.stats.stray += 1,
            Err(NoHop::ClientRefused) => self.stats.refused_clients += 1,
        }
    }

    fn push(&mut self, hop: Hop, datagram: &[u8]) {
        let index = usize::from(hop.direction == Direction::Backward);
        let held = match self.filter.as_mut().map_or(Verdict::Pass, |filter| filter(datagram, hop.direction)) {
            Verdict::Pass => Duration::ZERO,
            Verdict::Delay(held) => held,
            Verdict::Drop => {
                self.stats.filtered[index] += 1;
                return;
            }
        };
        let parcel = Parcel { bytes: Bytes::copy_from_slice(datagram), leaves_by: hop.leaves_by, to: hop.to };
        let length_bytes = datagram.len() + self.header_bytes;
        self.links[index].push_held(Instant::now(), parcel, length_bytes, held);
    }

    fn take_due(&mut self, due: &mut Vec<Parcel>) {
        let now = Instant::now();
        for link in &mut self.links {
            due.extend(std::iter::from_fn(|| link.pop_due(now)));
        }
    }

    fn send(&mut self, parcel: &Parcel) {
        let port = &self.ports[parcel.leaves_by];
        let mut sent = port.send_to(&parcel.bytes, parcel.to);
        if sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            let mut writable = [PollFd::new(port, PollFlags::OUT)];
            let _ = poll(&mut writable, Some(&timespec(SEND_WAIT_MAX)));
            sent = port.send_to(&parcel.bytes, parcel.to);
        }
        self.stats.unsent += u64::from(sent.is_err());
    }

    fn publish(&mut self) {
        self.stats.forward = self.links[0].counters();
        self.stats.backward = self.links[1].counters();
        *lock(&self.shared.stats) = self.stats;
    }
}

/// The data behind these locks is replaced whole, so a panic elsewhere leaves it usable.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn timespec(duration: Duration) -> Timespec {
    // More seconds than fit are as good as for ever.
    let tv_sec = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    Timespec { tv_sec, tv_nsec: duration.subsec_nanos().into() }
}
