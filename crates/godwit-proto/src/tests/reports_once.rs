//! Towards a receiver that reports each loss once and says nothing of what came behind a gap, as libudt 4.11.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use super::network::{Faults, Network, is_control, noise};
use super::repair::{data_seq, never_repeats_naks};
use crate::congestion::ControllerKind;
use crate::packet::Control;
use crate::{Config, ConnectionHandle};

fn config() -> Config {
    Config::builder().controller(ControllerKind::Fair).build().expect("a valid configuration")
}

/// Two ends that take each other for libudt, and the second of which reports as libudt does.
fn establish(seed: u8) -> (Network, ConnectionHandle, ConnectionHandle) {
    let is_hello = |_: usize, datagram: &[u8]| is_control(datagram, |it| matches!(it, Control::User { .. }));
    let mut network = Network::new(seed, Faults { filter: Box::new(is_hello), ..Faults::default() });
    let (client, server) = network.establish(config(), config());
    network.run_for(Duration::from_secs(3));
    network.faults.tamper = never_repeats_naks();
    (network, client, server)
}

#[test]
fn a_peer_that_reports_once_gets_each_retransmission_twice() {
    let (mut network, client, server) = establish(50);
    let counts = Rc::new(RefCell::new(BTreeMap::new()));
    let seen = Rc::clone(&counts);
    network.faults.filter = Box::new(move |_, datagram| {
        data_seq(datagram).is_some_and(|seq| {
            let mut seen = seen.borrow_mut();
            let count = seen.entry(seq).or_insert(0);
            *count += 1;
            *count == 1 && seq % 40 == 7
        })
    });
    let data = noise(4_000_000);
    assert!(network.transfer(&data, (0, client), (1, server)).expect("a clean end") == data);
    let counts = counts.borrow();
    let of = |lost: bool, times: usize| {
        counts.iter().filter(|&(seq, &count)| (seq % 40 == 7) == lost && count == times).count()
    };
    let (twice, once) = (of(true, 3), of(true, 2));
    assert!(twice > 40 && once < 16, "{twice} retransmissions with a copy, {once} without");
    assert_eq!(of(false, 1) + twice + once, counts.len(), "nothing else is sent again");
}
