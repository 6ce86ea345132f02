//! The server and the client over real sockets of this machine.

mod exchange;
mod support;
