//! TCP sockets, as this crate uses them: the only module that opens any.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

/// After this much silence the kernel asks whether the peer is still there. A little below the idle time of common NAT
/// tables for established connections under pressure.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// Between the kernel's questions.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// When nothing of what we have sent is acknowledged for so long, or nothing of it wanted, the connection is dead. Without
/// this the kernel tries for a quarter of an hour.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(120);

/// Whether this host has IPv6.
pub(crate) fn has_ipv6() -> bool {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP)).is_ok_and(|socket| socket.bind(&any.into()).is_ok())
}

/// A listening socket; IPv6 sockets take IPv6 alone, so that IPv4 can have its own on the same port.
///
/// # Errors
///
/// The kernel's.
pub fn listen(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Elsewhere than on Unix this option means sharing the port with strangers.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// The next connection.
///
/// # Errors
///
/// The kernel's; the listener goes on.
///
/// # Cancel safety
///
/// No connection is lost.
pub async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let (stream, _peer) = listener.accept().await?;
    // A peer that has already gone is found out by the first read, not here.
    let _gone = tune(&stream);
    Ok(stream)
}

/// A connection to `address`.
///
/// # Errors
///
/// The kernel's.
pub async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    tune(&stream)?;
    Ok(stream)
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    // HTTP writes heads and bodies in as large pieces as it can; waiting for more only adds a round trip (RFC 896).
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive)
}
