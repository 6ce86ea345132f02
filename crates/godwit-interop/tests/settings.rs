//! Settings of either end: MSS, windows, buffers, slow readers, and what libudt's API adds.

use godwit_interop::{Content, CppPeerBuilder, Library, Role, Transfer, against_each_library};

type TestResult = Result<(), Box<dyn std::error::Error>>;

const MIB: u64 = 1 << 20;
const ROLES: [Role; 3] = [Role::WeConnect, Role::WeListen, Role::Rendezvous];

fn exchange(library: Library, bytes: u64) -> Transfer {
    Transfer::both_ways(library, Content::new(1, bytes), Content::new(2, bytes))
}

against_each_library! {
    fn an_mss_of_1500_against_1400(library: Library) -> TestResult {
        for role in ROLES {
            let transfer = |ours, theirs| {
                let sized = exchange(library, 3 * MIB).role(role).ours(|config| config.mss_bytes(ours));
                sized.cpp(move |peer| peer.mss(theirs))
            };
            for outcome in Transfer::run_together([transfer(1500, 1400), transfer(1400, 1500)])? {
                assert_eq!(outcome.stats.mss_bytes, 1400, "{role:?}");
            }
        }
        Ok(())
    }

    fn messages_and_an_mss_of_1500_against_1400(library: Library) -> TestResult {
        let content = Content::new(3, 3 * MIB);
        for role in ROLES {
            let sized = |transfer: Transfer, ours, theirs| {
                transfer.messages(MIB as usize).role(role).ours(|config| config.mss_bytes(ours)).cpp(move |peer| peer.mss(theirs))
            };
            Transfer::run_together([
                sized(Transfer::to_cpp(library, content), 1500, 1400),
                sized(Transfer::to_cpp(library, content), 1400, 1500),
                sized(Transfer::from_cpp(library, content), 1500, 1400),
                sized(Transfer::from_cpp(library, content), 1400, 1500),
            ])?;
        }
        Ok(())
    }

    fn a_window_of_32(library: Library) -> TestResult {
        for role in ROLES {
            Transfer::run_together([
                exchange(library, MIB / 2).role(role).ours(|config| config.flow_window_packets(32)),
                exchange(library, MIB / 2).role(role).cpp(|peer| peer.flow_window(32)),
                exchange(library, MIB / 2).role(role).cpp(|peer| peer.flow_window(32).receive_buffer(32 * 1472)),
            ])?;
        }
        Ok(())
    }

    fn a_flow_window_smaller_than_the_receive_buffer(library: Library) -> TestResult {
        // libudt's receive buffer holds 8192 packets by default, ours 96 MiB.
        Transfer::run_together([
            exchange(library, 2 * MIB).ours(|config| config.flow_window_packets(64)).cpp(|peer| peer.flow_window(64)),
            exchange(library, 2 * MIB).we_listen().cpp(|peer| peer.flow_window(100)).lossy(0.01).seed(1),
            exchange(library, 2 * MIB).ours(|config| config.flow_window_packets(100)).lossy(0.01).seed(2),
        ])?;
        Ok(())
    }

    fn slow_readers(library: Library) -> TestResult {
        let (content, rate) = (Content::new(4, 4 * MIB), 2 * MIB);
        let slow_cpp = |peer: CppPeerBuilder| peer.slow_read(2 * MIB).flow_window(256).receive_buffer(256 * 1472);
        let slow_us = |transfer: Transfer| transfer.we_read_slowly(rate).ours(|config| config.receive_buffer_bytes(256 << 10));
        Transfer::run_together([
            Transfer::to_cpp(library, content).cpp(slow_cpp),
            slow_us(Transfer::from_cpp(library, content).we_listen()),
            slow_us(exchange(library, 4 * MIB)).cpp(slow_cpp),
            slow_us(Transfer::from_cpp(library, content).messages(20_000)),
        ])?;
        Ok(())
    }

    fn the_buffers_of_libudt_at_their_least(library: Library) -> TestResult {
        let least = |peer: CppPeerBuilder| peer.send_buffer(32 * 1472).receive_buffer(32 * 1472);
        Transfer::run_together([
            Transfer::to_cpp(library, Content::new(5, MIB)).cpp(least),
            Transfer::from_cpp(library, Content::new(6, MIB)).we_listen().cpp(least),
        ])?;
        Ok(())
    }

    /// Its packets are marked as ordered, which means nothing in a stream.
    fn a_file_by_sendfile(library: Library) -> TestResult {
        Transfer::from_cpp(library, Content::new(7, 3 * MIB)).cpp(CppPeerBuilder::by_sendfile).run()?;
        Ok(())
    }

    /// Each call to send begins a packet: 10,000 packets of 10 bytes.
    fn many_small_calls_to_send(library: Library) -> TestResult {
        Transfer::from_cpp(library, Content::new(8, 100_000)).we_listen().cpp(|peer| peer.chunk(10)).run()?;
        Ok(())
    }
}
