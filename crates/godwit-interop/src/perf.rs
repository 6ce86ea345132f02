//! libudt's performance counters, as its header lays them out.

use std::fmt;

use crate::{Event, PeerError};

macro_rules! perf_mon {
    ($($(#[$attribute:meta])* $name:ident: $type:ty),* $(,)?) => {
        /// libudt's `CPerfMon`; specification section 9.2 says what each counter means in 4.11. "Total" counts since the
        /// socket was opened, the others since `perfmon` last cleared them (the peer never does).
        #[derive(Debug, Clone, Copy, PartialEq, Default)]
        #[repr(C)]
        pub struct PerfMon {
            $($(#[$attribute])* pub $name: $type,)*
        }

        impl fmt::Display for PerfMon {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut separator = "";
                $(
                    write!(f, "{separator}{}={}", stringify!($name), self.$name)?;
                    separator = " ";
                )*
                let _ = separator;
                Ok(())
            }
        }

        impl PerfMon {
            pub(crate) fn parse(event: &Event) -> Result<Self, PeerError> {
                Ok(Self { $($name: event.value(stringify!($name))?,)* })
            }
        }
    };
}

perf_mon! {
    /// Milliseconds since the socket was opened.
    ms_time_stamp: i64,
    /// Data packets sent, retransmissions included.
    pkt_sent_total: i64,
    /// Data packets received, duplicates included.
    pkt_recv_total: i64,
    /// Packets that the sender took for lost.
    pkt_snd_loss_total: i32,
    /// Packets that the receiver missed.
    pkt_rcv_loss_total: i32,
    /// Retransmissions sent.
    pkt_retrans_total: i32,
    /// Full ACKs sent.
    pkt_sent_ack_total: i32,
    /// Full ACKs received that advanced.
    pkt_recv_ack_total: i32,
    /// NAK packets sent.
    pkt_sent_nak_total: i32,
    /// NAK packets received.
    pkt_recv_nak_total: i32,
    /// Microseconds with data in flight; garbage on x86.
    us_snd_duration_total: i64,
    /// As the total.
    pkt_sent: i64,
    /// As the total.
    pkt_recv: i64,
    /// As the total.
    pkt_snd_loss: i32,
    /// As the total.
    pkt_rcv_loss: i32,
    /// As the total.
    pkt_retrans: i32,
    /// As the total.
    pkt_sent_ack: i32,
    /// As the total.
    pkt_recv_ack: i32,
    /// As the total.
    pkt_sent_nak: i32,
    /// As the total.
    pkt_recv_nak: i32,
    /// Sending rate in Mbit/s, as if all packets were full.
    mbps_send_rate: f64,
    /// Receiving rate in Mbit/s, as if all packets were full.
    mbps_recv_rate: f64,
    /// As the total.
    us_snd_duration: i64,
    /// Interval between packets in microseconds.
    us_pkt_snd_period: f64,
    /// Flow window in packets.
    pkt_flow_window: i32,
    /// Congestion window in packets.
    pkt_congestion_window: i32,
    /// Packets in flight.
    pkt_flight_size: i32,
    /// Smoothed round-trip time in milliseconds.
    ms_rtt: f64,
    /// Link capacity in Mbit/s: at a sender, what the receiver reported in ACK word 5.
    mbps_bandwidth: f64,
    /// Free send buffer, packets times MSS.
    byte_avail_snd_buf: i32,
    /// Free receive buffer, packets times MSS.
    byte_avail_rcv_buf: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_parse_as_they_print() {
        let perf = PerfMon { pkt_sent_total: 17, ms_rtt: 0.25, us_snd_duration: -5, ..PerfMon::default() };
        assert_eq!(PerfMon::parse(&Event::new(format!("stats {perf}"))).unwrap(), perf);
    }
}
