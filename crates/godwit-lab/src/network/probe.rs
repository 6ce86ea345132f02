//! Measuring packets from host to host: a paced blast in one direction, and pings. Plain UDP over IPv4.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroU64;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use godwit_relay::udp_drops_on_port;
use nix::sys::socket::sockopt::{ReceiveTimestampns, UdpGsoSegment};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;

use super::error::CalibrationError;
use super::host::Host;

/// What IP and UDP add to a payload.
pub(crate) const HEADER_BYTES: usize = 20 + 8;
/// A blast wakes up so often and sends what has become due: shorter, and a core does nothing but wake up.
const PACE: Duration = Duration::from_micros(100);
/// Packets in one call: the most of older kernels is 64.
const BATCH: usize = 40;
/// How often a receiver looks whether it is over.
const RECEIVE_WAIT: Duration = Duration::from_millis(20);
/// A receiver goes on so long beyond the last packet that can still arrive.
const GRACE: Duration = Duration::from_millis(200);
/// The receive buffer: 100 ms at 1 Gbit/s, with the kernel's own share of two thirds.
const RECEIVE_BUFFER_BYTES: usize = 32 << 20;
/// Of the threads that measure. The emulator goes before them.
const NICENESS: i32 = -19;
/// The payload of a ping: its number.
const PING_BYTES: usize = 8;
/// The largest payload of a probe.
const PAYLOAD_BYTES_MAX: usize = 65_507;

/// What to send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlastPlan {
    /// Including IP headers.
    pub(crate) rate_bits_per_s: f64,
    /// Size of the IP packets.
    pub(crate) packet_bytes: usize,
    pub(crate) packets: usize,
    /// What would be due after that time goes out at once.
    pub(crate) ahead: Duration,
    /// The longest way from host to host.
    pub(crate) one_way_max: Duration,
}

/// What became of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blast {
    pub(crate) sent: u64,
    /// From the first packet to the last.
    pub(crate) sending_time: Duration,
    /// Without duplicates.
    pub(crate) received: u64,
    pub(crate) receiving_time: Duration,
    /// Packets that reached the receiver, which did not read them in time.
    pub(crate) unread: u64,
}

/// Sends as planned, waits for the last packet, and counts.
pub(crate) fn blast(from: &Host, to: &Host, plan: BlastPlan) -> Result<Blast, CalibrationError> {
    let receiver = open(to)?;
    setsockopt(&receiver, ReceiveTimestampns, &true).map_err(|error| CalibrationError::Probe(error.into()))?;
    let target = receiver.local_addr().map_err(CalibrationError::Probe)?;
    let sender = open(from)?;
    sender.connect(target).map_err(CalibrationError::Probe)?;
    let sent_at = OnceLock::new();
    let (sending, (received, receiving_time)) = thread::scope(|scope| {
        let receiving = scope.spawn(|| receive(&receiver, plan, &sent_at));
        let sending = send(&sender, plan);
        sent_at.get_or_init(Instant::now);
        (sending, receiving.join().expect("the receiver does not panic"))
    });
    let unread = to.run(|| udp_drops_on_port(target)).and_then(|drops| drops).map_err(CalibrationError::Probe)?;
    let sending_time = sending.map_err(CalibrationError::Probe)?;
    Ok(Blast { sent: plan.packets as u64, sending_time, received, receiving_time, unread })
}

/// Sends `count` pings and returns the round-trip times of those that came back within `wait` of the last.
pub(crate) fn ping(
    from: &Host,
    to: &Host,
    count: u64,
    interval: Duration,
    wait: Duration,
) -> Result<Vec<Duration>, CalibrationError> {
    let echo = open(to)?;
    let pinger = open(from)?;
    pinger.connect(echo.local_addr().map_err(CalibrationError::Probe)?).map_err(CalibrationError::Probe)?;
    let is_over = OnceLock::new();
    thread::scope(|scope| {
        scope.spawn(|| answer_until(&echo, &is_over));
        let times = ping_all(&pinger, count, interval, wait);
        is_over.get_or_init(Instant::now);
        times.map_err(CalibrationError::Probe)
    })
}

/// The IP bytes of a ping, there and back each.
pub(crate) fn ping_packet_bytes() -> usize {
    PING_BYTES + HEADER_BYTES
}

fn open(host: &Host) -> Result<UdpSocket, CalibrationError> {
    let address = SocketAddr::new(host.addr(), 0);
    let bound = host.run(|| UdpSocket::bind(address)).and_then(|bound| bound);
    let socket = bound.map_err(CalibrationError::Probe)?;
    set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER_BYTES).map_err(|e| CalibrationError::Probe(e.into()))?;
    socket.set_read_timeout(Some(RECEIVE_WAIT)).map_err(CalibrationError::Probe)?;
    Ok(socket)
}

