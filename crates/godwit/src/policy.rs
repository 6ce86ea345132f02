//! How fast this side sends over UDT: the controller and its ceiling, from their spelling on the command line.

use std::time::Duration;

use godwit_udt::{Config, ControllerKind};

/// What the client waits for a connection, whatever the transport; `godwit-http` bounds it as a whole.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A policy by its name.
pub(crate) fn parse_policy(text: &str) -> Result<ControllerKind, String> {
    match text {
        "native" => Ok(ControllerKind::Native),
        "fair" => Ok(ControllerKind::Fair),
        "low" => Ok(ControllerKind::Low),
        "high" => Ok(ControllerKind::High),
        _ => match text.strip_prefix("fixed:") {
            Some(rate) => parse_rate(rate).map(|bits_per_s| ControllerKind::Fixed { bits_per_s }),
            None => Err("there are native, fair, low, high and fixed:RATE".into()),
        },
    }
}

/// Bits per second: a number with k, M or G behind it for powers of 1000.
pub(crate) fn parse_rate(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|unit: char| !unit.is_ascii_digit());
    let factor = match &text[digits.len()..] {
        "" => 1,
        "k" | "K" => 1_000,
        "m" | "M" => 1_000_000,
        "g" | "G" => 1_000_000_000,
        _ => return Err("unknown unit: use k, M or G (bits per second)".into()),
    };
    let number: u64 = digits.parse().map_err(|_| "not a rate: write it as in 500k or 20M (bits per second)")?;
    let rate = number.checked_mul(factor).ok_or("too large")?;
    if rate < 1_000 { Err("the slowest rate is 1k".into()) } else { Ok(rate) }
}

/// The settings of this side's UDT connections.
pub(crate) fn udt_config(policy: ControllerKind, max_rate_bits_per_s: Option<u64>) -> Config {
    Config::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .controller(policy)
        .max_rate_bits_per_s(max_rate_bits_per_s)
        .build()
        .expect("parse_rate keeps rates in range, and the rest are defaults")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_and_rates_are_read_as_they_are_written() {
        assert_eq!(parse_policy("fair"), Ok(ControllerKind::Fair));
        assert_eq!(parse_policy("fixed:20M"), Ok(ControllerKind::Fixed { bits_per_s: 20_000_000 }));
        for wrong in ["", "fixed", "fixed:", "fixed:1", "fixed:9X", "fixed:99999999999G", "Fair"] {
            assert!(parse_policy(wrong).is_err(), "{wrong}");
        }
        assert_eq!(udt_config(ControllerKind::Low, Some(1_000)).mss_bytes(), None);
    }
}
