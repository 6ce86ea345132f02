//! What a connection may take, and what is left of it.

mod support;

use std::sync::Arc;
use std::time::Duration;

use godwit_udt::{Config, EndpointConfig, ListenLimits};
use support::{V4, content, endpoint, exchange, in_time, pair};
use tokio::io::AsyncWriteExt as _;

/// Whatever peers send, unread data of all connections together stays within the budget.
#[tokio::test]
async fn unread_data_stays_within_the_receive_budget() {
    in_time(async {
        const BUDGET_BYTES: usize = 4 << 20;
        let server_config = EndpointConfig { receive_budget_bytes: BUDGET_BYTES, ..EndpointConfig::default() };
        let server = godwit_udt::Endpoint::bind(V4.parse().unwrap(), server_config).unwrap();
        let listener = server.listen(Config::default(), ListenLimits::default()).unwrap();
        let client = endpoint(V4);
        let sent = content(1, 1 << 20);
        let mut writers = Vec::new();
        let mut readers = Vec::new();
        for _ in 0..8 {
            let mut writer = client.connect(server.local_addr(), Config::default()).await.unwrap();
            readers.push(listener.accept().await.unwrap());
            let sent = sent.clone();
            writers.push(tokio::spawn(async move {
                writer.write_all(&sent).await.unwrap();
                writer.close().await.unwrap();
            }));
        }
        let held = || readers.iter().map(|reader| reader.stats().receive_buffer_used_bytes).sum::<usize>();
        let mut last = 0;
        // Until the buffers have stopped growing.
        while held() > last || last == 0 {
            last = held();
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        println!("{} of {BUDGET_BYTES} bytes held", held());
        assert!(held() <= BUDGET_BYTES + 8 * (64 << 10), "{} bytes", held());
        for mut reader in readers {
            let mut received = Vec::new();
            while let Some(chunk) = reader.read_chunk(usize::MAX).await.unwrap() {
                received.extend_from_slice(&chunk);
            }
            assert!(received == sent);
        }
        for writer in writers {
            writer.await.unwrap();
        }
    })
    .await;
}

/// However many connections have much to send, together they hold little that cannot leave, and what one gives back others may take.
#[tokio::test]
async fn what_waits_to_be_sent_stays_within_the_send_budget() {
    in_time(async {
        const BUDGET_BYTES: usize = 16 << 20;
        const CONNECTIONS: usize = 32;
        /// What each may have, and two slabs: a writer that finds room fills a whole one, and one stays until all of it is acknowledged.
        const EACH_BYTES: usize = (128 + 2 * 64) << 10;
        let server_config = EndpointConfig { send_budget_bytes: BUDGET_BYTES, ..EndpointConfig::default() };
        let server = godwit_udt::Endpoint::bind(V4.parse().unwrap(), server_config).unwrap();
        let listener = server.listen(Config::default(), ListenLimits::default()).unwrap();
        let client = endpoint(V4);
        // Most of what is written has to wait at the server then.
        let small = Config::builder().receive_buffer_bytes(256 << 10).build().unwrap();
        let sent = Arc::new(content(1, 2 << 20));
        let (mut handles, mut writers, mut readers) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..CONNECTIONS {
            readers.push(client.connect(server.local_addr(), small.clone()).await.unwrap());
            let mut writer = listener.accept().await.unwrap();
            handles.push(writer.handle());
            let sent = Arc::clone(&sent);
            writers.push(tokio::spawn(async move {
                writer.write_all(&sent).await.unwrap();
                writer.close().await.unwrap();
            }));
        }
        let held = || handles.iter().map(|handle| handle.stats().send_buffer_used_bytes).sum::<usize>();
        // Until nobody can write any more, since nobody reads.
        let mut before = 0;
        while held() != before || before == 0 {
            before = held();
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        println!("{} bytes held", held());
        assert!(held() <= BUDGET_BYTES / 8 + CONNECTIONS * EACH_BYTES, "{} bytes", held());
        let mut last = readers.pop().unwrap();
        for mut reader in readers {
            let mut received = Vec::new();
            while let Some(chunk) = reader.read_chunk(usize::MAX).await.unwrap() {
                received.extend_from_slice(&chunk);
            }
            assert!(received == *sent);
        }
        // Alone, it takes more than it could among others, as soon as there is room for anything.
        let (mut received, mut most_held) = (Vec::new(), 0);
        while let Some(chunk) = last.read_chunk(usize::MAX).await.unwrap() {
            received.extend_from_slice(&chunk);
            most_held = most_held.max(handles[CONNECTIONS - 1].stats().send_buffer_used_bytes);
        }
        assert!(received == *sent);
        assert!(most_held > 2 * EACH_BYTES, "{most_held} bytes");
        for writer in writers {
            writer.await.unwrap();
        }
    })
    .await;
}

/// An ended connection's handle keeps its counters, not its memory.
#[tokio::test]
async fn a_handle_outlives_its_connection() {
    in_time(async {
        let ([mut client, mut server], endpoints) = pair(V4, Config::default()).await;
        let (up, down) = (content(1, 10_000), content(2, 20_000));
        tokio::join!(exchange(&mut client, &up, &down), exchange(&mut server, &down, &up));
        let handle = client.handle();
        assert_eq!((handle.id(), handle.peer_addr()), (client.id(), client.peer_addr()));
        assert_eq!(handle.local_addr(), endpoints[0].local_addr());
        client.close().await.unwrap();
        drop(client);
        endpoints[0].close().await;
        drop(endpoints);
        let stats = handle.stats();
        assert_eq!((stats.sender.sent_bytes, stats.receiver.received_bytes), (10_000, 20_000));
        handle.set_max_rate(Some(1_000_000)).unwrap();
    })
    .await;
}
