//! The protocol cores of `godwit-proto` under a virtual clock: many paths, faults and rivals, the same every time.
//!
//! A [`scenario::Scenario`] and a seed decide everything; [`measured::run`] runs it and measures it, [`world::World`] is the network
//! itself. What it does not do: real time, real sockets, real kernels (that is the lab's), or processor load.

pub mod agenda;
pub mod agent;
pub mod catalogue;
pub mod clock;
pub mod content;
pub mod controller;
pub mod failure;
pub mod host;
pub mod libudt;
pub mod line;
pub mod matrix;
pub mod measured;
pub mod parcel;
pub mod peer;
pub mod plot;
pub mod random;
pub mod results;
pub mod rival;
pub mod scale;
pub mod scenario;
pub mod table;
pub mod trace;
pub mod window_check;
pub mod workload;
pub mod world;
