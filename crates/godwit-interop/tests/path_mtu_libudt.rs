//! Datagram sizes: 8 MiB each way through links narrower than an Ethernet packet, one end libudt. Both ends ours is in
//! `path_mtu.rs`.
//!
//! Needs root for network namespaces; without, each test says that it was skipped and why.
#![cfg(target_os = "linux")]

use std::{net::IpAddr, sync::Arc};

use godwit_interop::{Content, Library, Role, Transfer, against_each_library, netns};

type TestResult = Result<(), Box<dyn std::error::Error>>;

const BYTES: u64 = 8 << 20;

/// The addresses of the two ends, ours first, with the MSS that fits a link of this MTU; libudt adds 28 bytes of headers to a
/// datagram in either version, and IPv6 has 20 more (specification section 8).
fn families(mtu: u32) -> [([IpAddr; 2], u32); 2] {
    [(netns::V4.map(IpAddr::from), mtu), (netns::V6.map(IpAddr::from), mtu - 20)]
}

fn skipped(why: &netns::Unavailable) -> TestResult {
    println!("skipped: {why}");
    Ok(())
}

against_each_library! {
    fn the_mss_comes_from_the_link(library: Library) -> TestResult {
        for mtu in [1500, 1400, 1280] {
            let namespaces = match netns::veth_pair(mtu) {
                Ok(namespaces) => namespaces.map(Arc::new),
                Err(why) => return skipped(&why),
            };
            for (ips, mss_bytes) in families(mtu) {
                for role in [Role::WeConnect, Role::WeListen] {
                    let both_ways = Transfer::both_ways(library, Content::new(1, BYTES), Content::new(2, BYTES));
                    let outcome = both_ways.role(role).inside(namespaces.clone(), ips).run()?;
                    assert_eq!(outcome.stats.mss_bytes, mss_bytes, "{role:?} {ips:?}");
                    assert_eq!(outcome.socket.send_too_large, 0, "{role:?} {ips:?}");
                }
            }
        }
        Ok(())
    }

    /// The system refuses what is too large: later packets get smaller, those that have a number are fragmented.
    fn an_mss_beyond_the_link_still_gets_through(library: Library) -> TestResult {
        let namespaces = match netns::veth_pair(1280) {
            Ok(namespaces) => namespaces.map(Arc::new),
            Err(why) => return skipped(&why),
        };
        for (ips, mss_bytes) in families(1280) {
            for role in [Role::WeConnect, Role::WeListen, Role::Rendezvous] {
                let both_ways = Transfer::both_ways(library, Content::new(3, BYTES), Content::new(4, BYTES));
                let too_large = both_ways.role(role).ours(|config| config.mss_bytes(1500));
                let outcome = too_large.inside(namespaces.clone(), ips).run()?;
                assert_eq!(outcome.stats.payload_bytes, mss_bytes as usize - 44, "{role:?} {ips:?}");
                assert!(outcome.socket.send_too_large > 0, "{role:?} {ips:?}");
            }
        }
        Ok(())
    }
}
