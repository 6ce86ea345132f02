//! The controllers that can be named on the command line, and what they are in a connection's settings.
//!
//! A new one needs a line in `kind_named`, and its name in [`Contender::NAMES`]; nothing else here has to know.

use std::str::FromStr;

use godwit_proto::{Config, ConfigBuilder, ConfigError, ControllerKind};

use crate::rival::RivalKind;
use crate::scenario::{FlowKind, Reference};

/// A controller of ours by name: `NAME`, or `NAME,max:MBITS` with a cap; `cap:MBITS` is the fair one with a cap.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct ControllerChoice {
    /// Which one.
    pub kind: ControllerKind,
    /// The cap, if any, on the wire.
    pub max_rate_bits_per_s: Option<u64>,
}

/// A name that stands for no controller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no controller is called so; there are: {}", Contender::NAMES)]
pub struct UnknownController;

impl ControllerChoice {
    /// The settings of a connection with this controller.
    ///
    /// # Errors
    /// The builder's values are out of range.
    pub fn apply(self, builder: ConfigBuilder) -> Result<Config, ConfigError> {
        builder.controller(self.kind).max_rate_bits_per_s(self.max_rate_bits_per_s).build()
    }
}

impl FromStr for ControllerChoice {
    type Err = UnknownController;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let (kind, cap) = match (name.split_once(",max:"), name.strip_prefix("cap:")) {
            (Some((kind, cap)), _) => (kind, Some(cap)),
            (None, Some(cap)) => ("fair", Some(cap)),
            (None, None) => (name, None),
        };
        let max_rate_bits_per_s = cap.map(|cap| bits_per_s(cap).ok_or(UnknownController)).transpose()?;
        let kind = kind_named(kind).ok_or(UnknownController)?;
        Ok(Self { kind, max_rate_bits_per_s })
    }
}

/// The controller of this name, without a cap.
fn kind_named(name: &str) -> Option<ControllerKind> {
    match name {
        "native" => Some(ControllerKind::Native),
        "fair" => Some(ControllerKind::Fair),
        "low" => Some(ControllerKind::Low),
        "high" => Some(ControllerKind::High),
        "cubic" => Some(ControllerKind::Cubic),
        _ => {
            let rate = name.strip_prefix("fixed:")?;
            bits_per_s(rate).map(|bits_per_s| ControllerKind::Fixed { bits_per_s })
        }
    }
}

/// A rate in Mbit/s, from text.
fn bits_per_s(mbits: &str) -> Option<u64> {
    let mbits: f64 = mbits.parse().ok()?;
    (mbits > 0.0).then_some((mbits * 1e6) as u64)
}

/// Whom the matrix puts to the test: a controller of ours, or for comparison a model of TCP.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contender(FlowKind);

impl Contender {
    /// The names, for help and errors.
    pub const NAMES: &str = "native, fair, low, high, fixed:MBITS, cubic, tcp-cubic, tcp-bbr, tcp-bbr1; one of ours with ,max:MBITS after it is capped";
    /// Who it is unless another is asked for.
    pub const DEFAULT_NAME: &str = "fair";

    /// A flow of this kind.
    pub fn flow(self) -> FlowKind {
        self.0
    }

    /// What the same controller reached in the prototype's simulator: the utilisation.
    pub fn reference(self, reference: &Reference) -> Option<f64> {
        match self.0 {
            FlowKind::Rival(RivalKind::Cubic) => reference.cubic,
            FlowKind::Rival(RivalKind::Bbr) => reference.bbr,
            FlowKind::Godwit(choice) | FlowKind::ToLibudt(choice) => match choice.kind {
                ControllerKind::Native => reference.native,
                ControllerKind::Cubic => reference.cubic,
                _ => reference.fair,
            },
            FlowKind::Rival(RivalKind::BbrV1) | FlowKind::FromLibudt | FlowKind::Libudt => None,
        }
    }

    /// The mean queue that it kept there, in milliseconds, where that is known.
    pub fn reference_queue_ms(self, reference: &Reference) -> Option<f64> {
        match self.0 {
            FlowKind::Godwit(choice) if !matches!(choice.kind, ControllerKind::Native | ControllerKind::Cubic) => {
                reference.fair_queue_ms
            }
            _ => None,
        }
    }

    /// The same sender towards a libudt receiver, if it can talk to one.
    pub fn to_libudt(self) -> Option<FlowKind> {
        match self.0 {
            FlowKind::Godwit(controller) => Some(FlowKind::ToLibudt(controller)),
            _ => None,
        }
    }
}

impl FromStr for Contender {
    type Err = UnknownController;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "tcp-cubic" => Ok(Self(FlowKind::Rival(RivalKind::Cubic))),
            "tcp-bbr" => Ok(Self(FlowKind::Rival(RivalKind::Bbr))),
            "tcp-bbr1" => Ok(Self(FlowKind::Rival(RivalKind::BbrV1))),
            name => name.parse().map(|controller| Self(FlowKind::Godwit(controller))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        let capped: ControllerChoice = "native,max:30".parse().expect("a controller with a cap");
        assert_eq!(capped.max_rate_bits_per_s, Some(30_000_000));
        assert_eq!("fair".parse(), Ok(ControllerChoice::default()));
        for wrong in ["", "nativ", "native,max:", "native,max:-1", "tcp-reno"] {
            assert_eq!(wrong.parse::<Contender>(), Err(UnknownController), "{wrong}");
        }
    }
}
