//! temporary
use godwit_sim::scenario::*;
use std::time::Duration;
fn main() {
    let rate: f64 = std::env::args().nth(1).unwrap().parse().unwrap();
    let rtt: f64 = std::env::args().nth(2).unwrap().parse().unwrap();
    let loss: f64 = std::env::args().nth(3).unwrap().parse().unwrap();
    let rtt = Duration::from_secs_f64(rtt);
    let kind = match std::env::args().nth(4).as_deref() { Some("cubic") => FlowKind::Rival(godwit_sim::rival::RivalKind::Cubic), Some("bbr") => FlowKind::Rival(godwit_sim::rival::RivalKind::Bbr), Some("libudt") => FlowKind::ToLibudt(Default::default()), _ => FlowKind::Godwit(Default::default()) };
    let s = Scenario::new("x", rate, rtt, 1.0, vec![Flow::new(kind, rtt)]).lossy(loss).lasting(20.0);
    let t = std::time::Instant::now();
    for seed in 0..2 {
    let m = godwit_sim::measured::run(&s, seed, std::env::var("TRACE").is_ok()).unwrap();
    println!("util {:.3} q {:.2} p95 {:.2} t90 {:?} rtx {:.4} steps {} packets {} in {:.2}s", m.utilisation(), m.queue_mean_ms(), m.queue_p95_ms(), m.seconds_to_90(), m.retransmitted, m.steps, m.packets, t.elapsed().as_secs_f64());
    }
}
