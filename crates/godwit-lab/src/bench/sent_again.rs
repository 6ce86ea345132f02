//! The share of packets that were sent again.

use super::log;

/// Pairs of names under which senders tell: packets sent again, and packets sent, in all.
const NAMES: [(&str, &str); 3] = [
    ("retransmitted_packets", "sent_packets"), // godwit serve, when a connection ends
    ("lost_packets", "sent_packets"),          // quinn, which sends the frames of a lost packet again in another
    ("pkt_retrans_total", "pkt_sent_total"),   // libudt
];

/// Part of the whole; nothing of nothing is unknown.
pub(crate) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// What the sender's log says last, if it says something.
pub(crate) fn told(text: &str) -> Option<f64> {
    text.lines().rev().find_map(|line| {
        let value = |name: &str| log::value(line, name)?.parse::<u64>().ok();
        NAMES.iter().find_map(|&(part, whole)| share(value(part)?, value(whole)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_that_tells_counts() {
        let log = "sent_packets=10 lost_packets=0\nsent_packets=200 lost_packets=4\nconnection closed\n";
        assert_eq!(told(log), Some(0.02));
        assert_eq!(told("2026 DEBUG connection ended id=1 sent_packets=1000 retransmitted_packets=10"), Some(0.01));
        assert_eq!(
            (told(""), told("sent_packets=0 lost_packets=0"), told("sent_packets=x lost_packets=1")),
            (None, None, None)
        );
    }
}
