//! The protocol cores of `godwit-proto` under a virtual clock: many paths, faults and rivals, the same every time.
//!
//! A [`scenario::Scenario`] and a seed decide everything. [`measured::run`] runs and measures one; [`world::World`] is the network
//! itself: links (the model of `godwit-relay`), hosts with their noise, our own endpoints, models of libudt and of TCP, one clock.
//!
//! ```
//! use std::time::Duration;
//! use godwit_sim::{controller::Contender, measured, scenario::{Flow, Scenario}};
//!
//! let rtt = Duration::from_millis(20);
//! let flow = Flow::new("native".parse::<Contender>()?.flow(), rtt);
//! let scenario = Scenario::new("example", 10.0, rtt, 1.0, vec![flow]).lossy(0.001).lasting(2.0);
//! let measured = measured::run(&scenario, 1, false)?;
//! assert!(measured.utilisation() > 0.0 && measured.utilisation() <= 1.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The program
//!
//! * `cargo run --release -p godwit-sim -- matrix [FILTER]` runs the [`catalogue`] with five seeds, judges the worst against the
//!   pass lines ([`mod@line`]) and prints what was reached beside what the prototype of the controller reached. A run that was
//!   made is not made again, unless the program or the scenario has changed.
//! * `replay SCENARIO --seed S [--trace]` makes one run again, `plot SCENARIO --seed S` draws it.
//! * `random` draws scenarios and settings from seeds; `cargo test` runs the first of them, and those in `regressions/`.
//! * `scale --flows 10000` lets flows of all sizes come and go on one link.
//!
//! # What is checked
//!
//! After each step: the bytes read are those written ([`content`]), nothing leaves beyond the window ([`window_check`]), no
//! timer lies in the past after a drain, and time goes on. Each 10 ms: buffers keep to their limits. At the end of a random
//! scenario: faults stop, and everything arrives and ends.
//!
//! What it does not do: real time, real sockets and kernels, or processor load. At 10 Gbit/s it shows what the protocol does, not
//! what a machine can; those scenarios last a few seconds, because each is millions of packets.

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
