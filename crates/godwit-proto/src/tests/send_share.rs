//! What a send buffer holds when others leave little to it.

use std::task::Poll;
use std::time::Duration;

use super::network::{Faults, Network, noise};
use crate::{Config, SendMemory, TRANSMIT_BYTES_MAX};

/// Two slabs that wait, two that are kept for the next ones, one that is sent in part, and one that is acknowledged in part.
const LEAST_BYTES: usize = 6 * TRANSMIT_BYTES_MAX;

#[test]
fn with_no_share_at_all_a_stream_gets_through_and_two_slabs_wait_at_most() {
    let faults = Faults { loss: 0.01, ..Faults::default() };
    let mut network = Network::new(1, faults);
    let (client, server) = network.establish(Config::default(), Config::default());
    let data = noise(8 << 20);
    let (mut written, mut received) = (0, Vec::new());
    while received.len() < data.len() {
        network.connection(0, client).set_send_share(SendMemory { held_bytes: usize::MAX, ..SendMemory::default() });
        while written < data.len()
            && let Poll::Ready(taken) = network.with(0, client, |sender, now| sender.write(now, &data[written..]))
        {
            written += taken.expect("the connection is open");
        }
        let memory = network.connection(0, client).send_memory();
        assert!(memory.unsent_bytes <= LEAST_BYTES, "{memory:?}");
        if network.read(1, server, &mut received).is_pending() {
            assert!(network.step(network.now + Duration::from_secs(9)), "hangs after {} bytes", received.len());
        }
    }
    assert!(received == data);
}

#[test]
fn a_budget_that_is_used_up_by_others_leaves_two_slabs_in_all() {
    let mut network = Network::new(2, Faults::default());
    let (client, server) = network.establish(Config::default(), Config::default());
    network.connection(0, client).set_send_share(SendMemory::default());
    let data = noise(1 << 20);
    let received = network.transfer(&data, (0, client), (1, server)).expect("a clean end");
    assert!(received == data);
    assert!(network.connection(0, client).send_memory().held_bytes <= LEAST_BYTES);
}

#[test]
fn a_message_is_taken_however_little_is_left() {
    let config = Config::builder().socket_type(crate::SocketType::Datagram).build().expect("a valid configuration");
    let mut network = Network::new(3, Faults::default());
    let (client, server) = network.establish(config.clone(), config);
    network.connection(0, client).set_send_share(SendMemory::default());
    let message = noise(300_000);
    let options = crate::MessageOptions::default();
    let send =
        |network: &mut Network| network.with(0, client, |sender, now| sender.send_message(now, &message, options));
    assert!(send(&mut network).is_ready());
    assert!(send(&mut network).is_pending(), "a second one waits for the first");
    network.run_until("the first", |network| {
        network.with(1, server, |receiver, now| receiver.receive_message(now).is_ready())
    });
    network.run_until("room", |network| send(network).is_ready());
}
