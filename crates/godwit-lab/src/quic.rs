//! Both ends of a transfer over QUIC by quinn, as hidden commands of this program: quinn is a library, and somebody must use it.
//!
//! One connection. Each MiB of the file has a stream of its own: quinn ends a connection with more than 1024 gaps in one stream, and with one
//! stream for all that happened soon after the start. What a user of quinn would set for a long path is set: windows as large as ours and
//! the largest socket buffers that the kernel gives without asking root.

use std::fs::{self, File};
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn::congestion::{BbrConfig, CubicConfig};
use quinn::rustls::RootCertStore;
use quinn::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use quinn::{
    ClientConfig, Connection, Endpoint, EndpointConfig, RecvStream, ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use rustix::net::sockopt;
use tokio::task::JoinSet;

use crate::error::QuicError;
use crate::peer::Congestion;

/// In flight, in bytes: the receive buffer of a godwit connection.
const WINDOW_BYTES: u32 = 96 << 20;
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// Of the file, in one stream: fewer packets than quinn allows gaps.
const PIECE_BYTES: usize = 1 << 20;
/// More than a window holds.
const STREAMS_MAX: u32 = 1024;
const REPORT_INTERVAL: Duration = Duration::from_millis(250);
const SERVER_NAME: &str = "localhost";

/// Sends `file` to whoever asks, until it is killed. Prints `sent_packets=… lost_packets=…` as long as a client is there, and leaves its
/// certificate at `certificate`.
///
/// # Errors
/// The file cannot be read, the certificate not be written, or the address not be bound.
pub fn serve(listen: SocketAddr, congestion: Congestion, certificate: &Path, file: &Path) -> Result<(), QuicError> {
    runtime()?.block_on(async {
        let config = server_config(congestion, certificate)?;
        let endpoint = endpoint(listen, Some(config))?;
        while let Some(incoming) = endpoint.accept().await {
            let connection = incoming.await?;
            tokio::select! {
                sent = send(&connection, file) => sent?,
                () = report(&connection) => {}
            }
            print(&connection);
        }
        Ok(())
    })
}

/// Receives the file of a server and writes it to `target`.
///
/// # Errors
/// The server does not answer, the connection breaks, or the file cannot be written.
pub fn get(server: SocketAddr, certificate: &Path, target: &Path) -> Result<(), QuicError> {
    runtime()?.block_on(async {
        let config = client_config(certificate, None)?;
        let endpoint = endpoint((Ipv4Addr::UNSPECIFIED, 0).into(), None)?;
        let connection = endpoint.connect_with(config, server, SERVER_NAME)?.await?;
        let (mut ask, mut answer) = connection.open_bi().await?;
        ask.write_all(b"get").await?;
        let _ = ask.finish();
        let mut length = [0; size_of::<u64>()];
        answer.read_exact(&mut length).await?;
        receive_pieces(&connection, u64::from_be_bytes(length), target).await?;
        // All is here; that the server learns so is not worth waiting for.
        connection.close(VarInt::from_u32(0), b"");
        Ok(())
    })
}

/// Counts what one client sends until it leaves, and prints that: `received bytes=… elapsed_us=…`.
///
/// # Errors
/// The address cannot be bound, the certificate not be written, or the client not be accepted.
pub fn sink(listen: SocketAddr, certificate: &Path) -> Result<(), QuicError> {
    runtime()?.block_on(async {
        let config = server_config(Congestion::Cubic, certificate)?;
        let endpoint = endpoint(listen, Some(config))?;
        let local = endpoint.local_addr().map_err(|source| QuicError::Bind { local: listen, source })?;
        println!("listening on {local}");
        // In tasks: what `block_on` runs itself has a thread of its own, to which each wake-up would have to cross.
        let serving = tokio::spawn(async move {
            let Some(incoming) = endpoint.accept().await else { return Ok(()) };
            let connection = incoming.await?;
            let (started, count) = (Instant::now(), Arc::new(Count::default()));
            while let Ok(stream) = connection.accept_uni().await {
                tokio::spawn(count_piece(stream, Arc::clone(&count), started));
            }
            println!("{count}");
            Ok(())
        });
        serving.await.expect("counting does not panic")
    })
}

/// Sends as fast as it can for so long, then leaves.
///
/// # Errors
/// The server does not answer, or the connection breaks.
pub fn source(
    server: SocketAddr,
    congestion: Congestion,
    certificate: &Path,
    duration: Duration,
) -> Result<(), QuicError> {
    runtime()?.block_on(async {
        let config = client_config(certificate, Some(congestion))?;
        let endpoint = endpoint((Ipv4Addr::UNSPECIFIED, 0).into(), None)?;
        let connection = endpoint.connect_with(config, server, SERVER_NAME)?.await?;
        let sending = tokio::spawn(async move {
            let piece = Bytes::from(vec![0x5a; PIECE_BYTES]);
            let until = Instant::now() + duration;
            while Instant::now() < until {
                let mut stream = connection.open_uni().await?;
                stream.write_chunk(piece.clone()).await?;
                let _ = stream.finish();
            }
            print(&connection);
            connection.close(VarInt::from_u32(0), b"");
            endpoint.wait_idle().await;
            Ok(())
        });
        sending.await.expect("sending does not panic")
    })
}

/// What has arrived on all streams, and when the first and the last of it.
#[derive(Debug, Default)]
struct Count {
    bytes: AtomicU64,
    first_us: OnceLock<u64>,
    last_us: AtomicU64,
}

async fn count_piece(mut stream: RecvStream, count: Arc<Count>, started: Instant) {
    // What breaks off has been counted as far as it came.
    while let Ok(Some(chunk)) = stream.read_chunk(PIECE_BYTES, true).await {
        let now_us = started.elapsed().as_micros() as u64;
        count.first_us.get_or_init(|| now_us);
        count.last_us.fetch_max(now_us, Ordering::Relaxed);
        count.bytes.fetch_add(chunk.bytes.len() as u64, Ordering::Relaxed);
    }
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let last_us = self.last_us.load(Ordering::Relaxed);
        let time_us = last_us - self.first_us.get().copied().unwrap_or(last_us);
        write!(f, "received bytes={} elapsed_us={time_us}", self.bytes.load(Ordering::Relaxed))
    }
}

