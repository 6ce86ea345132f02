//! One flow on a path that stays as it is (1 to 18).

use std::time::Duration;

use super::{ms, target_queue_ms};
use crate::controller::Contender;
use crate::line::Line;
use crate::scenario::{Flow, Scenario};

pub(super) fn scenarios(contender: Contender) -> Vec<Scenario> {
    let one = |name: &str, rate, rtt: Duration, queue| {
        Scenario::new(name, rate, rtt, queue, vec![Flow::new(contender.flow(), rtt)])
    };
    let mut all = random_loss(&one);
    all.extend(long_and_fast(&one));
    all.extend(buffers(&one));
    all.extend(start_up(&one));
    all
}

type One<'a> = &'a dyn Fn(&str, f64, Duration, f64) -> Scenario;

/// Loss in percent and as a share; then what the prototype reached: fair and its queue in milliseconds, native, BBR, CUBIC.
type LossRow = (&'static str, f64, [f64; 2], [f64; 3]);

fn random_loss(one: One<'_>) -> Vec<Scenario> {
    let slow: [LossRow; 5] = [
        ("0", 0.0, [0.995, 4.7], [0.773, 0.991, 1.0]),
        ("0.1", 0.001, [0.983, 3.5], [0.122, 0.965, 0.049]),
        ("1", 0.01, [0.990, 5.5], [0.038, 0.764, 0.015]),
        ("5", 0.05, [0.949, 6.7], [0.019, 0.014, 0.008]),
        ("10", 0.10, [0.894, 12.7], [0.013, 0.005, 0.006]),
    ];
    let fast: [LossRow; 5] = [
        ("0", 0.0, [0.996, 1.7], [0.890, 0.991, 1.0]),
        ("0.1", 0.001, [0.994, 2.0], [0.11, 0.98, 0.01]),
        ("1", 0.01, [0.989, 2.7], [0.004, 0.903, 0.002]),
        ("5", 0.05, [0.948, 3.0], [0.002, 0.002, 0.001]),
        ("10", 0.10, [0.898, 3.7], [0.001, 0.001, 0.001]),
    ];
    let bound = |loss: f64| Line::Utilisation(0.95 * (1.0 - loss));
    let mut all = Vec::new();
    for (percent, loss, [fair, queue], [native, bbr, cubic]) in slow {
        let scenario = one(&format!("100M-100ms-loss{percent}%"), 100.0, ms(100), 1.0).lossy(loss);
        let scenario = scenario.must([bound(loss), Line::QueueMean(8.0)]);
        let scenario = scenario.prototype(fair, queue).prototype_native(native).prototype_tcp(bbr, cubic);
        all.push(scenario.numbered("1-5"));
    }
    for (percent, loss, [fair, queue], [native, bbr, cubic]) in fast {
        let scenario = one(&format!("1G-100ms-loss{percent}%"), 1000.0, ms(100), 1.0).lossy(loss).lasting(20.0);
        let scenario = scenario.must([bound(loss), Line::QueueMean(4.0)]);
        let scenario = scenario.prototype(fair, queue).prototype_native(native).prototype_tcp(bbr, cubic);
        all.push(scenario.numbered("6-10"));
    }
    let far = [
        ("0", 0.0, 0.989, 4.6),
        ("0.1", 0.001, 0.988, 4.8),
        ("1", 0.01, 0.986, 5.9),
        ("5", 0.05, 0.945, 7.8),
        ("10", 0.10, 0.887, 12.4),
    ];
    for (percent, loss, fair, queue) in far {
        let scenario = one(&format!("100M-200ms-loss{percent}%"), 100.0, ms(200), 1.0).lossy(loss);
        all.push(scenario.must([bound(loss)]).prototype(fair, queue).numbered("11"));
    }
    // The lab's minute, on a path that takes long to start on.
    for (percent, loss) in [("1", 0.01), ("5", 0.05)] {
        let scenario = one(&format!("300M-250ms-loss{percent}%"), 300.0, ms(250), 1.0).lossy(loss).lasting(20.0);
        let scenario = scenario.warm_after(1.0).must([Line::Utilisation(0.8 * (1.0 - loss))]);
        all.push(scenario.numbered("11"));
    }
    all
}

fn long_and_fast(one: One<'_>) -> Vec<Scenario> {
    let bound = |loss: f64| Line::Utilisation(0.95 * (1.0 - loss));
    let satellite = one("1G-600ms-loss1%", 1000.0, ms(600), 1.0).lossy(0.01).lasting(40.0).must([bound(0.01)]);
    let slow_satellite = one("50M-600ms-loss5%", 50.0, ms(600), 1.0).lossy(0.05).lasting(60.0).must([bound(0.05)]);
    let fast = one("10G-50ms-0.5BDP", 10_000.0, ms(50), 0.5).lasting(8.0).must([bound(0.0)]);
    let fast_lossy = one("10G-20ms-0.5BDP-loss1%", 10_000.0, ms(20), 0.5).lossy(0.01).lasting(6.0).must([bound(0.01)]);
    let thin = one("10M-20ms", 10.0, ms(20), 1.0).lasting(20.0).must([bound(0.0), Line::QueueMean(15.0)]);
    let thin_far = one("10M-600ms", 10.0, ms(600), 1.0).lasting(60.0).must([bound(0.0), Line::QueueMean(15.0)]);
    let lan = one("1G-2ms", 1000.0, ms(2), 1.0).lasting(20.0).must([bound(0.0)]);
    let lan_lossy = one("1G-1ms-10BDP-loss0.1%", 1000.0, ms(1), 10.0).lossy(0.001).lasting(10.0).must([bound(0.001)]);
    vec![
        satellite.prototype(0.989, 4.6).prototype_native(0.046).prototype_tcp(0.895, 0.001).numbered("12"),
        slow_satellite.prototype(0.931, 15.0).prototype_native(0.055).prototype_tcp(0.015, 0.003).numbered("12"),
        fast.prototype(1.000, 1.3).prototype_native(0.659).prototype_tcp(0.970, 0.999).numbered("13"),
        fast_lossy.prototype(0.990, 1.2).prototype_native(0.002).prototype_tcp(0.38, 0.001).numbered("13"),
        thin.numbered("14"),
        thin_far.numbered("14"),
        lan.prototype(0.959, 1.0).numbered("15"),
        lan_lossy.prototype(0.95, 1.0).numbered("15"),
    ]
}

fn buffers(one: One<'_>) -> Vec<Scenario> {
    let shallow = [Line::Utilisation(0.95), Line::Drops(0.01)];
    let deep = |rate| [Line::Utilisation(0.95), Line::QueueMean(1.5 * target_queue_ms(rate))];
    let least = one("100M-50ms-0.02BDP", 100.0, ms(50), 0.02).lasting(20.0).must(shallow);
    let little = one("100M-50ms-0.1BDP", 100.0, ms(50), 0.1).lasting(20.0).must(shallow);
    let little_fast = one("1G-100ms-0.1BDP", 1000.0, ms(100), 0.1).lasting(20.0).must(shallow);
    let little_far = one("1G-200ms-0.05BDP", 1000.0, ms(200), 0.05).lasting(20.0).must(shallow);
    let much = one("100M-50ms-4BDP", 100.0, ms(50), 4.0).lasting(20.0).must(deep(100.0));
    let much_fast = one("1G-20ms-4BDP", 1000.0, ms(20), 4.0).lasting(20.0).must(deep(1000.0));
    vec![
        least.prototype(0.974, 0.3).prototype_native(0.158).prototype_tcp(0.441, 0.810).numbered("16"),
        little.prototype(0.987, 3.4).prototype_native(0.440).prototype_tcp(0.721, 0.953).numbered("16"),
        little_fast.numbered("16"),
        little_far.numbered("16"),
        much.prototype(0.998, 4.6).prototype_native(0.717).prototype_tcp(0.981, 1.0).numbered("17"),
        much_fast.numbered("17"),
    ]
}

fn start_up(one: One<'_>) -> Vec<Scenario> {
    let lines = [Line::RttsTo90(4.0), Line::FirstSecondDrops(0.02)];
    [("100M", 100.0), ("300M", 300.0), ("1G", 1000.0)]
        .map(|(name, rate)| {
            let scenario = one(&format!("start-up-{name}-100ms"), rate, ms(100), 1.0).lasting(5.0).must(lines);
            scenario.numbered("18")
        })
        .into()
}
