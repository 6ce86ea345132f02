//! Models of libudt 4.11's two ends: what ours meet in the field. Section numbers are those of the protocol specification.

mod congestion;
mod estimators;
mod receiver;
mod sender;

pub use receiver::LibudtReceiver;
pub use sender::LibudtSender;

use std::time::Duration;

/// UDT's SYN: the period of full ACKs and of the congestion control.
const SYN: Duration = Duration::from_millis(10);
/// Section 6.1: timers are looked at when a packet arrives, and on a silent connection only this often.
const POLL_PERIOD: Duration = Duration::from_millis(100);
/// Data in a full packet of MSS 1500.
const PAYLOAD_BYTES: usize = 1456;
const SOCKET_ID: u32 = 0x1234_5678;
