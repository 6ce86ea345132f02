//! The controllers that can be named on the command line, and what they are in a connection's settings.

use std::fmt;
use std::str::FromStr;

use godwit_proto::{Config, ConfigBuilder, ConfigError, ControllerKind};

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
#[error("no controller is called so; there are: {}", ControllerChoice::NAMES)]
pub struct UnknownController;

impl ControllerChoice {
    /// The names, for help and errors.
    pub const NAMES: &str = "native, native-cap:MBITS";

    /// The one that pass lines are for, unless another is asked for.
    pub const DEFAULT_NAME: &str = "native";

    /// The settings of a connection with this controller.
    ///
    /// # Errors
    /// The builder's values are out of range.
    pub fn apply(self, builder: ConfigBuilder) -> Result<Config, ConfigError> {
        match self {
            Self::Native => builder.controller(ControllerKind::Native).build(),
            Self::NativeCapped(rate) => builder.controller(ControllerKind::Native).max_rate_bits_per_s(Some(rate)).build(),
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
