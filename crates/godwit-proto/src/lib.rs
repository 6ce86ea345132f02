//! The UDT 4 protocol as a value: no I/O, no clock, no threads, no async

pub mod packet;
pub mod seq;
