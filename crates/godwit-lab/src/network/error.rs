//! Why there is no network.

/// Why a network could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// Not written yet.
    #[error("the network is not there yet")]
    Unfinished,
}

/// Why a network could not be calibrated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationError {
    /// Not written yet.
    #[error("the calibration is not there yet")]
    Unfinished,
}
