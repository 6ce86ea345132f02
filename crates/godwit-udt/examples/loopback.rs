//! How fast two ends in one process are over loopback: `cargo run --release -p godwit-udt --example loopback [MiB]`.

use std::time::Instant;

use godwit_udt::{Config, Endpoint, EndpointConfig, ListenLimits};
use tokio::io::AsyncWriteExt as _;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mebibytes: usize = std::env::args().nth(1).map_or(Ok(1024), |argument| argument.parse())?;
    let server = Endpoint::bind("127.0.0.1:0".parse()?, EndpointConfig::default())?;
    let listener = server.listen(Config::default(), ListenLimits::default())?;
    let client = Endpoint::bind("127.0.0.1:0".parse()?, EndpointConfig::default())?;
    let (connected, accepted) = tokio::join!(client.connect(server.local_addr(), Config::default()), listener.accept());
    let (mut sender, mut receiver) = (connected?, accepted?);
    let begun = Instant::now();
    let sending = tokio::spawn(async move {
        let piece = vec![0x55; 1 << 20];
        for _ in 0..mebibytes {
            sender.write_all(&piece).await?;
        }
        sender.close().await?;
        Ok::<_, std::io::Error>(sender.stats())
    });
    let mut bytes = 0;
    while let Some(chunk) = receiver.read_chunk(1 << 20).await? {
        bytes += chunk.len();
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{bytes} bytes in {seconds:.2} s: {:.2} Gbit/s", bytes as f64 * 8e-9 / seconds);
    println!("sender:   {:?}\n          {:?}", sending.await??, client.socket_stats());
    println!("receiver: {:?}\n          {:?}", receiver.stats(), server.socket_stats());
    Ok(())
}
