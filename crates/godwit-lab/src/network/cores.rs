//! Who runs where: the emulator on a core of its choice, the receivers' kernels on the others.
//!
//! A write to a TUN device carries the packet through the whole receiving side of IP and TCP, in the writer's name; under loss, with long lists of holes
//! on both ends, that is more work than the emulator's own. Receive packet steering hands it to other cores, as a network card's interrupts do.
//!
//! Source: Documentation/networking/scaling.rst (RPS)

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The core of the emulator, and the others that this process may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cores {
    emulator: usize,
    others: CpuSet,
}

impl Cores {
    /// `None` where there is only one.
    pub(crate) fn choose() -> Option<Self> {
        let mut others = sched_getaffinity(None).ok()?;
        let emulator = (0..CpuSet::MAX_CPU).rev().find(|&cpu| others.is_set(cpu))?;
        others.unset(emulator);
        (others.count() > 0).then_some(Self { emulator, others })
    }

    /// Keeps the calling thread on the emulator's core.
    pub(crate) fn pin_emulator(self) {
        let mut only = CpuSet::new();
        only.set(self.emulator);
        // Without it the emulator moves to where it is free.
        let _ = sched_setaffinity(None, &only);
    }

    /// Has what arrives over a device of this namespace handled by the other cores.
    pub(crate) fn steer(self, device: &str) -> io::Result<()> {
        std::fs::write(format!("/sys/class/net/{device}/queues/rx-0/rps_cpus"), mask(&self.others))
    }
}

/// As the kernel writes sets of cores: groups of 32 in hexadecimal, the highest first.
fn mask(cpus: &CpuSet) -> String {
    let group = |first: usize| (0..32).filter(|bit| cpus.is_set(first + bit)).map(|bit| 1u32 << bit).sum::<u32>();
    let highest = (0..CpuSet::MAX_CPU).rev().find(|&cpu| cpus.is_set(cpu)).unwrap_or(0);
    let groups = (0..=highest / 32).rev().map(|index| format!("{:08x}", group(index * 32)));
    groups.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_cores_as_the_kernel_writes_them() {
        let mut cpus = CpuSet::new();
        cpus.set(0);
        cpus.set(5);
        assert_eq!(mask(&cpus), "00000021");
        cpus.set(64);
        assert_eq!(mask(&cpus), "00000001,00000000,00000021");
    }
}
