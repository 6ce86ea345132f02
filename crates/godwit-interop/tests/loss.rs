//! Paths that lose, reorder and duplicate.

use std::time::Duration;

use godwit_interop::{Content, Library, Outcome, Transfer, against_each_library};
use godwit_relay::{LinkConfig, Reorder};
use godwit_udt::ControllerKind;

type TestResult = Result<(), Box<dyn std::error::Error>>;

const MIB: u64 = 1 << 20;

fn clear() -> LinkConfig {
    LinkConfig { delay: Duration::from_millis(5), ..LinkConfig::default() }
}

/// All of them have really lost packets.
fn have_lost(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| outcome.path.is_some_and(|path| path.forward.lost + path.backward.lost > 0))
}

against_each_library! {
    fn streams_of_64_mib_and_one_in_a_thousand(library: Library) -> TestResult {
        let content = Content::new(1, 64 * MIB);
        let outcomes = Transfer::run_together([
            Transfer::to_cpp(library, content).we_listen().lossy(0.001).seed(1),
            Transfer::from_cpp(library, content).lossy(0.001).seed(2),
        ])?;
        assert!(have_lost(&outcomes));
        Ok(())
    }

    fn streams_and_messages_of_64_mib_and_one_percent(library: Library) -> TestResult {
        let content = Content::new(2, 64 * MIB);
        let outcomes = Transfer::run_together([
            Transfer::to_cpp(library, content).lossy(0.01).seed(3),
            Transfer::from_cpp(library, content).we_listen().lossy(0.01).seed(4),
            Transfer::to_cpp(library, content).messages(1 << 20).we_listen().lossy(0.01).seed(5),
            Transfer::from_cpp(library, content).messages(1 << 20).lossy(0.01).seed(6),
        ])?;
        assert!(have_lost(&outcomes));
        assert!(outcomes[0].stats.sender.retransmitted_packets > 0);
        assert!(outcomes[1].stats.receiver.naks_sent_packets > 0);
        Ok(())
    }

    fn five_percent(library: Library) -> TestResult {
        let content = Content::new(4, 4 * MIB);
        let outcomes = Transfer::run_together([
            Transfer::to_cpp(library, content).lossy(0.05).seed(7),
            Transfer::from_cpp(library, content).we_listen().lossy(0.05).seed(8),
            Transfer::both_ways(library, content, content).rendezvous().lossy(0.05).seed(9),
            Transfer::to_cpp(library, content).messages_in_order(1 << 20).we_listen().lossy(0.05).seed(10),
            Transfer::from_cpp(library, content).messages_in_order(50_000).lossy(0.05).seed(11),
        ])?;
        assert!(have_lost(&outcomes));
        Ok(())
    }

    /// The controller that fills lossy paths, towards a receiver that reports each loss once.
    fn a_fair_sender_over_lossy_bottlenecks(library: Library) -> TestResult {
        let content = Content::new(8, 8 * MIB);
        let outcomes = Transfer::run_together([(0.0, 10, 30), (0.01, 10, 31), (0.05, 25, 32)].map(|(loss, delay_ms, seed)| {
            let delay = Duration::from_millis(delay_ms);
            let bottleneck =
                LinkConfig { rate_bits_per_s: Some(20_000_000), queue_bytes: 125_000, delay, loss, ..clear() };
            Transfer::to_cpp(library, content)
                .ours(|config| config.controller(ControllerKind::Fair))
                .over_each(bottleneck, LinkConfig { delay, ..clear() })
                .seed(seed)
        }))?;
        for outcome in &outcomes[1..] {
            // Most retransmissions are followed by a copy: how many, and how early, depends on how soon the loss shows.
            let lost = outcome.path.expect("there is a relay").forward.lost;
            let again = outcome.stats.sender.retransmitted_packets;
            assert!(again > lost && again < lost * 4 + 100, "{again} sent again for {lost} lost");
        }
        Ok(())
    }

    fn loss_of_one_direction_alone(library: Library) -> TestResult {
        let content = Content::new(5, 4 * MIB);
        let lossy = LinkConfig { loss: 0.02, ..clear() };
        // Of acknowledgements there are few, 25 in a fast run of 4 MiB.
        let deaf = LinkConfig { loss: 0.2, ..clear() };
        let outcomes = Transfer::run_together([
            Transfer::to_cpp(library, content).over_each(lossy, clear()).seed(12),
            Transfer::to_cpp(library, content).we_listen().over_each(clear(), lossy).seed(13),
            Transfer::from_cpp(library, content).over_each(deaf, clear()).seed(14),
            Transfer::from_cpp(library, content).we_listen().over_each(clear(), lossy).seed(15),
        ])?;
        assert!(have_lost(&outcomes));
        Ok(())
    }

    fn reordering(library: Library) -> TestResult {
        let content = Content::new(6, 8 * MIB);
        let reorder = Reorder { probability: 0.02, extra_delay: Duration::from_millis(2), ..Reorder::default() };
        let path = LinkConfig { reorder, ..clear() };
        for outcome in Transfer::run_together([
            Transfer::to_cpp(library, content).over(path).seed(16),
            Transfer::from_cpp(library, content).we_listen().over(path).seed(17),
            Transfer::to_cpp(library, content).messages(10_000).we_listen().over(path).seed(18),
        ])? {
            let path = outcome.path.expect("there is a relay");
            assert!(path.forward.reordered + path.backward.reordered > 0, "{path:?}");
        }
        Ok(())
    }

    fn duplication(library: Library) -> TestResult {
        let content = Content::new(7, 8 * MIB);
        // Reordered besides: otherwise each copy follows its original at once.
        let reorder = Reorder { probability: 0.01, extra_delay: Duration::from_millis(2), ..Reorder::default() };
        let path = LinkConfig { duplicate: 0.05, reorder, ..clear() };
        let outcomes = Transfer::run_together([
            Transfer::from_cpp(library, content).over(path).seed(19),
            Transfer::to_cpp(library, content).we_listen().over(path).seed(20),
            Transfer::from_cpp(library, content).messages(10_000).we_listen().over(path).seed(21),
        ])?;
        assert!(outcomes[0].stats.receiver.duplicate_packets > 0);
        assert!(outcomes[1].path.is_some_and(|path| path.backward.duplicated > 0));
        Ok(())
    }
}
