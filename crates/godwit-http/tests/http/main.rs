//! The server and the client over real sockets of this machine.

mod exchange;
mod raw_client;
mod raw_server;
mod raw_udt_client;
mod support;
