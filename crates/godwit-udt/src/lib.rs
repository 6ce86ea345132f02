//! UDT 4 on tokio: Endpoint, Listener, Stream

mod arrival_clock;
mod connection;
mod driver;
mod endpoint;
mod error;
mod handle;
mod inbound;
mod listener;
mod outbound;
mod pacer;
mod path_mtu;
mod rate_limit;
mod receive_budget;
mod receive_pool;
mod schedule;
mod shared;
mod side_channel;
mod socket;
mod socket_buffers;
mod socket_options;
mod socket_stats;
mod stream;

pub use endpoint::Endpoint;
pub use error::{
    AcceptError, BindError, ConnectError, ConnectionError, ListenError, ListenRefused, ReadError, SideChannelError,
    SideSendError, WriteError,
};
pub use godwit_proto::{
    Config, ConfigBuilder, ConfigError, ControllerKind, EndpointConfig, EndpointStats, ListenLimits, MessageOptions,
    ReceiverStats, SenderStats, Side, SocketType, Stats,
};
pub use handle::ConnectionHandle;
pub use listener::Listener;
pub use side_channel::{SideChannel, SideReceived, SideTransmit};
pub use socket_stats::{SocketConfig, SocketStats};
pub use stream::Stream;
