//! How an end of ours and a C++ peer come to be connected: who connects, from which addresses, over which path.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use godwit_relay::{Filter, LinkConfig, Relay, RelayBuilder};
use godwit_udt::{Config, ConfigBuilder, Stream};

use crate::{CppPeer, CppPeerBuilder, OurEnd, TransferError};

/// Which end connects to which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Ours connects, the C++ peer listens.
    WeConnect,
    /// Ours listens, the C++ peer connects.
    WeListen,
    /// Both connect.
    Rendezvous,
}

/// An end of ours and a C++ peer that are to be connected; over IPv4 and the loopback, unless it is told otherwise.
#[derive(Clone)]
pub struct Meeting {
    role: Role,
    config: ConfigBuilder,
    /// Ours, then the peer's.
    ips: [IpAddr; 2],
    places: Option<[Place; 2]>,
    path: Option<Path>,
}

/// Moves the calling thread to where an end is to be, for good.
pub(crate) type Place = Arc<dyn Fn() + Send + Sync>;

/// The two ends once they are connected.
#[derive(Debug)]
pub struct Met {
    /// Our connection.
    pub stream: Stream,
    /// What drives it.
    pub ours: OurEnd,
    /// The other end.
    pub cpp: CppPeer,
    /// The path between them, if there is more than a loopback.
    pub relay: Option<Relay>,
}

#[derive(Clone)]
struct Path {
    from_us: LinkConfig,
    to_us: LinkConfig,
    seed: u64,
    filter: Option<Arc<dyn Fn() -> Filter + Send + Sync>>,
}

impl fmt::Debug for Meeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, ips, path, .. } = self;
        f.debug_struct("Meeting")
            .field("role", role)
            .field("ips", ips)
            .field("path", &path.as_ref().map(|path| (path.from_us, path.to_us, path.seed)))
            .finish_non_exhaustive()
    }
}

impl Meeting {
    /// A meeting in this role.
    pub fn new(role: Role) -> Self {
        let ips = [Ipv4Addr::LOCALHOST.into(); 2];
        Self { role, config: Config::builder(), ips, places: None, path: None }
    }

    /// In another role.
    #[must_use]
    pub fn role(self, role: Role) -> Self {
        Self { role, ..self }
    }

    /// Over the IPv6 loopback.
    #[must_use]
    pub fn over_ipv6(self) -> Self {
        Self { ips: [Ipv6Addr::LOCALHOST.into(); 2], ..self }
    }

    /// Each end inside of a network namespace, with this address there; ours first.
    #[cfg(target_os = "linux")]
    #[must_use]
    pub fn inside(self, namespaces: [Arc<crate::netns::Namespace>; 2], ips: [IpAddr; 2]) -> Self {
        let places = namespaces.map(|namespace| Arc::new(move || namespace.enter()) as Place);
        Self { places: Some(places), ips, ..self }
    }

    /// Changes the settings of our end.
    #[must_use]
    pub fn ours(mut self, set: impl FnOnce(ConfigBuilder) -> ConfigBuilder) -> Self {
        self.config = set(self.config);
        self
    }

    /// Over a path through a relay: what we send takes the first link, what the peer sends the other.
    #[must_use]
    pub fn over(mut self, from_us: LinkConfig, to_us: LinkConfig) -> Self {
        let path = self.path.get_or_insert_with(Path::clear);
        (path.from_us, path.to_us) = (from_us, to_us);
        self
    }

