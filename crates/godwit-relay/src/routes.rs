//! Where a datagram goes: from the port it came in by and its source, to the port it leaves by and its destination.

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, UdpSocket},
};

use crate::{Direction, socket};

/// Clients of one relay, each of which costs a socket.
const CLIENTS_MAX: usize = 512;

/// The index of a socket in the relay's list.
pub(crate) type Port = usize;

/// One hop of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hop {
    pub(crate) direction: Direction,
    pub(crate) leaves_by: Port,
    pub(crate) to: SocketAddr,
}

/// Why a datagram goes nowhere.
#[derive(Debug)]
pub(crate) enum NoHop {
    /// It is no business of this relay: a stranger, or the other end is not known yet.
    Stray,
    /// The client is one too many, or there is no socket for it.
    ClientRefused,
}

#[derive(Debug)]
pub(crate) enum Routes {
    /// Port 0 faces all clients; each client has a port of its own, from which the server hears it.
    Server { server: SocketAddr, clients: Vec<SocketAddr>, port_of: HashMap<SocketAddr, Port> },
    /// Port 0 faces A, port 1 faces B. An address of port 0 is learned from the first datagram.
    Between { ends: [SocketAddr; 2] },
}

impl Routes {
    pub(crate) fn to_server(server: SocketAddr) -> Self {
        Self::Server { server, clients: Vec::new(), port_of: HashMap::new() }
    }

    /// The hop of a datagram from `source` that came in by `port`; a new client gets its socket from `open_port`.
    pub(crate) fn hop(
        &mut self,
        port: Port,
        source: SocketAddr,
        open_port: impl FnOnce(UdpSocket) -> Port,
    ) -> Result<Hop, NoHop> {
        match self {
            Self::Server { server, clients, port_of } if port == 0 => {
                let leaves_by = match port_of.get(&source) {
                    Some(port) => *port,
                    None if clients.len() == CLIENTS_MAX => return Err(NoHop::ClientRefused),
                    None => {
                        let port = open_port(socket::open_towards(*server)?);
                        clients.push(source);
                        port_of.insert(source, port);
                        port
                    }
                };
                Ok(Hop { direction: Direction::Forward, leaves_by, to: *server })
            }
            Self::Server { server, clients, .. } => {
                let client = clients.get(port - 1).filter(|_| source == *server).ok_or(NoHop::Stray)?;
                Ok(Hop { direction: Direction::Backward, leaves_by: 0, to: *client })
            }
            Self::Between { ends } => {
                let end = &mut ends[port];
                if end.port() == 0 {
                    *end = source;
                }
                let other = 1 - port;
                if ends[port] != source || ends[other].port() == 0 {
                    return Err(NoHop::Stray);
                }
                let direction = if port == 0 { Direction::Forward } else { Direction::Backward };
                Ok(Hop { direction, leaves_by: other, to: ends[other] })
            }
        }
    }
}

impl From<io::Error> for NoHop {
    fn from(_: io::Error) -> Self {
        Self::ClientRefused
    }
}