fn send(socket: &UdpSocket, plan: BlastPlan) -> io::Result<Duration> {
    hurry();
    let payload_bytes = plan.packet_bytes - HEADER_BYTES;
    // Segmented by the device, or the sender would be what is measured. Linux has it since 4.18.
    setsockopt(socket, UdpGsoSegment, &i32::try_from(payload_bytes).unwrap_or(i32::MAX))?;
    let mut payload = vec![0; payload_bytes * BATCH.min(PAYLOAD_BYTES_MAX / payload_bytes)];
    let packets_per_s = plan.rate_bits_per_s / (plan.packet_bytes as f64 * 8.0);
    let ahead = (plan.ahead.as_secs_f64() * packets_per_s) as usize;
    let start = Instant::now();
    let mut sent = 0;
    while sent < plan.packets {
        let due = (start.elapsed().as_secs_f64() * packets_per_s) as usize + 1 + ahead;
        while sent < due.min(plan.packets) {
            let count = (due.min(plan.packets) - sent).min(payload.len() / payload_bytes);
            for (number, packet) in (sent as u64..).zip(payload.chunks_mut(payload_bytes).take(count)) {
                packet[..8].copy_from_slice(&number.to_be_bytes());
            }
            socket.send(&payload[..count * payload_bytes])?;
            sent += count;
        }
        let next = Duration::from_secs_f64(sent.saturating_sub(ahead) as f64 / packets_per_s);
        thread::sleep(PACE.max(next.saturating_sub(start.elapsed())));
    }
    Ok(start.elapsed())
}

/// Counts each number once, until all have come or none can come any more. The kernel says when they came: this thread may have to wait for a core.
fn receive(socket: &UdpSocket, plan: BlastPlan, sent_at: &OnceLock<Instant>) -> (u64, Duration) {
    hurry();
    let mut buffer = vec![0; PAYLOAD_BYTES_MAX];
    let mut is_here = vec![false; plan.packets];
    let mut received = 0;
    let mut between: Option<(Duration, Duration)> = None;
    let is_over = || sent_at.get().is_some_and(|sent_at| sent_at.elapsed() > plan.one_way_max + GRACE);
    while received < plan.packets as u64 && !is_over() {
        // A timeout, to look at the clock.
        let Ok((length_bytes, came_at)) = receive_stamped(socket, &mut buffer) else { continue };
        let Some(number) = number(&buffer[..length_bytes]) else { continue };
        let Some(seen) = usize::try_from(number).ok().and_then(|number| is_here.get_mut(number)) else { continue };
        received += u64::from(!*seen);
        *seen = true;
        between = Some((between.map_or(came_at, |(first, _)| first), came_at));
    }
    (received, between.map_or(Duration::ZERO, |(first, last)| last.saturating_sub(first)))
}

/// A datagram's length, and when it came, on the clock of the wall.
fn receive_stamped(socket: &UdpSocket, buffer: &mut [u8]) -> nix::Result<(usize, Duration)> {
    let mut control = nix::cmsg_space!(nix::sys::time::TimeSpec);
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())?;
    let stamp = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::ScmTimestampns(stamp) => Some(Duration::from(stamp)),
        _ => None,
    });
    Ok((message.bytes, stamp.ok_or(nix::Error::ENODATA)?))
}

fn answer_until(echo: &UdpSocket, is_over: &OnceLock<Instant>) {
    hurry();
    let mut buffer = [0; PING_BYTES];
    while is_over.get().is_none() {
        if let Ok((length_bytes, source)) = echo.recv_from(&mut buffer) {
            // A ping without an answer is a lost one.
            let _ = echo.send_to(&buffer[..length_bytes], source);
        }
    }
}

fn ping_all(socket: &UdpSocket, count: u64, interval: Duration, wait: Duration) -> io::Result<Vec<Duration>> {
    hurry();
    let mut sent_at = Vec::new();
    let mut times = Vec::new();
    for sequence in 0..count {
        sent_at.push(Instant::now());
        socket.send(&sequence.to_be_bytes())?;
        collect(socket, &sent_at, Instant::now() + interval, &mut times)?;
    }
    collect(socket, &sent_at, Instant::now() + wait, &mut times)?;
    Ok(times)
}

fn collect(socket: &UdpSocket, sent_at: &[Instant], until: Instant, times: &mut Vec<Duration>) -> io::Result<()> {
    let mut buffer = [0; PING_BYTES];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        socket.set_read_timeout(Some(left))?;
        let Ok(length_bytes) = socket.recv(&mut buffer) else { continue };
        let now = Instant::now();
        let sent = number(&buffer[..length_bytes]).and_then(|number| sent_at.get(usize::try_from(number).ok()?));
        times.extend(sent.map(|&sent| now - sent));
    }
}

/// It is the path that is measured, and not how busy the machine is with other programs.
fn hurry() {
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

fn number(payload: &[u8]) -> Option<u64> {
    payload.first_chunk().map(|number| u64::from_be_bytes(*number))
}
