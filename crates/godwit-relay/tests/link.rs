//! `Link` under virtual time: every number here is exact or has a stated confidence, none depends on the machine.

use std::time::{Duration, Instant};

use godwit_relay::{BurstLoss, CoDelConfig, Discipline, Fate, Link, LinkConfig, LinkConfigError, Policer, Reorder};

const MS: Duration = Duration::from_millis(1);
const PACKET_BYTES: usize = 1_500;

/// Pushes `count` numbered packets `gap` apart and collects (arrival since start, number).
fn run(config: LinkConfig, seed: u64, count: u32, gap: Duration) -> (Vec<(Duration, u32)>, Link<u32>) {
    let start = Instant::now();
    let mut link = Link::new(config, seed).expect("the configuration is valid");
    let mut arrivals = Vec::new();
    let drain = |link: &mut Link<u32>, arrivals: &mut Vec<(Duration, u32)>, until: Option<Instant>| {
        while let Some(due) = link.next_due().filter(|due| until.is_none_or(|until| *due <= until)) {
            while let Some(number) = link.pop_due(due) {
                arrivals.push((due - start, number));
            }
        }
    };
    for number in 0..count {
        let now = start + gap * number;
        drain(&mut link, &mut arrivals, Some(now));
        link.push(now, number, PACKET_BYTES);
    }
    drain(&mut link, &mut arrivals, None);
    (arrivals, link)
}

#[test]
fn a_clear_link_only_delays() {
    let (arrivals, link) = run(LinkConfig { delay: 50 * MS, ..LinkConfig::default() }, 1, 100, MS);
    let expected: Vec<_> = (0..100).map(|number| (50 * MS + MS * number, number)).collect();
    assert_eq!(arrivals, expected);
    assert_eq!(link.counters().left, 100);
    assert_eq!(link.counters().reordered, 0);
}

#[test]
fn nothing_is_due_early() {
    let now = Instant::now();
    let mut link = Link::new(LinkConfig { delay: 5 * MS, ..LinkConfig::default() }, 1).unwrap();
    assert_eq!(link.push(now, 'a', PACKET_BYTES), Fate::Carried);
    assert_eq!(link.next_due(), Some(now + 5 * MS));
    assert_eq!(link.pop_due(now + 5 * MS - Duration::from_nanos(1)), None);
    assert_eq!(link.pop_due(now + 5 * MS), Some('a'));
    assert_eq!(link.next_due(), None);
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let config = LinkConfig {
        delay: 10 * MS,
        jitter: 2 * MS,
        rate_bits_per_s: Some(100_000_000),
        loss: 0.05,
        reorder: Reorder { probability: 0.05, extra_delay: 3 * MS, ..Reorder::default() },
        duplicate: 0.02,
        ..LinkConfig::default()
    };
    let gap = Duration::from_micros(130);
    let (first, first_link) = run(config, 42, 5_000, gap);
    let (second, second_link) = run(config, 42, 5_000, gap);
    assert_eq!(first, second);
    assert_eq!(first_link.counters(), second_link.counters());
    assert_ne!(first, run(config, 43, 5_000, gap).0);
}

#[test]
fn changing_one_fault_leaves_the_others_in_place() {
    let lossy = LinkConfig { loss: 0.1, ..LinkConfig::default() };
    let also_doubling = LinkConfig { duplicate: 0.3, ..lossy };
    let (arrivals, _) = run(lossy, 9, 2_000, MS);
    let (mut doubled, _) = run(also_doubling, 9, 2_000, MS);
    assert!(doubled.len() > arrivals.len());
    doubled.dedup();
    assert_eq!(doubled, arrivals);
}

#[test]
fn the_rate_is_exact_within_one_percent() {
    for rate_bits_per_s in [1_000_000, 200_000_000, 10_000_000_000] {
        // A queue for everything, offered at once: the wire decides.
        let config = LinkConfig { rate_bits_per_s: Some(rate_bits_per_s), queue_bytes: 1 << 30, ..Default::default() };
        let (arrivals, _) = run(config, 3, 10_000, Duration::ZERO);
        let (last, _) = arrivals[arrivals.len() - 1];
        let measured = (10_000 * PACKET_BYTES * 8) as f64 / last.as_secs_f64();
        assert!((measured / rate_bits_per_s as f64 - 1.0).abs() < 0.01, "{rate_bits_per_s}: {measured}");
    }
}