async fn send(connection: &Connection, path: &Path) -> Result<(), QuicError> {
    let read = |source| QuicError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(read)?;
    let (mut answer, _ask) = connection.accept_bi().await?;
    answer.write_all(&file.metadata().map_err(read)?.len().to_be_bytes()).await?;
    let _ = answer.finish();
    let mut position: u64 = 0;
    loop {
        let mut piece = vec![0; PIECE_BYTES];
        let length = file.read(&mut piece).map_err(read)?;
        if length == 0 {
            break;
        }
        piece.truncate(length);
        let mut stream = connection.open_uni().await?;
        stream.write_all(&position.to_be_bytes()).await?;
        stream.write_chunk(Bytes::from(piece)).await?;
        let _ = stream.finish();
        position += length as u64;
    }
    connection.closed().await;
    Ok(())
}

async fn receive_pieces(connection: &Connection, length: u64, target: &Path) -> Result<(), QuicError> {
    let file = File::create(target).map_err(|source| QuicError::Write { path: target.to_owned(), source })?;
    let file = Arc::new(file);
    let mut pieces = JoinSet::new();
    for _ in 0..length.div_ceil(PIECE_BYTES as u64) {
        let stream = connection.accept_uni().await?;
        pieces.spawn(receive_piece(stream, file.clone(), target.to_owned()));
        while let Some(piece) = pieces.try_join_next() {
            piece.expect("receiving a piece does not panic")?;
        }
    }
    while let Some(piece) = pieces.join_next().await {
        piece.expect("receiving a piece does not panic")?;
    }
    Ok(())
}

