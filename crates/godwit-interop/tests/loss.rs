//! Paths that lose, reorder and duplicate.

use std::time::Duration;

use godwit_interop::{Content, Library, Outcome, Transfer, against_each_library};
use godwit_relay::{LinkConfig, Reorder};

type TestResult = Result<(), Box<dyn std::error::Error>>;

const MIB: u64 = 1 << 20;

fn clear() -> LinkConfig {
    LinkConfig { delay: Duration::from_millis(5), ..LinkConfig::default() }
}

/// The path has really lost packets.
fn has_lost(outcome: &Outcome) -> bool {
    outcome.path.is_some_and(|path| path.forward.lost + path.backward.lost > 0)
}

against_each_library! {
    fn one_in_a_thousand(library: Library) -> TestResult {
        let content = Content::new(1, 64 * MIB);
        for outcome in [
            Transfer::to_cpp(library, content).we_listen().lossy(0.001).seed(1).run()?,
            Transfer::from_cpp(library, content).lossy(0.001).seed(2).run()?,
        ] {
            assert!(has_lost(&outcome), "{:?}", outcome.path);
        }
        Ok(())
    }

    fn one_percent_to_the_peer(library: Library) -> TestResult {
        let content = Content::new(2, 64 * MIB);
        let outcome = Transfer::to_cpp(library, content).lossy(0.01).seed(3).run()?;
        assert!(has_lost(&outcome), "{:?}", outcome.path);
        assert!(outcome.stats.sender.retransmitted_packets > 0);
        Ok(())
    }

    fn one_percent_from_the_peer(library: Library) -> TestResult {
        let content = Content::new(3, 64 * MIB);
        let outcome = Transfer::from_cpp(library, content).we_listen().lossy(0.01).seed(4).run()?;
        assert!(has_lost(&outcome), "{:?}", outcome.path);
        assert!(outcome.stats.receiver.naks_sent_packets > 0);
        Ok(())
    }

    fn messages_of_1_mib_and_one_percent(library: Library) -> TestResult {
        let content = Content::new(4, 16 * MIB);
        Transfer::to_cpp(library, content).messages(1 << 20).lossy(0.01).seed(5).run()?;
        Transfer::from_cpp(library, content).messages(1 << 20).we_listen().lossy(0.01).seed(6).run()?;
        Ok(())
    }

    fn five_percent(library: Library) -> TestResult {
        let content = Content::new(5, 4 * MIB);
        Transfer::to_cpp(library, content).lossy(0.05).seed(7).run()?;
        Transfer::from_cpp(library, content).we_listen().lossy(0.05).seed(8).run()?;
        Transfer::both_ways(library, content, content).rendezvous().lossy(0.05).seed(9).run()?;
        Ok(())
    }

    fn messages_and_five_percent(library: Library) -> TestResult {
        let content = Content::new(6, 4 * MIB);
        Transfer::to_cpp(library, content).messages_in_order(1 << 20).we_listen().lossy(0.05).seed(10).run()?;
        Transfer::from_cpp(library, content).messages_in_order(50_000).lossy(0.05).seed(11).run()?;
        Ok(())
    }

    fn loss_of_one_direction_alone(library: Library) -> TestResult {
        let content = Content::new(7, 4 * MIB);
        let lossy = LinkConfig { loss: 0.02, ..clear() };
        for (from_us, to_us) in [(lossy, clear()), (clear(), lossy)] {
            Transfer::to_cpp(library, content).over_each(from_us, to_us).seed(12).run()?;
            Transfer::from_cpp(library, content).we_listen().over_each(from_us, to_us).seed(13).run()?;
        }
        Ok(())
    }

    fn reordering(library: Library) -> TestResult {
        let content = Content::new(8, 8 * MIB);
        let path = LinkConfig { reorder: Reorder { probability: 0.02, extra_delay: Duration::from_millis(2) }, ..clear() };
        for outcome in [
            Transfer::to_cpp(library, content).over(path).seed(14).run()?,
            Transfer::from_cpp(library, content).we_listen().over(path).seed(15).run()?,
            Transfer::to_cpp(library, content).messages(10_000).we_listen().over(path).seed(16).run()?,
        ] {
            let path = outcome.path.expect("there is a relay");
            assert!(path.forward.reordered + path.backward.reordered > 0, "{path:?}");
        }
        Ok(())
    }

    fn duplication(library: Library) -> TestResult {
        let content = Content::new(9, 8 * MIB);
        // Reordered besides: otherwise each copy follows its original at once.
        let reorder = Reorder { probability: 0.01, extra_delay: Duration::from_millis(2) };
        let path = LinkConfig { duplicate: 0.05, reorder, ..clear() };
        let from_cpp = Transfer::from_cpp(library, content).over(path).seed(17).run()?;
        assert!(from_cpp.stats.receiver.duplicate_packets > 0);
        Transfer::to_cpp(library, content).we_listen().over(path).seed(18).run()?;
        Transfer::from_cpp(library, content).messages(10_000).we_listen().over(path).seed(19).run()?;
        Ok(())
    }
}
