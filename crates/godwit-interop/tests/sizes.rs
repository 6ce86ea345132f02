//! Streams and messages of sizes around a packet, and of 64 MiB, over a loopback that loses nothing.

use godwit_interop::{Content, Library, Role, Transfer, against_each_library};

type TestResult = Result<(), Box<dyn std::error::Error>>;

const MIB: u64 = 1 << 20;
const ROLES: [Role; 3] = [Role::WeConnect, Role::WeListen, Role::Rendezvous];
/// A packet has 1456 bytes of payload (specification section 1.2).
const AROUND_A_PACKET: [u64; 4] = [1, 1455, 1456, 1457];

against_each_library! {
    fn streams_around_a_packet(library: Library) -> TestResult {
        for role in ROLES {
            let transfers = AROUND_A_PACKET.map(|bytes| {
                let content = Content::new(bytes, bytes);
                [Transfer::to_cpp(library, content).role(role), Transfer::from_cpp(library, content).role(role)]
            });
            Transfer::run_together(transfers.into_iter().flatten())?;
        }
        Ok(())
    }

    fn messages_around_a_packet(library: Library) -> TestResult {
        for role in ROLES {
            let transfers = AROUND_A_PACKET.map(|bytes| {
                // Three messages, the last of which is shorter.
                let content = Content::new(bytes, bytes * 5 / 2);
                let to_cpp = Transfer::to_cpp(library, content).messages_in_order(bytes as usize);
                let from_cpp = Transfer::from_cpp(library, content).messages(bytes as usize);
                [to_cpp.role(role), from_cpp.role(role)]
            });
            Transfer::run_together(transfers.into_iter().flatten())?;
        }
        Ok(())
    }

    fn a_stream_of_64_mib_each_way(library: Library) -> TestResult {
        let (up, down) = (Content::new(3, 64 * MIB), Content::new(4, 64 * MIB));
        Transfer::to_cpp(library, up).run()?;
        Transfer::from_cpp(library, down).we_listen().run()?;
        Transfer::both_ways(library, up, down).rendezvous().run()?;
        Ok(())
    }

    fn messages_of_1_mib_each_way(library: Library) -> TestResult {
        let content = Content::new(5, 64 * MIB);
        Transfer::to_cpp(library, content).messages(1 << 20).we_listen().run()?;
        Transfer::from_cpp(library, content).messages_in_order(1 << 20).run()?;
        Ok(())
    }

    fn over_ipv6(library: Library) -> TestResult {
        if std::net::UdpSocket::bind("[::1]:0").is_err() {
            eprintln!("skipped: this machine has no IPv6 loopback");
            return Ok(());
        }
        for role in ROLES {
            Transfer::both_ways(library, Content::new(6, 3 * MIB), Content::new(7, 4 * MIB)).role(role).over_ipv6().run()?;
            Transfer::to_cpp(library, Content::new(8, 3 * MIB)).messages(100_000).role(role).over_ipv6().run()?;
        }
        Ok(())
    }
}
