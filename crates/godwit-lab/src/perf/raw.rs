//! UDP with nothing above it, both ends, as hidden commands of this program: what the kernel itself can do.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{UdpGroSegment, UdpGsoSegment};
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};

/// Of a packet of 1500 bytes.
const PAYLOAD_BYTES: usize = 1472;
/// The kernel's limit of a call.
const CALL_BYTES_MAX: usize = 65_507;
const SOCKET_BUFFER_BYTES: usize = 8 << 20;
/// The receiver takes it for the end when nothing comes for so long.
const SILENCE: Duration = Duration::from_millis(300);
/// Nobody comes.
const FIRST_TIME_MAX: Duration = Duration::from_secs(20);

/// Receives at `listen` until nothing comes any more, and prints what came.
///
/// # Errors
/// The socket's.
pub fn sink(listen: SocketAddr) -> io::Result<()> {
    let socket = open(listen)?;
    setsockopt(&socket, UdpGroSegment, &true)?;
    println!("listening on {}", socket.local_addr()?);
    let mut buffer = vec![0; 1 << 16];
    socket.set_read_timeout(Some(FIRST_TIME_MAX))?;
    let mut bytes = socket.recv(&mut buffer)? as u64;
    let first = Instant::now();
    let mut last = first;
    socket.set_read_timeout(Some(SILENCE))?;
    loop {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                bytes += length as u64;
                last = Instant::now();
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    println!("received bytes={bytes} elapsed_us={}", (last - first).as_micros());
    Ok(())
}

/// Sends to `target` as fast as the kernel takes it, `segments` datagrams in a call.
///
/// # Errors
/// The socket's.
pub fn source(target: SocketAddr, segments: usize, duration: Duration) -> io::Result<()> {
    let socket = open((Ipv4Addr::UNSPECIFIED, 0).into())?;
    socket.connect(target)?;
    let call_bytes = (segments.max(1) * PAYLOAD_BYTES).min(CALL_BYTES_MAX / PAYLOAD_BYTES * PAYLOAD_BYTES);
    if segments > 1 {
        setsockopt(&socket, UdpGsoSegment, &(PAYLOAD_BYTES as i32))?;
    }
    let buffer = vec![0x5a; call_bytes];
    let started = Instant::now();
    while started.elapsed() < duration {
        match socket.send(&buffer) {
            Ok(_) => {}
            // A device's queue is full: that one is lost.
            Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn open(local: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(local)?;
    // The kernel gives less if it must.
    let _ = set_socket_recv_buffer_size(&socket, SOCKET_BUFFER_BYTES);
    let _ = set_socket_send_buffer_size(&socket, SOCKET_BUFFER_BYTES);
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_cross_the_loopback() {
        let address = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr()).expect("a port");
        let receiving = std::thread::spawn(move || sink(address));
        // Until it listens, nobody is there: the source fails or sends in vain.
        while !receiving.is_finished() {
            let _ = source(address, 44, Duration::from_millis(5));
            std::thread::sleep(SILENCE * 2);
        }
        receiving.join().expect("no panic").expect("received");
    }
}
