//! The emulator's thread: read what the hosts send, push it into a link, wait for what is due, write it to the host it is for.

use std::io::{self, PipeReader, PipeWriter, Read};
use std::num::NonZeroU64;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use godwit_relay::{Link, LinkConfig, LinkConfigError, LinkCounters};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};

use super::NetworkConfig;
use super::addressing::{Side, destination};
use super::error::NetworkError;
use super::port::{Port, Segments};
use super::tally::{Distribution, Tally};

/// Packets, each perhaps to be segmented, taken from one device before the others, and the links, get their turn: 64 take about 100 µs.
const READ_BURST: usize = 64;
/// Packets written per direction before the devices are read again: a write carries its packets through the receiver's whole kernel.
const WRITE_BURST: usize = 64;
/// How long the emulator sleeps while packets flow. To sleep and wake up costs as much as several packets, in a virtual machine as many as ten.
const NAP: Duration = Duration::from_micros(100);
/// What the emulator itself takes on average, half in noticing a packet and half in handing it over. It is taken off the delay of the path, so
/// that the whole is as long as asked for.
const OWN_LATENCY: Duration = Duration::from_micros(100);
/// Requests that wait, each with one byte in the pipe: as many as there are threads that ask.
const REQUESTS_MAX: usize = 64;
/// The lowest of the real-time priorities: it goes before every ordinary program, and not before the machine's own watchdogs.
const REAL_TIME_PRIORITY: u8 = 1;
/// Where real-time priorities are not to be had.
const NICENESS: i32 = -20;

/// A packet on its way.
#[derive(Debug, Clone)]
pub(crate) struct Parcel {
    bytes: Box<[u8]>,
    leaves_by: usize,
}

/// What the handle asks of the thread.
#[derive(Debug)]
pub(crate) enum Request {
    /// Everything counted since the last time.
    Read(mpsc::SyncSender<Reading>),
    /// The direction that begins at that side is another path from now on.
    Reconfigure(Side, Box<LinkConfig>, mpsc::SyncSender<Result<(), LinkConfigError>>),
}

/// An interval as the thread saw it, forward first.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) at: Instant,
    pub(crate) directions: [(Tally, LinkCounters); 2],
    /// CPU time since the thread began.
    pub(crate) cpu: Duration,
}

pub(crate) struct Emulator {
    /// The hosts on the left, then those on the right.
    ports: Vec<Port>,
    hosts_left: usize,
    /// Forward and reverse.
    links: [Link<Parcel>; 2],
    tallies: [Tally; 2],
    requests: mpsc::Receiver<Request>,
    /// One byte for each request; closed to end the thread.
    wake: PipeReader,
}

/// How to reach the thread, and to end it by dropping this.
#[derive(Debug)]
pub(crate) struct Reins {
    // In this order, in which they are dropped: the thread wakes up when its pipe is closed, and has to find the channel closed by then.
    pub(crate) requests: mpsc::SyncSender<Request>,
    pub(crate) wake: PipeWriter,
}

impl Emulator {
    /// Between `ports`, those on the left first.
    ///
    /// # Errors
    /// A configuration that describes no path, or no pipe.
    pub(crate) fn new(config: &NetworkConfig, ports: Vec<Port>) -> Result<(Self, Reins), NetworkError> {
        let [(forward, forward_start), (reverse, reverse_start)] =
            [config.forward, config.reverse].map(with_head_start);
        let forward = Link::new(forward, config.seed).map_err(NetworkError::Forward)?;
        // Another sequence than the forward link's, from the same seed.
        let reverse = Link::new(reverse, !config.seed).map_err(NetworkError::Reverse)?;
        let tallies = [forward_start, reverse_start].map(|head_start| Tally { head_start, ..Tally::default() });
        let (requests, requested) = mpsc::sync_channel(REQUESTS_MAX);
        let (woken, wake) = io::pipe().map_err(NetworkError::Thread)?;
        let links = [forward, reverse];
        let emulator = Self { ports, hosts_left: config.hosts_left, links, tallies, requests: requested, wake: woken };
        Ok((emulator, Reins { requests, wake }))
    }

    /// Forwards until the handle is dropped.
    pub(crate) fn run(mut self) {
        hurry();
        let mut room = Segments::default();
        while self.answer() {
            let read = self.read(&mut room);
            let written = self.deliver();
            if read + written > 0 {
                thread::sleep(NAP);
            } else if self.wait().is_err() {
                return;
            }
        }
    }

