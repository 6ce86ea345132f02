//! What the kernel counts of a TCP connection, asked over netlink (sock_diag(7), as `ss -i` does).
//!
//! `getsockopt(TCP_INFO)` would say the same, but has no safe binding.

use std::time::Duration;

use tokio::net::TcpStream;

/// Counters of one connection since it began. What an older kernel does not count is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpInfo {
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// The least round-trip time of the last minutes.
    pub rtt_min: Option<Duration>,
    /// Segments that were sent again.
    pub retransmitted_segments: u64,
    /// Segments with data that were sent, these included.
    pub sent_segments: Option<u64>,
}

/// Reads them. `None` where the kernel does not tell: on other systems than Linux, or in one built without it.
#[must_use]
pub fn read(stream: &TcpStream) -> Option<TcpInfo> {
    ask(stream)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn ask(stream: &TcpStream) -> Option<TcpInfo> {
    netlink::ask(stream.local_addr().ok()?, stream.peer_addr().ok()?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn ask(_stream: &TcpStream) -> Option<TcpInfo> {
    None
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod netlink {
    use std::io::{Read as _, Write as _};
    use std::net::{IpAddr, SocketAddr};
    use std::time::Duration;

    use socket2::{Domain, Protocol, Socket, Type};

    use super::TcpInfo;

    const AF_NETLINK: i32 = 16;
    const NETLINK_SOCK_DIAG: i32 = 4;
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    const NLM_F_REQUEST: u16 = 1;
    const IPPROTO_TCP: u8 = 6;
    /// Any socket with these addresses.
    const INET_DIAG_NOCOOKIE: u64 = u64::MAX;
    /// The attribute that carries `struct tcp_info`.
    const INET_DIAG_INFO: u16 = 2;
    /// `struct nlmsghdr`; `struct inet_diag_req_v2`; `struct inet_diag_msg`.
    const HEADER_BYTES: usize = 16;
    const REQUEST_BYTES: usize = 56;
    const ANSWER_BYTES: usize = 72;
    /// Several times what the kernel has to say of one socket.
    const MESSAGE_BYTES_MAX: usize = 4096;

    pub(super) fn ask(local: SocketAddr, peer: SocketAddr) -> Option<TcpInfo> {
        let (domain, protocol) = (Domain::from(AF_NETLINK), Protocol::from(NETLINK_SOCK_DIAG));
        let mut socket = Socket::new(domain, Type::DGRAM, Some(protocol)).ok()?;
        // The kernel answers before the request returns.
        socket.set_nonblocking(true).ok()?;
        socket.write_all(&request(local, peer)).ok()?;
        let mut answer = [0; MESSAGE_BYTES_MAX];
        let bytes = socket.read(&mut answer).ok()?;
        parse(&answer[..bytes])
    }

    fn request(local: SocketAddr, peer: SocketAddr) -> Vec<u8> {
        let family: u8 = if local.is_ipv4() { 2 } else { 10 };
        let mut request = Vec::with_capacity(HEADER_BYTES + REQUEST_BYTES);
        request.extend(((HEADER_BYTES + REQUEST_BYTES) as u32).to_ne_bytes());
        request.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        request.extend(NLM_F_REQUEST.to_ne_bytes());
        request.extend([0; 8]); // sequence number and port: one question, one answer
        request.extend([family, IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), 0]);
        request.extend(u32::MAX.to_ne_bytes()); // in any state
        request.extend(local.port().to_be_bytes());
        request.extend(peer.port().to_be_bytes());
        request.extend(sixteen_bytes(local.ip()));
        request.extend(sixteen_bytes(peer.ip()));
        let interface = if let SocketAddr::V6(peer) = peer { peer.scope_id() } else { 0 };
        request.extend(interface.to_ne_bytes());
        request.extend(INET_DIAG_NOCOOKIE.to_ne_bytes());
        request
    }

    fn sixteen_bytes(ip: IpAddr) -> [u8; 16] {
        match ip {
            IpAddr::V6(ip) => ip.octets(),
            IpAddr::V4(ip) => {
                let mut bytes = [0; 16];
                bytes[..4].copy_from_slice(&ip.octets());
                bytes
            }
        }
    }

    /// Looks for the attribute among those of the answer.
    fn parse(answer: &[u8]) -> Option<TcpInfo> {
        if word_of_16(answer, 4)? != SOCK_DIAG_BY_FAMILY {
            return None;
        }
        let mut attributes = answer.get(HEADER_BYTES + ANSWER_BYTES..)?;
        loop {
            let (length, kind) = (usize::from(word_of_16(attributes, 0)?), word_of_16(attributes, 2)?);
            let content = attributes.get(4..length)?;
            if kind == INET_DIAG_INFO {
                return parse_info(content);
            }
            // Each begins at a multiple of four.
            attributes = attributes.get(length.next_multiple_of(4)..)?;
        }
    }

    /// `struct tcp_info` of linux/tcp.h, which only ever grows at its end.
    fn parse_info(info: &[u8]) -> Option<TcpInfo> {
        let word = |index: usize| {
            let bytes = info.get(4 * index..4 * index + 4)?;
            Some(u32::from_ne_bytes(bytes.try_into().expect("four bytes")))
        };
        Some(TcpInfo {
            rtt: Duration::from_micros(word(17)?.into()),                 // tcpi_rtt
            retransmitted_segments: word(25)?.into(),                     // tcpi_total_retrans
            rtt_min: word(37).map(|us| Duration::from_micros(us.into())), // tcpi_min_rtt
            sent_segments: word(39).map(u64::from),                       // tcpi_data_segs_out
        })
    }

    fn word_of_16(bytes: &[u8], at: usize) -> Option<u16> {
        Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().expect("two bytes")))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn answer(kind: u16, info: &[u32]) -> Vec<u8> {
            let mut answer = vec![0; HEADER_BYTES + ANSWER_BYTES];
            answer[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
            answer.extend(5_u16.to_ne_bytes()); // another attribute, of one byte
            answer.extend([9, 9, 1, 0, 0, 0]);
            answer.extend((4 + 4 * info.len() as u16).to_ne_bytes());
            answer.extend(kind.to_ne_bytes());
            answer.extend(info.iter().flat_map(|word| word.to_ne_bytes()));
            answer
        }

        #[test]
        fn what_a_kernel_does_not_have_is_missing() {
            let words: Vec<u32> = (0..60).collect();
            let new = parse(&answer(INET_DIAG_INFO, &words)).expect("all is there");
            assert_eq!((new.rtt, new.retransmitted_segments), (Duration::from_micros(17), 25));
            assert_eq!((new.rtt_min, new.sent_segments), (Some(Duration::from_micros(37)), Some(39)));
            let old = parse(&answer(INET_DIAG_INFO, &words[..26])).expect("enough is there");
            assert_eq!((old.rtt_min, old.sent_segments, old.retransmitted_segments), (None, None, 25));
            assert_eq!(parse(&answer(INET_DIAG_INFO, &words[..25])), None);
            assert_eq!((parse(&answer(7, &words)), parse(&[]), parse(&[0; 200])), (None, None, None));
        }

        #[test]
        fn a_request_has_the_kernels_layout() {
            let request = request(([127, 0, 0, 1], 0x1234).into(), ([127, 0, 0, 2], 0x5678).into());
            assert_eq!(request.len(), HEADER_BYTES + REQUEST_BYTES);
            assert_eq!(request[24..32], [0x12, 0x34, 0x56, 0x78, 127, 0, 0, 1]);
        }
    }
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::tcp;

    #[tokio::test]
    async fn a_connection_over_the_loopback_tells() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = tcp::listen(address.parse().expect("an address"), 1) else {
                println!("skipped: no {address} here");
                continue;
            };
            let mut client = tcp::connect(listener.local_addr().expect("bound")).await.expect("it listens");
            let mut server = tcp::accept(&listener).await.expect("somebody came");
            let Some(before) = read(&client) else {
                println!("skipped: this kernel does not tell");
                return;
            };
            client.write_all(&[0; 1000]).await.expect("there is room");
            server.read_exact(&mut [0; 1000]).await.expect("it arrives");
            let after = read(&client).expect("it has told before");
            assert!(after.rtt > Duration::ZERO && after.sent_segments >= before.sent_segments.map(|count| count + 1));
        }
    }
}
