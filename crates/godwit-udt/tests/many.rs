//! Many connections on one UDP port, and how much memory they take. Alone in its process, so that the memory is theirs.

mod support;

use std::time::Duration;

use godwit_udt::{Config, ListenLimits, Stream};
use support::{Bytes, V4, endpoint, in_time};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const CONNECTIONS: usize = 200;
/// Each way, over each: enough that the socket buffer overflows, and 1 s of work without optimisation, so that a busy machine comes far
/// below the limit for hangs.
const BYTES: usize = 256 << 10;
/// What the process may grow by: twice what the buffers of all connections hold if nobody reads anything.
const GROWTH_MIB_MAX: usize = (2 * 2 * CONNECTIONS * BYTES) >> 20;

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_connections_at_once_lose_nothing() {
    in_time(async {
        let before = status_bytes("VmRSS:");
        let (server, client) = (endpoint(V4), endpoint(V4));
        let listener = server.listen(Config::default(), ListenLimits::default()).unwrap();
        let remote = server.local_addr();
        let mut tasks = Vec::new();
        for index in 0..CONNECTIONS as u64 {
            let client = client.clone();
            tasks.push(tokio::spawn(async move {
                // Beyond the limit for hangs.
                let config = Config::builder().connect_timeout(Duration::from_secs(180)).build().unwrap();
                let mut stream = client.connect(remote, config).await.unwrap();
                stream.write_all(&index.to_be_bytes()).await.unwrap();
                exchange(&mut stream, 2 * index, 2 * index + 1).await;
                stream.close().await.unwrap();
            }));
        }
        for _ in 0..CONNECTIONS {
            let mut stream = listener.accept().await.unwrap();
            tasks.push(tokio::spawn(async move {
                let index = stream.read_u64().await.unwrap();
                exchange(&mut stream, 2 * index + 1, 2 * index).await;
                // If the socket buffer was too full for all three shutdowns, one comes in answer to a keep-alive, 10 s later.
                assert_eq!(stream.read_chunk(1).await.unwrap(), None);
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        println!("{:?}\n{:?}", client.socket_stats(), server.socket_stats());
        match (before, status_bytes("VmHWM:")) {
            (Some(before), Some(peak)) => {
                let grown_mib = (peak - before) >> 20;
                println!("{CONNECTIONS} connections, {} KiB each way: grew by {grown_mib} MiB", BYTES >> 10);
                assert!(grown_mib < GROWTH_MIB_MAX, "{grown_mib} MiB");
            }
            _ => println!("memory not measured: this system has no /proc/self/status"),
        }
    })
    .await;
}

/// Sends the bytes of one seed and checks those of another, both piece by piece: nothing is held but by the connection.
async fn exchange(stream: &mut Stream, sent: u64, expected: u64) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let writing = async {
        let (mut bytes, mut piece) = (Bytes::new(sent), [0; 8192]);
        for _ in 0..BYTES / piece.len() {
            bytes.fill(&mut piece);
            writer.write_all(&piece).await.unwrap();
        }
    };
    let reading = async {
        let (mut bytes, mut piece, mut received) = (Bytes::new(expected), [0; 8192], [0; 8192]);
        for _ in 0..BYTES / piece.len() {
            bytes.fill(&mut piece);
            reader.read_exact(&mut received).await.unwrap();
            assert!(received == piece, "what arrived is not what was sent");
        }
    };
    tokio::join!(writing, reading);
}

fn status_bytes(key: &str) -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<usize>().ok()? << 10)
}