/// Its position in the file, then its bytes.
async fn receive_piece(mut stream: RecvStream, file: Arc<File>, target: PathBuf) -> Result<(), QuicError> {
    let mut position = [0; size_of::<u64>()];
    stream.read_exact(&mut position).await?;
    let mut position = u64::from_be_bytes(position);
    while let Some(chunk) = stream.read_chunk(PIECE_BYTES, true).await? {
        file.write_all_at(&chunk.bytes, position)
            .map_err(|source| QuicError::Write { path: target.clone(), source })?;
        position += chunk.bytes.len() as u64;
    }
    Ok(())
}

/// Never ends: whoever kills the server in the middle still finds the counters in its log.
async fn report(connection: &Connection) {
    loop {
        tokio::time::sleep(REPORT_INTERVAL).await;
        print(connection);
    }
}

fn print(connection: &Connection) {
    let path = connection.stats().path;
    println!("sent_packets={} lost_packets={} mtu={}", path.sent_packets, path.lost_packets, path.current_mtu);
}

fn runtime() -> Result<tokio::runtime::Runtime, QuicError> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(QuicError::Runtime)
}

fn endpoint(local: SocketAddr, server: Option<ServerConfig>) -> Result<Endpoint, QuicError> {
    let bind = |source| QuicError::Bind { local, source };
    let socket = UdpSocket::bind(local).map_err(bind)?;
    // The kernel gives less if it must.
    let _ = sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER_BYTES);
    let _ = sockopt::set_socket_send_buffer_size(&socket, SOCKET_BUFFER_BYTES);
    Endpoint::new(EndpointConfig::default(), server, socket, Arc::new(TokioRuntime)).map_err(bind)
}

fn server_config(congestion: Congestion, certificate: &Path) -> Result<ServerConfig, QuicError> {
    let made = rcgen::generate_simple_self_signed([SERVER_NAME.to_owned()])?;
    let write = |source| QuicError::Write { path: certificate.to_owned(), source };
    fs::write(certificate, made.cert.der()).map_err(write)?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let mut config = ServerConfig::with_single_cert(vec![made.cert.der().clone()], key.into())?;
    config.transport_config(Arc::new(sending_transport(congestion)));
    Ok(config)
}

fn client_config(certificate: &Path, sending: Option<Congestion>) -> Result<ClientConfig, QuicError> {
    let path: PathBuf = certificate.to_owned();
    let der = fs::read(&path).map_err(|source| QuicError::Read { path, source })?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(der))?;
    let mut config = ClientConfig::with_root_certificates(Arc::new(roots)).map_err(QuicError::Verifier)?;
    config.transport_config(Arc::new(sending.map_or_else(transport, sending_transport)));
    Ok(config)
}

fn sending_transport(congestion: Congestion) -> TransportConfig {
    let mut transport = transport();
    match congestion {
        Congestion::Cubic => transport.congestion_controller_factory(Arc::new(CubicConfig::default())),
        Congestion::Bbr => transport.congestion_controller_factory(Arc::new(BbrConfig::default())),
    };
    transport
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport.stream_receive_window(VarInt::from_u32(WINDOW_BYTES));
    transport.receive_window(VarInt::from_u32(WINDOW_BYTES));
    transport.send_window(WINDOW_BYTES.into());
    transport.max_concurrent_uni_streams(VarInt::from_u32(STREAMS_MAX));
    // The file in its order.
    transport.send_fairness(false);
    transport
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_crosses_the_loopback() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        let content: Vec<u8> = (0..3_000_000u32).map(|number| (number % 251) as u8).collect();
        fs::write(path("file"), &content).expect("written");
        let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr()).expect("a port");
        let (certificate, file) = (path("certificate"), path("file"));
        // It never ends; it goes with the test's process.
        std::thread::spawn(move || serve(port, Congestion::Bbr, &certificate, &file));
        while fs::metadata(path("certificate")).map_or(true, |file| file.len() == 0) {
            std::thread::sleep(Duration::from_millis(5));
        }
        get(port, &path("certificate"), &path("copy")).expect("received");
        assert_eq!(fs::read(path("copy")).expect("read"), content);
    }
}
