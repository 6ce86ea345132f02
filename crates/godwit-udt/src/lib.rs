//! UDT 4 on tokio: Endpoint, Listener, Stream
