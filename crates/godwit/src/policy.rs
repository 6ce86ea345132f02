//! How fast this side sends: the controller and the bounds of its rate, from their spelling on the command line.

use std::time::Duration;

use godwit_udt::{Config, ConfigBuilder, ControllerKind};

use crate::cli::SendingArgs;
use crate::error::UsageError;

/// What the client waits for a connection, whatever the transport; `godwit-http` bounds it as a whole.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A policy by its name.
pub(crate) fn parse_policy(text: &str) -> Result<ControllerKind, String> {
    match text {
        "native" => Ok(ControllerKind::Native),
        "fair" => Ok(ControllerKind::Fair),
        "low" => Ok(ControllerKind::Low),
        "high" => Ok(ControllerKind::High),
        "cubic" => Ok(ControllerKind::Cubic),
        _ => match text.strip_prefix("fixed:") {
            Some(rate) => parse_rate(rate).map(|bits_per_s| ControllerKind::Fixed { bits_per_s }),
            None => Err("there are fair, low, high, fixed:RATE, native and cubic".into()),
        },
    }
}

/// The name of a policy, without its rate.
pub(crate) fn policy_name(policy: ControllerKind) -> &'static str {
    match policy {
        ControllerKind::Native => "native",
        ControllerKind::Fair => "fair",
        ControllerKind::Low => "low",
        ControllerKind::High => "high",
        ControllerKind::Fixed { .. } => "fixed",
        ControllerKind::Cubic => "cubic",
        _ => "other",
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

/// The settings of this side's UDT connections; without a linger time the default one.
///
/// # Errors
/// Arguments that contradict each other.
pub(crate) fn udt_config(args: &SendingArgs, linger: Option<Duration>) -> Result<Config, UsageError> {
    let builder = udt_builder(args)?;
    let config = linger.into_iter().fold(builder, ConfigBuilder::linger).build();
    Ok(config.expect("parse_rate keeps rates in range, the bounds were compared, and the rest are defaults"))
}

/// The same, to be added to.
///
/// # Errors
/// As [`udt_config`].
pub(crate) fn udt_builder(args: &SendingArgs) -> Result<ConfigBuilder, UsageError> {
    let policy = args.policy.unwrap_or_default();
    let keeps_minimum = matches!(policy, ControllerKind::Fair | ControllerKind::High | ControllerKind::Fixed { .. });
    match (args.min_rate, args.max_rate) {
        (Some(_), _) if !keeps_minimum => return Err(UsageError::NoMinimum),
        (Some(min), Some(max)) if min > max => return Err(UsageError::MinAboveMax { min, max }),
        _ => {}
    }
    Ok(Config::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .controller(policy)
        .max_rate_bits_per_s(args.max_rate)
        .min_rate_bits_per_s(args.min_rate))
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
    }

    #[test]
    fn bounds_that_contradict_are_refused() {
        let args = |policy, min_rate, max_rate| SendingArgs { policy, min_rate, max_rate };
        let fair = Some(ControllerKind::Fair);
        assert!(udt_config(&args(None, None, Some(1_000)), Some(Duration::from_secs(3600))).is_ok());
        assert!(udt_config(&args(fair, Some(1_000), Some(1_000)), None).is_ok());
        assert!(matches!(udt_config(&args(fair, Some(2_000), Some(1_000)), None), Err(UsageError::MinAboveMax { .. })));
        for policy in [ControllerKind::Low, ControllerKind::Native, ControllerKind::Cubic] {
            let result = udt_config(&args(Some(policy), Some(2_000), None), None);
            assert!(matches!(result, Err(UsageError::NoMinimum)), "{policy:?}");
        }
    }
}
