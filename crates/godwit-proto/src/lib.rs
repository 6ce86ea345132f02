//! The UDT 4 protocol as a value: no I/O, no clock, no threads, no async

pub mod congestion;
#[cfg_attr(not(test), expect(dead_code, reason = "the connection that uses these follows"))]
mod connection;
pub mod packet;
pub mod seq;
#[cfg(test)]
mod virtual_time;
