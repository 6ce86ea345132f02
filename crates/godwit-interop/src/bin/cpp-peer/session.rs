//! From the arguments to a connection, the transfer, and its end.

use std::{
    io::Read,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use godwit_interop::CpuTime;

use crate::{
    args::{Arguments, SocketOptions},
    ffi::{Socket, SocketOption, SocketType, State, Udt, UdtError},
    transfer,
};

/// How often the state of a socket is looked at while nothing else tells.
const STATE_INTERVAL: Duration = Duration::from_millis(10);

pub(crate) fn run(udt: &Udt, arguments: &Arguments) -> Result<(), UdtError> {
    let socket = establish(udt, arguments)?;
    let start = Instant::now();
    let last_perf = transfer::run(socket, arguments, start)?;
    if arguments.hold {
        hold(socket, start);
    }
    if arguments.perfmon {
        // Otherwise the counters of a sender would be those of a transfer that has hardly begun.
        while socket.state() == State::Connected && socket.unacknowledged_packets()? > 0 {
            std::thread::sleep(STATE_INTERVAL);
        }
    }
    if let Some(perf) = socket.perf_mon().ok().or(last_perf).filter(|_| arguments.perfmon) {
        println!("stats {perf}");
    }
    if let Some(cpu_time) = CpuTime::of_this_process() {
        println!("cpu {cpu_time}");
    }
    let closing = Instant::now();
    socket.close()?;
    println!("closed elapsed_us={}", closing.elapsed().as_micros());
    Ok(())
}

fn establish<'a>(udt: &'a Udt, arguments: &Arguments) -> Result<Socket<'a>, UdtError> {
    let socket_type = if arguments.message_bytes.is_some() { SocketType::Messages } else { SocketType::Stream };
    let (socket, peer) = match arguments.connect {
        None => {
            let address = arguments.listen.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into());
            let listener = udt.socket(address, socket_type)?;
            configure(listener, &arguments.options)?;
            listener.bind(address)?;
            listener.listen(16)?;
            println!("bound address={}", listener.local_address()?);
            listener.accept()?
        }
        Some(peer) => {
            let socket = udt.socket(peer, socket_type)?;
            configure(socket, &arguments.options)?;
            socket.set_int(SocketOption::Rendezvous, arguments.rendezvous.into())?;
            socket.bind(arguments.bind.unwrap_or_else(|| any_address_like(peer)))?;
            println!("bound address={}", socket.local_address()?);
            if arguments.non_blocking {
                connect_polling(socket, peer)?;
            } else {
                socket.connect(peer)?;
            }
            (socket, peer)
        }
    };
    println!("connected peer={peer}");
    Ok(socket)
}

fn configure(socket: Socket, options: &SocketOptions) -> Result<(), UdtError> {
    // In this order: the MSS is the unit of the buffers, and the flow window limits the receive buffer.
    let in_order = [
        (SocketOption::Mss, options.mss),
        (SocketOption::FlowWindow, options.fc),
        (SocketOption::ReceiveBuffer, options.rcvbuf),
        (SocketOption::SendBuffer, options.sndbuf),
        (SocketOption::UdpReceiveBuffer, options.udp_rcvbuf),
    ];
    for (option, value) in in_order {
        value.map_or(Ok(()), |value| socket.set_int(option, value))?;
    }
    options.linger.map_or(Ok(()), |seconds| socket.set_linger(seconds))?;
    options.max_rate.map_or(Ok(()), |bytes_per_s| socket.set_max_rate(bytes_per_s))
}

/// libudt's non-blocking connect returns at once; how it ended shows in the socket's state.
fn connect_polling(socket: Socket, peer: SocketAddr) -> Result<(), UdtError> {
    /// libudt gives up after 3 s.
    const CONNECT_LIMIT: Duration = Duration::from_secs(10);
    socket.set_int(SocketOption::SynchronousReceive, 0)?;
    socket.connect(peer)?;
    let start = Instant::now();
    while socket.state() == State::Connecting && start.elapsed() < CONNECT_LIMIT {
        std::thread::sleep(STATE_INTERVAL);
    }
    match socket.state() {
        State::Connected => socket.set_int(SocketOption::SynchronousReceive, 1),
        _ => Err(UdtError { call: "connect", code: 1001 }),
    }
}

/// Waits until standard input closes, and tells if the connection breaks before that.
fn hold(socket: Socket, start: Instant) {
    let released = std::thread::spawn(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let mut broken = false;
    while !released.is_finished() {
        if !broken && socket.state() == State::Over {
            broken = true;
            println!("broken after_us={}", start.elapsed().as_micros());
        }
        std::thread::sleep(STATE_INTERVAL);
    }
}

fn any_address_like(peer: SocketAddr) -> SocketAddr {
    match peer {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}