    /// Waits for packets, requests, or the next packet due.
    fn wait(&self) -> io::Result<()> {
        let next_due = self.links.iter().filter_map(Link::next_due).min();
        let timeout = next_due.map(|due| timespec(due.saturating_duration_since(Instant::now())));
        let mut waiting: Vec<_> = self.ports.iter().map(|port| PollFd::new(port, PollFlags::IN)).collect();
        waiting.push(PollFd::new(&self.wake, PollFlags::IN));
        match poll(&mut waiting, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if waiting.last().is_some_and(|wake| !wake.revents().is_empty()) {
            // What is asked stands in the channel; an end shows there, too.
            let _ = (&self.wake).read(&mut [0; REQUESTS_MAX]);
        }
        Ok(())
    }

    /// False: the handle is gone.
    fn answer(&mut self) -> bool {
        loop {
            // Whoever asked may have gone.
            match self.requests.try_recv() {
                Ok(Request::Read(reply)) => {
                    let _ = reply.send(self.reading());
                }
                Ok(Request::Reconfigure(from, config, reply)) => {
                    let _ = reply.send(self.reconfigure(direction(from), *config));
                }
                Err(mpsc::TryRecvError::Empty) => return true,
                Err(mpsc::TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn reconfigure(&mut self, direction: usize, config: LinkConfig) -> Result<(), LinkConfigError> {
        let (config, head_start) = with_head_start(config);
        self.links[direction].reconfigure(Instant::now(), config)?;
        self.tallies[direction].head_start = head_start;
        Ok(())
    }

    fn reading(&mut self) -> Reading {
        let [forward, reverse] = &mut self.tallies;
        let [forward_link, reverse_link] = [self.links[0].counters(), self.links[1].counters()];
        let directions = [(forward.take(forward_link), forward_link), (reverse.take(reverse_link), reverse_link)];
        Reading { at: Instant::now(), directions, cpu: thread_cpu() }
    }

    /// Takes what the hosts have sent; says how many packets.
    fn read(&mut self, room: &mut Segments) -> usize {
        let mut read = 0;
        for port in 0..self.ports.len() {
            let from = self.ports[port].side();
            for _ in 0..READ_BURST {
                match self.ports[port].receive(room) {
                    Ok(packets) => packets.for_each(|packet| self.enter(from, packet)),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => self.tallies[direction(from)].unread += 1,
                }
                read += 1;
            }
        }
        read
    }

    fn enter(&mut self, from: Side, packet: &[u8]) {
        let Some(leaves_by) = self.port_of(from, packet) else { return };
        let now = Instant::now();
        let (link, tally) = (&mut self.links[direction(from)], &mut self.tallies[direction(from)]);
        tally.entered_bytes += packet.len() as u64;
        tally.queue_delay.record(link.queue_delay(now));
        link.push(now, Parcel { bytes: packet.into(), leaves_by }, packet.len());
    }

    /// Where a packet leaves that came from that side. Only hosts of the other side can be reached: two of one side have no path between them.
    fn port_of(&self, from: Side, packet: &[u8]) -> Option<usize> {
        let (side, host) = destination(packet)?;
        let (first, hosts) = match side {
            Side::Left => (0, self.hosts_left),
            Side::Right => (self.hosts_left, self.ports.len() - self.hosts_left),
        };
        (side != from && host < hosts).then_some(first + host)
    }

    /// Hands over what has arrived; says how many packets.
    fn deliver(&mut self) -> usize {
        let mut written = 0;
        for (link, tally) in self.links.iter_mut().zip(&mut self.tallies) {
            let now = Instant::now();
            for _ in 0..WRITE_BURST {
                let Some((parcel, due)) = link.pop_due_at(now) else { break };
                tally.lateness.record(now.saturating_duration_since(due + tally.head_start));
                tally.left_bytes += parcel.bytes.len() as u64;
                tally.unsent += self.ports[parcel.leaves_by].send(&parcel.bytes);
                written += 1;
            }
        }
        for port in &mut self.ports {
            self.tallies[direction(port.side().other())].unsent += port.flush();
        }
        written
    }
}

impl Reading {
    /// How late packets left, in both directions.
    pub(crate) fn lateness(&self) -> Distribution {
        let [(forward, _), (reverse, _)] = &self.directions;
        forward.lateness.merged(&reverse.lateness)
    }
}

/// The thread becomes as exact as it can: a wire does not wait until the programs at its ends leave it a core. Without one of these it is only
/// that much less exact, which the calibration tells.
fn hurry() {
    // Some 50 µs closer to the time asked for.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    let priority = REAL_TIME_PRIORITY.try_into().map(ThreadPriority::Crossplatform);
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let is_real_time =
        priority.is_ok_and(|priority| set_thread_priority_and_policy(thread_native_id(), priority, policy).is_ok());
    if !is_real_time {
        let _ = rustix::process::setpriority_process(None, NICENESS);
    }
}

/// The path for the link, and how much earlier than asked packets come out of it.
fn with_head_start(config: LinkConfig) -> (LinkConfig, Duration) {
    let head_start = OWN_LATENCY.min(config.delay);
    (LinkConfig { delay: config.delay - head_start, ..config }, head_start)
}

fn direction(from: Side) -> usize {
    match from {
        Side::Left => 0,
        Side::Right => 1,
    }
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn timespec(duration: Duration) -> Timespec {
    // More seconds than fit are as good as for ever.
    let tv_sec = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    Timespec { tv_sec, tv_nsec: duration.subsec_nanos().into() }
}
