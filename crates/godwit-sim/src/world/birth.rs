//! The ends of a flow, made when it starts.

use std::time::Duration;

use super::World;
use crate::agent::Agent;
use crate::controller::ControllerChoice;
use crate::libudt::{LibudtReceiver, LibudtSender};
use crate::peer::{Peer, PeerSetup, Role};
use crate::rival::TcpSender;
use crate::scenario::{Flow, FlowKind};

impl World {
    pub(super) fn born(&self, number: usize) -> [Agent; 2] {
        let flow = &self.scenario.flows[number];
        let now = self.now;
        let seed = self.seed.wrapping_mul(1_000_003).wrapping_add(number as u64 * 2);
        match flow.kind {
            FlowKind::Rival(kind) => {
                [Agent::TcpSender(Box::new(TcpSender::new(now, kind, seed))), Agent::TcpReceiver(Box::default())]
            }
            FlowKind::Godwit(_) => {
                let receiver = Peer::new(now, self.setup(number, flow, Role::Receiver, seed + 1));
                [self.sender(number, flow, seed), Agent::Udt(Box::new(receiver))]
            }
            FlowKind::FromLibudt => {
                let receiver = Peer::new(now, self.setup(number, flow, Role::Receiver, seed + 1));
                [self.libudt_sender(flow, seed), Agent::Udt(Box::new(receiver))]
            }
            FlowKind::ToLibudt(_) => [self.sender(number, flow, seed), libudt_receiver(flow)],
            FlowKind::Libudt => [self.libudt_sender(flow, seed), libudt_receiver(flow)],
        }
    }

    fn libudt_sender(&self, flow: &Flow, seed: u64) -> Agent {
        let initial_seq = flow.buffers.initial_seq.unwrap_or(seed as u32);
        Agent::LibudtSender(Box::new(LibudtSender::new(self.now, flow.buffers.flow_window_packets, initial_seq, seed)))
    }

    fn sender(&self, number: usize, flow: &Flow, seed: u64) -> Agent {
        let role = Role::Sender(flow.workload.clone());
        Agent::Udt(Box::new(Peer::new(self.now, self.setup(number, flow, role, seed))))
    }

    fn setup(&self, number: usize, flow: &Flow, role: Role, seed: u64) -> PeerSetup {
        let buffers = flow.buffers;
        let builder = godwit_proto::Config::builder()
            .mss_bytes(buffers.mss_bytes)
            .flow_window_packets(buffers.flow_window_packets)
            .send_buffer_bytes(buffers.send_bytes)
            .receive_buffer_bytes(buffers.receive_bytes)
            .initial_seq(buffers.initial_seq)
            .connect_timeout(Duration::from_secs(60))
            // A megabyte may be buffered for a path that carries a few packets per second.
            .linger(Duration::from_secs(3600));
        let controller = match flow.kind {
            FlowKind::Godwit(controller) | FlowKind::ToLibudt(controller) => controller,
            // A receiver's controller has nothing to control.
            FlowKind::FromLibudt | FlowKind::Libudt | FlowKind::Rival(_) => ControllerChoice::default(),
        };
        let config = controller.apply(builder).expect("the scenario's buffers are within the limits");
        let noise = if role == Role::Receiver { flow.receiver_noise } else { flow.sender_noise };
        PeerSetup {
            flow: number,
            role,
            config,
            noise,
            seed,
            checks_content: self.checks_content,
            send_buffer_bytes: buffers.send_bytes,
            receive_buffer_bytes: buffers.receive_bytes,
        }
    }
}

fn libudt_receiver(flow: &Flow) -> Agent {
    Agent::LibudtReceiver(Box::new(LibudtReceiver::new(flow.buffers.flow_window_packets)))
}
