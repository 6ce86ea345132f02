//! The controllers that can be named on the command line, and what they are in a connection's settings.

use std::fmt;
use std::str::FromStr;

use godwit_proto::{Config, ConfigBuilder, ConfigError, ControllerKind};

use crate::rival::RivalKind;
use crate::scenario::{FlowKind, Reference};

/// A controller, by name.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum ControllerChoice {
    /// libudt's own.
    #[default]
    Native,
    /// Native, never faster than this, in bits per second.
    NativeCapped(u64),
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
        match self {
            Self::Native => builder.controller(ControllerKind::Native).build(),
            Self::NativeCapped(rate) => {
                builder.controller(ControllerKind::Native).max_rate_bits_per_s(Some(rate)).build()
            }
        }
    }
}

impl FromStr for ControllerChoice {
    type Err = UnknownController;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let (kind, rate) = name.split_once(':').map_or((name, None), |(kind, rate)| (kind, Some(rate)));
        let rate_bits_per_s = || -> Option<u64> { Some((rate?.parse::<f64>().ok()? * 1e6) as u64) };
        match kind {
            "native" if rate.is_none() => Ok(Self::Native),
            "native-cap" => rate_bits_per_s().map(Self::NativeCapped).ok_or(UnknownController),
            _ => Err(UnknownController),
        }
    }
}

impl fmt::Display for ControllerChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native => write!(f, "native"),
            Self::NativeCapped(rate) => write!(f, "native-cap:{}", *rate as f64 / 1e6),
        }
    }
}

/// Whom the matrix puts to the test: a controller of ours, or for comparison a model of TCP.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contender(FlowKind);

impl Contender {
    /// The names, for help and errors.
    pub const NAMES: &str = "native, native-cap:MBITS, tcp-cubic, tcp-bbr";
    /// Who it is unless another is asked for.
    pub const DEFAULT_NAME: &str = "native";

    /// A flow of this kind.
    pub fn flow(self) -> FlowKind {
        self.0
    }

    /// What the same controller reached in the prototype's simulator: the utilisation.
    pub fn reference(self, reference: &Reference) -> Option<f64> {
        match self.0 {
            FlowKind::Rival(RivalKind::Cubic) => reference.cubic,
            FlowKind::Rival(RivalKind::Bbr) => reference.bbr,
            FlowKind::Godwit(ControllerChoice::Native | ControllerChoice::NativeCapped(_)) => reference.native,
            #[expect(unreachable_patterns, reason = "for the controllers to come")]
            FlowKind::Godwit(_) | FlowKind::ToLibudt(_) => reference.fair,
        }
    }

    /// The same sender towards a libudt receiver, if it can talk to one.
    pub fn to_libudt(self) -> Option<FlowKind> {
        match self.0 {
            FlowKind::Godwit(controller) => Some(FlowKind::ToLibudt(controller)),
            FlowKind::ToLibudt(_) | FlowKind::Rival(_) => None,
        }
    }
}

impl FromStr for Contender {
    type Err = UnknownController;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "tcp-cubic" => Ok(Self(FlowKind::Rival(RivalKind::Cubic))),
            "tcp-bbr" => Ok(Self(FlowKind::Rival(RivalKind::Bbr))),
            name => name.parse().map(|controller| Self(FlowKind::Godwit(controller))),
        }
    }
}