#[test]
fn the_queue_drops_its_tail() {
    let config =
        LinkConfig { rate_bits_per_s: Some(12_000_000), queue_bytes: 10 * PACKET_BYTES, ..LinkConfig::default() };
    // One packet takes 1 ms. Twice that is offered, so the queue fills once and then passes every second packet.
    let (arrivals, link) = run(config, 3, 1_000, MS / 2);
    let (last, _) = arrivals[arrivals.len() - 1];
    assert_eq!(link.counters().queue_dropped + link.counters().left, 1_000);
    assert!((507..=512).contains(&arrivals.len()), "{}", arrivals.len());
    assert_eq!(last, MS * u32::try_from(arrivals.len()).unwrap());
    // At a standstill exactly ten packets fit.
    let now = Instant::now();
    let mut link = Link::new(config, 3).unwrap();
    let fates: Vec<_> = (0..11).map(|number| link.push(now, number, PACKET_BYTES)).collect();
    assert_eq!(fates[9], Fate::Carried);
    assert_eq!(fates[10], Fate::QueueFull);
}

#[test]
fn loss_duplication_and_reordering_are_within_five_sigma() {
    let count = 200_000;
    let config = LinkConfig {
        loss: 0.01,
        duplicate: 0.02,
        reorder: Reorder { probability: 0.03, extra_delay: 10 * MS, ..Reorder::default() },
        ..LinkConfig::default()
    };
    let (_, link) = run(config, 11, count, MS);
    let counters = link.counters();
    let carried = f64::from(count) * 0.99;
    let near = |measured: u64, total: f64, probability: f64| {
        let sigma = (total * probability * (1.0 - probability)).sqrt();
        assert!((measured as f64 - total * probability).abs() < 5.0 * sigma, "{measured} of {total} at {probability}");
    };
    near(counters.lost, f64::from(count), 0.01);
    near(counters.duplicated, carried, 0.02);
    // Copies of a held packet are late too, hence the factor.
    near(counters.reordered, carried * 1.02, 0.03);
    assert_eq!(counters.left, counters.entered - counters.lost + counters.duplicated);
}

#[test]
fn jitter_keeps_the_order_and_a_held_packet_does_not() {
    let (arrivals, link) = run(LinkConfig { jitter: 20 * MS, ..LinkConfig::default() }, 5, 1_000, MS);
    assert!(arrivals.iter().map(|(_, number)| *number).eq(0..1_000));
    assert_eq!(link.counters().reordered, 0);

    let now = Instant::now();
    let mut link = Link::new(LinkConfig::default(), 5).unwrap();
    link.push_held(now, "late", PACKET_BYTES, MS);
    link.push(now, "prompt", PACKET_BYTES);
    assert_eq!([link.pop_due(now + MS), link.pop_due(now + MS)], [Some("prompt"), Some("late")]);
    assert_eq!(link.counters().reordered, 1);
}

#[test]
fn memory_is_bounded() {
    let now = Instant::now();
    let mut link = Link::new(LinkConfig { delay: MS, ..LinkConfig::default() }, 5).unwrap();
    let huge = 128 << 20;
    assert_eq!(link.push(now, 0, huge), Fate::Carried);
    assert_eq!(link.push(now, 1, huge), Fate::Carried);
    assert_eq!(link.push(now, 2, huge), Fate::Overflowed);
    while link.pop_due(now + MS).is_some() {}
    assert_eq!(link.push(now + MS, 3, huge), Fate::Carried);
}

#[test]
fn nonsense_is_refused_by_name() {
    let error = |config| Link::<()>::new(config, 0).err();
    let default = LinkConfig::default();
    assert_eq!(error(LinkConfig { loss: 1.5, ..default }), Some(LinkConfigError::Loss(1.5)));
    assert_eq!(error(LinkConfig { duplicate: -0.1, ..default }), Some(LinkConfigError::Duplicate(-0.1)));
    assert!(matches!(error(LinkConfig { loss: f64::NAN, ..default }), Some(LinkConfigError::Loss(_))));
    let reorder = Reorder { probability: 2.0, extra_delay: MS, ..Reorder::default() };
    assert_eq!(error(LinkConfig { reorder, ..default }), Some(LinkConfigError::Reorder(2.0)));
    assert_eq!(error(LinkConfig { rate_bits_per_s: Some(0), ..default }), Some(LinkConfigError::ZeroRate));
    let no_queue = LinkConfig { rate_bits_per_s: Some(1), queue_bytes: 0, ..default };
    assert_eq!(error(no_queue), Some(LinkConfigError::ZeroQueue));
}

