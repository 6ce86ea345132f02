//! What an idle connection keeps allocated: the core, and what the driver, the tables and the stream add.

mod support;

use allocation_counter::measure;
use godwit_udt::{Config, EndpointConfig, ListenLimits, Stream};
use support::{V4, endpoint, in_time};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What each end of an idle connection may hold in this crate and below it.
const IDLE_BYTES_MAX: usize = 16 << 10;
/// So many that what an endpoint has once does not count.
const CONNECTIONS: usize = 256;

#[test]
fn an_idle_connection_takes_less_than_16_kib_with_its_driver() {
    // On one thread, since what it allocates is counted.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let server = godwit_udt::Endpoint::bind(V4.parse().unwrap(), EndpointConfig::default()).unwrap();
    let limits = ListenLimits { connections_per_address_max: 2 * CONNECTIONS, ..ListenLimits::default() };
    let listener = server.listen(Config::default(), limits).unwrap();
    let client = endpoint(V4);
    let connect = async || {
        let remote = server.local_addr();
        let (connected, accepted) = tokio::join!(client.connect(remote, Config::default()), listener.accept());
        let mut pair: [Stream; 2] = [connected.unwrap(), accepted.unwrap()];
        for (from, to) in [(0, 1), (1, 0)] {
            pair[from].write_all(&[7; 1000]).await.unwrap();
            pair[to].read_exact(&mut [0; 1000]).await.unwrap();
        }
        pair
    };
    // Buffers of the endpoints, and what the runtime makes when it is first used.
    let first = runtime.block_on(in_time(connect()));
    let mut pairs = Vec::with_capacity(CONNECTIONS);
    let allocated = measure(|| {
        runtime.block_on(in_time(async {
            for _ in 0..CONNECTIONS {
                pairs.push(connect().await);
            }
        }));
    });
    let bytes = usize::try_from(allocated.bytes_current).expect("more than before") / (2 * CONNECTIONS);
    println!("{bytes} bytes per end");
    assert!(bytes < IDLE_BYTES_MAX, "{bytes} bytes per end of an idle connection");
    drop((first, pairs));
}
