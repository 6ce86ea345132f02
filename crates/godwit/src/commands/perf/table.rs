//! What people read: a line each second, and what it all came to.

use std::fmt;
use std::time::Duration;

use indicatif::HumanBytes;

use super::outcome::{Interval, Outcome};

/// Bits per second, with three or four digits and a unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bits(f64);

/// Bytes, with a unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes(pub(super) u64);

/// Above the lines.
pub(super) const HEAD: &str = "      time        received             rate   sent again        RTT";

impl Bits {
    /// So many bytes in that time; 0 in none.
    pub(super) fn per_second(bytes: u64, time: Duration) -> Self {
        Self(if time.is_zero() { 0.0 } else { bytes as f64 * 8.0 / time.as_secs_f64() })
    }

    pub(super) const fn rate(bits_per_s: f64) -> Self {
        Self(bits_per_s)
    }
}

impl fmt::Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = match self.0 {
            bits if bits >= 1e9 => (bits / 1e9, "Gbit/s"),
            bits if bits >= 1e6 => (bits / 1e6, "Mbit/s"),
            bits => (bits / 1e3, "kbit/s"),
        };
        f.pad(&format!("{value:.2} {unit}"))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&HumanBytes(self.0).to_string())
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let again = self.retransmitted_packets.map_or_else(|| "-".to_owned(), |packets| packets.to_string());
        write!(f, "{:>8.1} s {:>15}", self.seconds, Bytes(self.bytes))?;
        write!(f, " {:>16} {again:>12} {:>10}", Bits::rate(self.bits_per_second), milliseconds(self.rtt_us))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, rate) = (Bytes(self.bytes), Bits::rate(self.goodput_bits_per_second));
        let cut = if self.interrupted { ", interrupted" } else { "" };
        writeln!(f, "received {bytes} in {:.2} s: {rate}{cut}", self.seconds)?;
        if self.connections > 1 {
            writeln!(f, "over {} connections, Jain index {:.3}", self.connections, self.jain_index)?;
        }
        write!(f, "sender:   {}", self.cpu(self.cpu_seconds_sender))?;
        match (self.retransmitted_packets, self.sent_packets) {
            (Some(again), Some(all @ 1..)) => {
                write!(f, ", {again} of {all} packets sent again ({:.3} %)", 100.0 * again as f64 / all as f64)?;
            }
            (Some(again), _) => write!(f, ", {again} packets sent again")?,
            (None, _) => {}
        }
        if self.rtt_us.is_some() {
            write!(f, ", RTT {}, at least {}", milliseconds(self.rtt_us), milliseconds(self.rtt_us_min))?;
        }
        write!(f, "\nreceiver: {}", self.cpu(self.cpu_seconds_receiver))?;
        if let Some(drops @ 1..) = self.kernel_drops_receiver {
            write!(f, ", its kernel dropped {drops} datagrams since the server started: raise net.core.rmem_max")?;
        }
        if self.connections_receiver > self.connections {
            write!(f, "; it had other tests meanwhile, so its CPU time is not of this one alone")?;
        }
        Ok(())
    }
}

impl Outcome {
    fn cpu(&self, seconds: f64) -> String {
        let percent = 100.0 * seconds / self.sender_seconds.max(1e-6);
        let per_gb = match self.bytes {
            // Of less it would be the cost of the beginning.
            1_000_000.. => format!(", {:.2} s per GB", seconds * 1e9 / self.bytes as f64),
            _ => String::new(),
        };
        format!("{seconds:.2} s of CPU time ({percent:.0} % of a core{per_gb})")
    }
}

fn milliseconds(time_us: Option<u64>) -> String {
    time_us.map_or_else(|| "-".to_owned(), |us| format!("{:.2} ms", us as f64 / 1e3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_units() {
        let rate = |bytes, seconds| Bits::per_second(bytes, Duration::from_secs(seconds)).to_string();
        assert_eq!((rate(1_250_000_000, 1), rate(1_250_000, 2)), ("10.00 Gbit/s".into(), "5.00 Mbit/s".into()));
        assert_eq!((rate(125, 1), rate(125, 0)), ("1.00 kbit/s".into(), "0.00 kbit/s".into()));
    }

    #[test]
    fn lines_stand_below_their_head() {
        let interval = Interval {
            seconds: 1.0,
            bytes: 1 << 20,
            bits_per_second: 8e6,
            retransmitted_packets: Some(3),
            rtt_us: None,
        };
        assert_eq!(interval.to_string().chars().count(), HEAD.chars().count());
    }
}