    /// Decides the random faults of the path.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.path.get_or_insert_with(Path::clear).seed = seed;
        self
    }

    /// Through a relay that judges each datagram. Its forward direction is that from the end that connects to the one
    /// that listens; in a rendezvous, from ours to the peer.
    #[must_use]
    pub fn filtered(mut self, filter: impl Fn() -> Filter + Send + Sync + 'static) -> Self {
        self.path.get_or_insert_with(Path::clear).filter = Some(Arc::new(filter));
        self
    }

    /// Whether the path loses nothing that was planned.
    pub(crate) fn is_clear(&self) -> bool {
        self.path
            .as_ref()
            .is_none_or(|path| path.filter.is_none() && path.from_us.loss == 0.0 && path.to_us.loss == 0.0)
    }

    /// Starts both ends and connects them.
    ///
    /// # Errors
    /// They do not get connected.
    pub fn start(&self, cpp: CppPeerBuilder) -> Result<Met, TransferError> {
        let [our_place, _] = self.places.clone().map_or([None, None], |places| places.map(Some));
        let ours = OurEnd::bind_at(our_place, self.ips[0])?;
        match self.role {
            Role::WeConnect => self.connect(ours, cpp),
            Role::WeListen => self.listen(ours, cpp),
            Role::Rendezvous => self.rendezvous(ours, cpp),
        }
    }

    fn connect(&self, ours: OurEnd, cpp: CppPeerBuilder) -> Result<Met, TransferError> {
        let mut cpp = self.spawn(cpp.listen(self.any_port_of_cpp()))?;
        let mut remote = cpp.address()?;
        let relay = self.path.as_ref().map(|path| path.start(Relay::builder(remote), true)).transpose()?;
        if let Some(relay) = &relay {
            remote = relay.addr();
        }
        let stream = ours.connect(remote, self.config.clone().build()?)?;
        cpp.connected()?;
        Ok(Met { stream, ours, cpp, relay })
    }

    fn listen(&self, ours: OurEnd, cpp: CppPeerBuilder) -> Result<Met, TransferError> {
        let listener = ours.listen(self.config.clone().build()?)?;
        let mut remote = ours.addr();
        let relay = self.path.as_ref().map(|path| path.start(Relay::builder(remote), false)).transpose()?;
        if let Some(relay) = &relay {
            remote = relay.addr();
        }
        let mut cpp = self.spawn(cpp.connect(remote))?;
        cpp.connected()?;
        let stream = ours.accept(&listener)?;
        Ok(Met { stream, ours, cpp, relay })
    }

    fn rendezvous(&self, ours: OurEnd, cpp: CppPeerBuilder) -> Result<Met, TransferError> {
        let (local, any) = (ours.addr(), self.any_port_of_cpp());
        let relay = self.path.as_ref().map(|path| path.start(Relay::between(local, any), true)).transpose()?;
        let mut cpp = self.spawn(cpp.rendezvous(any, relay.as_ref().map_or(local, Relay::addr_for_b)))?;
        let remote = match &relay {
            Some(relay) => relay.addr(),
            None => cpp.address()?,
        };
        let stream = ours.connect(remote, self.config.clone().rendezvous(true).build()?)?;
        cpp.connected()?;
        Ok(Met { stream, ours, cpp, relay })
    }

    fn any_port_of_cpp(&self) -> SocketAddr {
        (self.ips[1], 0).into()
    }

    fn spawn(&self, cpp: CppPeerBuilder) -> Result<CppPeer, TransferError> {
        let Some([_, place]) = &self.places else { return Ok(cpp.spawn()?) };
        let spawn_there = || {
            place();
            cpp.spawn()
        };
        std::thread::scope(|scope| Ok(scope.spawn(spawn_there).join().expect("spawning does not panic")?))
    }
}

impl Path {
    fn clear() -> Self {
        Self { from_us: LinkConfig::default(), to_us: LinkConfig::default(), seed: 0, filter: None }
    }

    fn start(&self, relay: RelayBuilder, we_are_forward: bool) -> Result<Relay, TransferError> {
        let (forward, backward) = if we_are_forward { (self.from_us, self.to_us) } else { (self.to_us, self.from_us) };
        let relay = relay.forward(forward).backward(backward).seed(self.seed);
        Ok(match &self.filter {
            None => relay.start()?,
            Some(filter) => relay.filter(filter()).start()?,
        })
    }
}
