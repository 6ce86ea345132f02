//! The kernel's buffers of the socket: asked for, granted, and the advice when that is too little.

use std::net::UdpSocket;
use std::sync::Once;

use socket2::SockRef;

use crate::SocketConfig;
use crate::socket_options::{force_receive_buffer, force_send_buffer};

/// What was asked for and what the kernel granted, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Granted {
    pub(crate) receive_bytes_asked: usize,
    pub(crate) receive_bytes: usize,
    pub(crate) send_bytes_asked: usize,
    pub(crate) send_bytes: usize,
}

/// Asks for the configured sizes; warns once per process where an administrator should raise a limit.
pub(crate) fn enlarge(socket: &UdpSocket, config: &SocketConfig) -> Granted {
    let options = SockRef::from(socket);
    let (receive, send) = (config.receive_buffer_bytes, config.send_buffer_bytes);
    // A refusal shows in the sizes read back.
    if options.recv_buffer_size().map_or(0, usable) < receive && force_receive_buffer(socket, receive).is_err() {
        let _ = options.set_recv_buffer_size(receive);
    }
    if options.send_buffer_size().map_or(0, usable) < send && force_send_buffer(socket, send).is_err() {
        let _ = options.set_send_buffer_size(send);
    }
    let granted = Granted {
        receive_bytes_asked: receive,
        receive_bytes: options.recv_buffer_size().map_or(0, usable),
        send_bytes_asked: send,
        send_bytes: options.send_buffer_size().map_or(0, usable),
    };
    warn_once(&granted);
    granted
}

/// Linux doubles the size asked for, for its own bookkeeping, and reports the double.
const fn usable(reported_bytes: usize) -> usize {
    if cfg!(target_os = "linux") { reported_bytes / 2 } else { reported_bytes }
}

fn warn_once(granted: &Granted) {
    static WARNED: Once = Once::new();
    let Some(advice) = advice(granted) else { return };
    WARNED.call_once(|| tracing::warn!("{advice}"));
}

/// What the operator should do, or `None` if the kernel granted what was asked for.
fn advice(granted: &Granted) -> Option<String> {
    let (name, limit, asked, got) = if granted.receive_bytes < granted.receive_bytes_asked {
        ("receive", "rmem_max", granted.receive_bytes_asked, granted.receive_bytes)
    } else if granted.send_bytes < granted.send_bytes_asked {
        ("send", "wmem_max", granted.send_bytes_asked, granted.send_bytes)
    } else {
        return None;
    };
    let remedy = if cfg!(target_os = "linux") {
        format!("sysctl -w net.core.{limit}={asked}")
    } else {
        format!("sysctl -w kern.ipc.maxsockbuf={}", 2 * asked)
    };
    Some(format!(
        "the kernel granted a UDP {name} buffer of {got} bytes instead of {asked}: fast transfers will lose packets in \
         this host; run: {remedy}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_names_the_limit_and_the_value() {
        let full = Granted { receive_bytes_asked: 8, receive_bytes: 8, send_bytes_asked: 4, send_bytes: 9 };
        assert_eq!(advice(&full), None);
        let text = advice(&Granted { receive_bytes_asked: 8_388_608, receive_bytes: 212_992, ..full }).unwrap();
        assert!(text.contains("granted a UDP receive buffer of 212992 bytes instead of 8388608"), "{text}");
        if cfg!(target_os = "linux") {
            assert!(text.ends_with("run: sysctl -w net.core.rmem_max=8388608"), "{text}");
            let text = advice(&Granted { send_bytes: 2, ..full }).unwrap();
            assert!(text.ends_with("run: sysctl -w net.core.wmem_max=4"), "{text}");
        }
    }

    #[test]
    fn what_was_granted_is_reported() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let config =
            SocketConfig { receive_buffer_bytes: 100_000, send_buffer_bytes: 50_000, ..SocketConfig::default() };
        let granted = enlarge(&socket, &config);
        assert!(granted.receive_bytes >= 100_000 && granted.send_bytes >= 50_000, "{granted:?}");
    }
}