#[test]
fn a_policer_passes_its_rate_and_its_burst() {
    let policer = Some(Policer { rate_bits_per_s: 12_000_000, burst_bytes: 20 * PACKET_BYTES as u64 });
    // One packet per millisecond passes, twice that is offered.
    let (arrivals, link) = run(LinkConfig { policer, ..LinkConfig::default() }, 3, 2_000, MS / 2);
    assert!((1_018..=1_021).contains(&arrivals.len()), "{}", arrivals.len());
    assert_eq!(link.counters().policed + link.counters().left, 2_000);
}

#[test]
fn bursts_have_the_share_and_the_length_asked_for() {
    let config = LinkConfig { burst_loss: BurstLoss { mean: 0.02, mean_packets: 20.0 }, ..LinkConfig::default() };
    let (arrivals, _) = run(config, 3, 1_000_000, MS);
    let lost = 1_000_000 - arrivals.len();
    let bursts = arrivals.windows(2).filter(|pair| pair[1].1 > pair[0].1 + 1).count();
    assert!((18_000..22_000).contains(&lost), "{lost}");
    assert!((18.0..22.0).contains(&(lost as f64 / bursts as f64)), "{lost} in {bursts}");
}

#[test]
fn codel_keeps_the_queue_short_where_drop_tail_fills_it() {
    let longest_wait = |discipline| {
        let rate_bits_per_s = Some(12_000_000);
        let config = LinkConfig { rate_bits_per_s, discipline, queue_bytes: 200 * PACKET_BYTES, ..Default::default() };
        let start = Instant::now();
        let mut link = Link::new(config, 3).unwrap();
        // The sender has a window, as TCP has: what is dropped or arrives makes room, and each drop makes it smaller.
        let (mut window, mut dropped, mut in_queue) = (150.0_f64, 0, 0_u64);
        let mut waits = Vec::new();
        for step in 0..20_000 {
            let now = start + MS * step;
            while link.pop_due(now).is_some() {
                in_queue -= 1;
            }
            let drops = link.counters().queue_dropped;
            in_queue -= drops - dropped;
            window = if drops > dropped { (window * 0.7).max(2.0) } else { window + 0.02 };
            dropped = drops;
            while in_queue < window as u64 {
                in_queue += 1;
                link.push(now, (), PACKET_BYTES);
            }
            waits.push(link.queue_delay(now));
        }
        waits.sort_unstable();
        waits[waits.len() * 3 / 4]
    };
    assert!(longest_wait(Discipline::DropTail) > 100 * MS);
    assert!(longest_wait(Discipline::CoDel(CoDelConfig::default())) < 25 * MS);
}

#[test]
fn a_path_can_change_while_packets_are_on_it() {
    let start = Instant::now();
    let slow = LinkConfig { rate_bits_per_s: Some(12_000_000), ..LinkConfig::default() };
    let mut link = Link::new(slow, 3).unwrap();
    for number in 0..4 {
        link.push(start, number, PACKET_BYTES);
    }
    assert_eq!(link.queue_delay(start), 4 * MS);
    link.reconfigure(start + MS, LinkConfig { rate_bits_per_s: Some(6_000_000), ..slow }).unwrap();
    // The first took 1 ms, the second began as that ended, the others take 2 ms each.
    assert_eq!(link.queue_delay(start + MS), MS + 4 * MS);
    link.reconfigure(start + 2 * MS, LinkConfig { is_down: true, ..slow }).unwrap();
    assert_eq!(link.push(start + 2 * MS, 4, PACKET_BYTES), Fate::Lost);
    let arrivals = (0..10).filter(|step| link.pop_due(start + MS * *step).is_some()).count();
    assert_eq!(arrivals, 4);
}

#[test]
fn damaged_packets_arrive_only_for_those_who_want_them() {
    let config = LinkConfig { corrupt: 1.0, ..LinkConfig::default() };
    let start = Instant::now();
    let mut link = Link::new(config, 3).unwrap();
    assert_eq!(link.push(start, 0_u64, PACKET_BYTES), Fate::Lost);
    let mut link = Link::new(config, 3).unwrap().with_damage(|packet, random| *packet ^= 1 << (random % 64));
    assert_eq!(link.push(start, 0_u64, PACKET_BYTES), Fate::Carried);
    assert_eq!(link.pop_due(start).map(u64::count_ones), Some(1));
}

#[test]
fn loss_before_the_queue_leaves_the_rate_to_the_others() {
    let base = LinkConfig { rate_bits_per_s: Some(12_000_000), queue_bytes: 1 << 30, ..LinkConfig::default() };
    let last = |config| run(config, 3, 2_000, Duration::ZERO).0.last().expect("packets arrive").0;
    assert!(last(LinkConfig { loss: 0.5, ..base }) > 1_990 * MS);
    assert!(last(LinkConfig { loss_before_queue: 0.5, ..base }) < 1_100 * MS);
}
