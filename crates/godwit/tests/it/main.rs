//! The real binary against servers that are ours, foreign, broken or lying.

mod arguments;
mod cat;
mod demo;
mod disk;
mod foreign;
mod interrupted;
mod lying_server;
mod perf;
mod resume;
mod round_trip;
mod support;
