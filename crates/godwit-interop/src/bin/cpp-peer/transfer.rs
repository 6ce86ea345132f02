//! The roles of a connected peer.

use std::{
    fs::File,
    io::{Read, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use godwit_interop::{Content, FingerprintHash, MessageFingerprint, PerfMon};

use crate::{
    args::{Arguments, Role},
    ffi::{CONNECTION_LOST, NO_SUCH_SOCKET, Socket, UdtError},
};

/// Room for one message: the largest that is asked for is 1 MiB.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// A slow reader reads this many times per second.
const SLOW_READS_PER_S: u64 = 50;

/// Does what the role asks for. Returns the counters of a receiver after its last read, if they are wanted: once the peer
/// has closed, libudt does not tell them any more.
pub(crate) fn run(socket: Socket, arguments: &Arguments, start: Instant) -> Result<Option<PerfMon>, UdtError> {
    match arguments.role {
        Role::Check | Role::Idle => Ok(None),
        Role::Recv => receive(socket, arguments, start),
        Role::Send => send(socket, arguments).map(|()| None),
        Role::Echo => echo(socket, arguments, start),
        Role::Both => std::thread::scope(|scope| {
            let sending = scope.spawn(|| send(socket, arguments));
            let received = receive(socket, arguments, start);
            sending.join().expect("the sending thread does not panic").and(received)
        }),
    }
}

fn send(socket: Socket, arguments: &Arguments) -> Result<(), UdtError> {
    let content = arguments.content();
    let mut sent = 0;
    if let Some(message_bytes) = arguments.message_bytes {
        for message in content.pieces(message_bytes) {
            sent += socket.send_message(&message, arguments.in_order)? as u64;
        }
    } else if arguments.sendfile {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
        content.pieces(1 << 20).for_each(|piece| file.write_all(&piece).expect("the temporary file can be written"));
        sent = socket.send_file(file.path(), content.bytes)?;
    } else if let Some(path) = &arguments.input {
        sent = send_input(socket, path, arguments.chunk)?;
    } else if arguments.unchecked {
        sent = send_unchecked(socket, arguments)?;
    } else {
        for piece in content.pieces(arguments.chunk) {
            sent += send_all(socket, &piece)?;
        }
    }
    println!("sent bytes={sent}");
    Ok(())
}

fn send_input(socket: Socket, path: &Path, chunk: usize) -> Result<u64, UdtError> {
    let mut file = File::open(path).expect("the file to send can be opened");
    let (mut piece, mut sent) = (vec![0; chunk], 0);
    loop {
        match file.read(&mut piece).expect("the file to send can be read") {
            0 => return Ok(sent),
            length => sent += send_all(socket, &piece[..length])?,
        }
    }
}

/// Like any other content, but made once.
fn send_unchecked(socket: Socket, arguments: &Arguments) -> Result<u64, UdtError> {
    let content = arguments.content();
    let block = Content::new(content.seed, arguments.chunk as u64).to_vec();
    let (start, mut sent) = (Instant::now(), 0);
    let is_time_over = || arguments.seconds.is_some_and(|seconds| start.elapsed().as_secs_f64() >= seconds);
    while sent < content.bytes && !is_time_over() {
        let left = usize::try_from(content.bytes - sent).unwrap_or(usize::MAX);
        sent += send_all(socket, &block[..block.len().min(left)])?;
    }
    Ok(sent)
}

fn send_all(socket: Socket, bytes: &[u8]) -> Result<u64, UdtError> {
    let mut rest = bytes;
    while !rest.is_empty() {
        rest = &rest[socket.send(rest)?..];
    }
    Ok(bytes.len() as u64)
}

fn receive(socket: Socket, arguments: &Arguments, start: Instant) -> Result<Option<PerfMon>, UdtError> {
    let create = |path: &PathBuf| File::create(path).expect("the file to write can be created");
    let mut output = arguments.output.as_ref().map(create);
    receive_with(socket, arguments, start, |bytes| {
        output.iter_mut().for_each(|file| file.write_all(bytes).expect("the file can be written"));
        Ok(())
    })
}

fn echo(socket: Socket, arguments: &Arguments, start: Instant) -> Result<Option<PerfMon>, UdtError> {
    receive_with(socket, arguments, start, |bytes| match arguments.message_bytes {
        Some(_) => socket.send_message(bytes, arguments.in_order).map(drop),
        None => send_all(socket, bytes).map(drop),
    })
}

fn receive_with(
    socket: Socket,
    arguments: &Arguments,
    start: Instant,
    mut each: impl FnMut(&[u8]) -> Result<(), UdtError>,
) -> Result<Option<PerfMon>, UdtError> {
    let mut buffer = vec![0; room(arguments)];
    let (mut bytes, mut stream, mut messages) = (0, FingerprintHash::default(), MessageFingerprint::default());
    let (mut elapsed, mut perf) = (Duration::ZERO, None);
    let mut end = "limit";
    while arguments.expect.is_none_or(|expected| bytes < expected) {
        let received = match arguments.message_bytes {
            Some(_) => socket.recv_message(&mut buffer),
            None => socket.recv(&mut buffer),
        };
        let received = match received {
            Ok(length) => &buffer[..length],
            Err(error) if [CONNECTION_LOST, NO_SUCH_SOCKET].contains(&error.code) => {
                end = "eof";
                break;
            }
            Err(error) => return Err(error),
        };
        elapsed = start.elapsed();
        bytes += received.len() as u64;
        if arguments.unchecked {
            stream.skip(received.len());
        } else {
            stream.update(received);
            messages.add(received);
        }
        each(received)?;
        if arguments.perfmon {
            perf = socket.perf_mon().ok().or(perf);
        }
        pause(arguments, bytes, start);
    }
    println!("received {} {messages} elapsed_us={} end={end}", stream.finish(), elapsed.as_micros());
    Ok(perf)
}

fn room(arguments: &Arguments) -> usize {
    match (arguments.message_bytes, arguments.slow_read) {
        (Some(_), _) => MESSAGE_BYTES_MAX,
        (None, Some(bytes_per_s)) => usize::try_from(bytes_per_s / SLOW_READS_PER_S).unwrap_or(1).max(1),
        (None, None) => arguments.chunk,
    }
}

/// Sleeps until a slow reader may read on.
fn pause(arguments: &Arguments, bytes: u64, start: Instant) {
    if let Some(bytes_per_s) = arguments.slow_read {
        let due = Duration::from_secs_f64(bytes as f64 / bytes_per_s as f64);
        std::thread::sleep(due.saturating_sub(start.elapsed()));
    }
}
