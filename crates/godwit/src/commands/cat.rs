//! `godwit cat`: a raw UDT byte pipe. Who connects sends its stdin, who listens writes what comes to its stdout.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd as _;
use std::time::Duration;

use bytes::Bytes;
use godwit_files::client::Fault;
use godwit_udt::{
    AcceptError, BindError, Config, ConnectError, ConnectionError, Endpoint, EndpointConfig, ListenError, ListenLimits,
    ReadError, Stream, WriteError,
};
use thiserror::Error;
use tokio::sync::mpsc;

use super::{FAREWELL_TIME_MAX, stoppable};
use crate::config::CatConfig;
use crate::error::CommandError;
use crate::signals::Signals;
use crate::stderr;

/// One read of stdin, one write to stdout.
const CHUNK_BYTES: usize = 256 * 1024;
/// Chunks between the process's own pipes and the connection, which has buffers of its own.
const QUEUE_CHUNKS: usize = 4;
/// After the end of stdin, how long the rest may take to arrive: whatever is in the send buffer, on a slow path too.
pub(crate) const LINGER: Duration = Duration::from_secs(60 * 60);

/// Why the pipe broke, or did not come to be.
#[derive(Debug, Error)]
pub(crate) enum CatError {
    #[error("cannot resolve {host}: {source}; check the name and the name server")]
    Resolve { host: String, source: io::Error },
    #[error("{host} has no address; check the name")]
    NoAddress { host: String },
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("cannot listen: {0}")]
    Listen(#[from] ListenError),
    #[error("cannot accept: {0}")]
    Accept(#[from] AcceptError),
    #[error("the connection broke: {0}; what was written to stdout is not complete")]
    Receive(ReadError),
    #[error("the connection broke: {0}; not everything has arrived")]
    Lost(ReadError),
    #[error("the connection broke: {0}; not everything has arrived")]
    Send(#[from] WriteError),
    #[error("the connection broke before everything was acknowledged: {0}")]
    Close(#[from] ConnectionError),
    #[error("the peer closed the connection before the end of stdin; not everything has arrived")]
    ClosedByPeer,
    #[error("cannot read stdin: {0}")]
    Stdin(io::Error),
    #[error("cannot write to stdout: {0}")]
    Stdout(io::Error),
}

impl CatError {
    pub(crate) fn fault(&self) -> Fault {
        match self {
            Self::Resolve { .. } | Self::NoAddress { .. } | Self::Connect(_) | Self::Accept(_) => Fault::Network,
            Self::Receive(_) | Self::Lost(_) | Self::Send(_) | Self::Close(_) | Self::ClosedByPeer => Fault::Network,
            Self::Bind(_) | Self::Listen(_) | Self::Stdin(_) | Self::Stdout(_) => Fault::Other,
        }
    }
}

/// One connection, one direction, then the end.
pub(crate) async fn run(
    config: CatConfig,
    udt: &Config,
    quiet: bool,
    signals: &mut Signals,
) -> Result<(), CommandError> {
    let mut endpoint = None;
    let pipe = async {
        let done = match config {
            CatConfig::Listen(address) => receive(&mut endpoint, address, udt, quiet).await,
            CatConfig::Connect { host, port } => send(&mut endpoint, &host, port, udt).await,
        };
        done.map_err(CommandError::Cat)
    };
    let done = stoppable(pipe, signals).await;
    if let Some(endpoint) = endpoint {
        let _ = tokio::time::timeout(FAREWELL_TIME_MAX, endpoint.close()).await;
    }
    done
}

async fn receive(open: &mut Option<Endpoint>, address: SocketAddr, udt: &Config, quiet: bool) -> Result<(), CatError> {
    let endpoint = open.insert(Endpoint::bind(address, EndpointConfig::default())?);
    let listener = endpoint.listen(udt.clone(), ListenLimits { backlog: 1, ..ListenLimits::default() })?;
    if !quiet {
        // stdout belongs to the data.
        stderr::say(format_args!("listening on udt://{}/", listener.local_addr()));
    }
    let mut stream = listener.accept().await?;
    drop(listener);
    let (chunks, written) = write_stdout();
    while let Some(chunk) = stream.read_chunk(CHUNK_BYTES).await.map_err(CatError::Receive)? {
        if chunks.send(chunk).await.is_err() {
            break;
        }
    }
    drop(chunks);
    written.await.unwrap_or(Ok(())).map_err(CatError::Stdout)
}

async fn send(open: &mut Option<Endpoint>, host: &str, port: u16, udt: &Config) -> Result<(), CatError> {
    let mut stream = connect(open, host, port, udt).await?;
    let mut chunks = read_stdin();
    let mut peer_may_send = true;
    loop {
        let chunk = tokio::select! {
            chunk = chunks.recv() => chunk,
            read = stream.read_chunk(CHUNK_BYTES), if peer_may_send => match read.map_err(CatError::Lost)? {
                None => return Err(CatError::ClosedByPeer),
                // One direction: what a peer sends all the same fills its window and no memory of ours.
                Some(_) => { peer_may_send = false; continue }
            },
        };
        let Some(chunk) = chunk else { break };
        let mut rest = &chunk.map_err(CatError::Stdin)?[..];
        while !rest.is_empty() {
            let written = stream.write_chunk(rest).await?;
            rest = &rest[written..];
        }
    }
    let closed = stream.close().await;
    tracing::info!(stats = ?stream.stats(), "closed");
    Ok(closed?)
}

/// Tries the addresses of the host one after the other.
async fn connect(open: &mut Option<Endpoint>, host: &str, port: u16, udt: &Config) -> Result<Stream, CatError> {
    let addresses = tokio::net::lookup_host((host, port)).await;
    let addresses = addresses.map_err(|source| CatError::Resolve { host: host.to_owned(), source })?;
    let mut failed = CatError::NoAddress { host: host.to_owned() };
    for address in addresses {
        let any = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let endpoint = match Endpoint::bind(SocketAddr::new(any, 0), EndpointConfig::default()) {
            Ok(endpoint) => endpoint,
            Err(error) => {
                failed = error.into();
                continue;
            }
        };
        match open.insert(endpoint).connect(address, udt.clone()).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error.into(),
        }
    }
    Err(failed)
}

/// A thread of its own, which nobody waits for: a read of a terminal cannot be cancelled.
fn read_stdin() -> mpsc::Receiver<io::Result<Bytes>> {
    let (chunks, queue) = mpsc::channel(QUEUE_CHUNKS);
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        loop {
            let mut buffer = vec![0; CHUNK_BYTES];
            let chunk = match stdin.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => {
                    buffer.truncate(read);
                    Ok(Bytes::from(buffer))
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let failed = chunk.is_err();
            if chunks.blocking_send(chunk).is_err() || failed {
                break;
            }
        }
    });
    queue
}

/// A thread of its own, likewise: a reader of our stdout may never read. The result comes when all is written.
fn write_stdout() -> (mpsc::Sender<Bytes>, tokio::sync::oneshot::Receiver<io::Result<()>>) {
    let (chunks, mut queue) = mpsc::channel::<Bytes>(QUEUE_CHUNKS);
    let (done, written) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // Not through the standard library's buffer, which keeps what does not end in a newline.
        let stdout = io::stdout().as_fd().try_clone_to_owned().map(File::from);
        let result = stdout.and_then(|mut stdout| {
            while let Some(chunk) = queue.blocking_recv() {
                stdout.write_all(&chunk)?;
            }
            Ok(())
        });
        drop(queue);
        // Whoever waited may have been stopped by a signal.
        let _ = done.send(result);
    });
    (chunks, written)
}
