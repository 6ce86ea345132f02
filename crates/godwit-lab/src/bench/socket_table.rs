//! What `ss` prints of TCP connections.

use std::collections::BTreeSet;

use crate::network::Host;
use crate::results::TcpReadBack;

/// Words that stand among the values without being the name of a congestion control.
const FLAGS: [&str; 5] = ["ts", "sack", "ecn", "ecnseen", "fastopen"];

/// Reads the established connections of a host at a local port into `read_back`.
pub(crate) fn read(host: &Host, local_port: u16, read_back: &mut TcpReadBack) {
    let output = host.command("ss").args(["-tinHO", "state", "established"]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let seen: Vec<&str> = text.lines().filter_map(|line| congestion_control(line, local_port)).collect();
    read_back.connections = read_back.connections.max(seen.len());
    let known: BTreeSet<String> = read_back.seen.drain(..).chain(seen.into_iter().map(str::to_owned)).collect();
    read_back.seen = known.into_iter().collect();
}

/// Of one line: queues and addresses, then flags, the congestion control, and pairs with a colon. With a filter for one state `ss`
/// leaves the state out.
fn congestion_control(line: &str, local_port: u16) -> Option<&str> {
    let mut words = line.split_ascii_whitespace().skip_while(|word| !word.contains(':'));
    let local = words.next()?;
    let _peer = words.next()?;
    let (_, port) = local.rsplit_once(':')?;
    if port.parse() != Ok(local_port) {
        return None;
    }
    words.take_while(|word| !word.contains(':')).find(|word| !FLAGS.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUBIC: &str = "0 2896 10.0.0.1:9100 10.0.0.2:51744 ts sack cubic wscale:10,10 rto:301 rtt:100.2/0.1 mss:1448 cwnd:10 \
                         bytes_sent:14480 bytes_retrans:0 send 1.2Mbps pacing_rate 2.3Mbps delivery_rate 1Mbps app_limited";

    #[test]
    fn the_congestion_control_stands_after_the_flags() {
        assert_eq!(congestion_control(CUBIC, 9100), Some("cubic"));
        let bbr = "ESTAB 0 0 [::ffff:10.0.0.1]:9100 [::ffff:10.0.0.2]:51744 bbr wscale:10,10 bbr:(bw:1bps,mrtt:1)";
        assert_eq!(congestion_control(bbr, 9100), Some("bbr"));
    }

    #[test]
    fn other_ports_and_cut_lines_say_nothing() {
        assert_eq!(congestion_control(CUBIC, 9101), None);
        assert_eq!(congestion_control("0 0 10.0.0.1:9100 10.0.0.2:51744 ts wscale:10,10", 9100), None);
        assert_eq!((congestion_control("", 9100), congestion_control("0 0 10.0.0.1:9100", 9100)), (None, None));
    }
}
