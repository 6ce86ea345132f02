//! What the tests of this crate share: endpoints on loopback, contents that show any mistake, a limit for hangs.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use godwit_udt::{Config, Endpoint, EndpointConfig, ListenLimits, Listener, Stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Longer than anything here takes on the slowest machine; it only ends what hangs.
const HANG: Duration = Duration::from_secs(120);

/// IPv4 loopback, any port.
pub(crate) const V4: &str = "127.0.0.1:0";
/// IPv6 loopback, any port.
pub(crate) const V6: &str = "[::1]:0";

/// Runs a test to its end, or fails it when it hangs.
pub(crate) async fn in_time<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, test).await.expect("the test hangs")
}

/// An endpoint with the default settings.
pub(crate) fn endpoint(addr: &str) -> Endpoint {
    Endpoint::bind(addr.parse().expect("an address"), EndpointConfig::default()).expect("loopback can be bound")
}

/// A listener with the default limits, its endpoint and its address.
pub(crate) fn listener(addr: &str, config: Config) -> (Endpoint, Listener, SocketAddr) {
    let endpoint = endpoint(addr);
    let listener = endpoint.listen(config, ListenLimits::default()).expect("nobody else listens here");
    let addr = endpoint.local_addr();
    (endpoint, listener, addr)
}

/// Two connected streams and their endpoints: client, server.
pub(crate) async fn pair(addr: &str, config: Config) -> ([Stream; 2], [Endpoint; 2]) {
    let (server, listener, remote) = listener(addr, config.clone());
    let client = endpoint(addr);
    let (connected, accepted) = tokio::join!(client.connect(remote, config), listener.accept());
    ([connected.expect("a listener is there"), accepted.expect("a client comes")], [client, server])
}

/// Bytes that differ everywhere and between seeds.
pub(crate) fn content(seed: u64, bytes: usize) -> Vec<u8> {
    let mut content = vec![0; bytes];
    Bytes::new(seed).fill(&mut content);
    content
}

/// [`content`] without end, piece by piece.
pub(crate) struct Bytes {
    state: u64,
}

impl Bytes {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 }
    }

    /// The next bytes. Pieces of multiples of 8 bytes join to the same as one long one.
    pub(crate) fn fill(&mut self, piece: &mut [u8]) {
        for word in piece.chunks_mut(8) {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            word.copy_from_slice(&self.state.to_le_bytes()[..word.len()]);
        }
    }
}

/// Writes `sent` and reads as much at the same time; what came must be `expected`.
pub(crate) async fn exchange(stream: &mut Stream, sent: &[u8], expected: &[u8]) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut received = vec![0; expected.len()];
    let (written, read) = tokio::join!(writer.write_all(sent), reader.read_exact(&mut received));
    written.expect("everything is taken");
    read.expect("everything arrives");
    assert!(received == expected, "what arrived is not what was sent");
}
