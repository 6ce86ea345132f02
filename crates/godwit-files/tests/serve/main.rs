//! The service as a client sees it, in process: no network, real files.

mod beneath;
mod digests;
mod fixture;
mod listing;
mod ranges;
mod reading;
mod refused_uploads;
mod uploads;
