//! Two sides joined by an emulated path.

mod addressing;
mod calibration;
mod cores;
mod counters;
mod device;
mod emulator;
mod error;
mod host;
mod iproute;
mod kernel_drops;
mod namespace;
mod port;
mod probe;
mod tally;

use std::io::Write;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cores::Cores;
use emulator::{Emulator, Reading, Reins, Request};
use godwit_relay::{LinkConfig, LinkConfigError};
use kernel_drops::{BacklogDrops, KernelDrops};
use port::Port;
use rustix::thread::{CapabilitySet, capabilities};

pub use addressing::{HOSTS_MAX, Side};
pub use calibration::{Calibration, Deviation, DirectionCalibration};
pub use counters::{Counters, DirectionCounters, TooSlow};
pub use error::{CalibrationError, CongestionError, NetworkError};
pub use host::Host;
pub(crate) use host::loopback_host;
pub use iproute::{IprouteError, Refusal};
pub(crate) use iproute::{ip, ip_batch};
pub use namespace::running_host;
pub(crate) use namespace::{Namespace, Naming, remove_leftovers};

/// The least MTU with which IPv6 works (RFC 8200, section 5).
const MTU_MIN: u16 = 1280;

/// What a network is to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NetworkConfig {
    /// The path from left to right. Rates and queues count the bytes of IP packets, headers included. By convention the data go this way.
    pub forward: LinkConfig,
    /// The path from right to left.
    pub reverse: LinkConfig,
    /// Hosts on the left, 1 to [`HOSTS_MAX`]. They share the path. Default 1.
    pub hosts_left: usize,
    /// Hosts on the right, as on the left. Default 1.
    pub hosts_right: usize,
    /// The MTU of every device, in bytes, at least 1280. Default 1500.
    pub mtu: u16,
    /// Decides all random faults. Default 0.
    pub seed: u64,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        let path = LinkConfig::default();
        Self { forward: path, reverse: path, hosts_left: 1, hosts_right: 1, mtu: 1500, seed: 0 }
    }
}

/// Two sides joined by an emulated path. Dropping it takes namespaces, devices and the emulator's thread down; programs that still run in
/// a namespace keep it, without its device and its name, until they end.
#[derive(Debug)]
pub struct Network {
    config: NetworkConfig,
    left: Vec<Host>,
    right: Vec<Host>,
    meter: Mutex<Meter>,
    /// `Some` until drop. Letting go ends the thread.
    reins: Option<Reins>,
    thread: Option<JoinHandle<()>>,
}

/// Where the last interval ended.
#[derive(Debug)]
struct Meter {
    since: Instant,
    cpu_before: Duration,
    /// Of the hosts on the left, and of those on the right.
    kernel_drops: [Vec<KernelDrops>; 2],
    backlog_drops: BacklogDrops,
}

impl Network {
    /// Makes the namespaces and their devices, and starts the emulator. What killed runs have left behind is removed first.
    ///
    /// # Errors
    /// What is missing on this machine and what to do, or the value of the configuration that describes no network.
    pub fn start(config: &NetworkConfig) -> Result<Self, NetworkError> {
        config.check()?;
        check_rights()?;
        device::check()?;
        remove_leftovers()?;

        let naming = Naming::new();
        let mut ports = Vec::new();
        let cores = Cores::choose();
        let mut side = |side, hosts| make_side(naming, side, hosts, config.mtu, cores, &mut ports);
        let (left, left_drops) = side(Side::Left, config.hosts_left)?;
        let (right, right_drops) = side(Side::Right, config.hosts_right)?;

        let (emulator, reins) = Emulator::new(config, ports)?;
        let thread = std::thread::Builder::new().name("emulator".into()).spawn(move || {
            cores.inspect(|cores| cores.pin_emulator());
            emulator.run();
        });
        let thread = thread.map_err(NetworkError::Thread)?;
        let meter = Meter {
            since: Instant::now(),
            cpu_before: Duration::ZERO,
            kernel_drops: [left_drops, right_drops],
            backlog_drops: BacklogDrops::new(),
        };
        let (meter, reins, thread) = (Mutex::new(meter), Some(reins), Some(thread));
        Ok(Self { config: *config, left, right, meter, reins, thread })
    }

    /// From now on the direction that begins at `from` is another path; what is in its queue stays there.
    ///
    /// # Errors
    /// The configuration describes no path; the old one stays.
    pub fn reconfigure(&self, from: Side, config: LinkConfig) -> Result<(), LinkConfigError> {
        let (reply, replied) = mpsc::sync_channel(1);
        self.ask(Request::Reconfigure(from, Box::new(config), reply));
        replied.recv().expect(THREAD_LIVES)
    }

    /// What the path did since the last call (or the start). What has arrived at a host is counted.
    pub fn counters(&self) -> Counters {
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        let (reply, replied) = mpsc::sync_channel(1);
        self.ask(Request::Read(reply));
        meter.counters(&replied.recv().expect(THREAD_LIVES))
    }

    /// Measures the path, which must be idle, for a few seconds: rate, loss and RTT against what was asked for, between the first hosts. The
    /// interval of [`counters`](Self::counters) starts anew.
    ///
    /// # Errors
    /// It could not be measured. A path that was measured and is not what it should be is no error here: see [`Calibration::check`].
    pub fn calibrate(&self) -> Result<Calibration, CalibrationError> {
        calibration::measure(self)
    }

    /// How it was asked to be.
    pub fn config(&self) -> &NetworkConfig {
        &self.config
    }

    /// Host `index` on the left, which by convention sends.
    ///
    /// # Panics
    /// There are not that many.
    pub fn left(&self, index: usize) -> &Host {
        &self.left[index]
    }

    /// Host `index` on the right.
    ///
    /// # Panics
    /// There are not that many.
    pub fn right(&self, index: usize) -> &Host {
        &self.right[index]
    }

    /// The hosts of a side.
    pub fn hosts(&self, side: Side) -> &[Host] {
        match side {
            Side::Left => &self.left,
            Side::Right => &self.right,
        }
    }

    fn ask(&self, request: Request) {
        let Reins { requests, wake } = self.reins.as_ref().expect("they are held until drop");
        requests.send(request).expect(THREAD_LIVES);
        (&*wake).write_all(&[0]).expect(THREAD_LIVES);
    }
}

const THREAD_LIVES: &str = "the emulator's thread lives as long as the network";

impl Drop for Network {
    fn drop(&mut self) {
        self.reins = None;
        if let Some(thread) = self.thread.take() {
            // A panic has been printed by its thread.
            let _ = thread.join();
        }
    }
}

impl NetworkConfig {
    fn check(&self) -> Result<(), NetworkError> {
        for hosts in [self.hosts_left, self.hosts_right] {
            if !(1..=HOSTS_MAX).contains(&hosts) {
                return Err(NetworkError::Hosts(hosts));
            }
        }
        if self.mtu < MTU_MIN {
            return Err(NetworkError::Mtu(self.mtu));
        }
        self.forward.check().map_err(NetworkError::Forward)?;
        self.reverse.check().map_err(NetworkError::Reverse)
    }
}

impl Meter {
    fn counters(&mut self, reading: &Reading) -> Counters {
        let [forward, reverse] = [0, 1].map(|direction| {
            let kernel_drops = &mut self.kernel_drops[direction];
            // A table that was opened can be read for as long as the namespace lives.
            let dropped = kernel_drops.iter_mut().map(|drops| drops.take().unwrap_or(0)).sum();
            let (tally, link) = &reading.directions[direction];
            tally.counters(*link, dropped)
        });
        let lateness = reading.lateness();
        let counters = Counters {
            interval: reading.at.saturating_duration_since(self.since),
            forward,
            reverse,
            backlog_drops: self.backlog_drops.take(),
            lateness_mean: lateness.mean(),
            lateness_p99: lateness.percentile(0.99),
            lateness_max: lateness.max(),
            emulator_cpu: reading.cpu.saturating_sub(self.cpu_before),
        };
        (self.since, self.cpu_before) = (reading.at, reading.cpu);
        counters
    }
}

/// Root in a container may not be enough.
fn check_rights() -> Result<(), NetworkError> {
    let needed = CapabilitySet::NET_ADMIN | CapabilitySet::SYS_ADMIN;
    let held = capabilities(None).is_ok_and(|sets| sets.effective.contains(needed));
    if held { Ok(()) } else { Err(NetworkError::NotRoot) }
}

fn make_side(
    naming: Naming,
    side: Side,
    hosts: usize,
    mtu: u16,
    cores: Option<Cores>,
    ports: &mut Vec<Port>,
) -> Result<(Vec<Host>, Vec<KernelDrops>), NetworkError> {
    let mut made = (Vec::new(), Vec::new());
    for index in 0..hosts {
        let namespace = Namespace::new(naming, side, index)?;
        let name = naming.device(side, index);
        let device = device::create(&name, mtu)?;
        // Where the kernel has no steering, or shows no sysfs, the emulator does that work, too.
        let _ = cores.map(|cores| cores.steer(&name));
        device::install(&device, &namespace, addressing::v4(side, index), addressing::v6(side, index))?;
        made.1.push(KernelDrops::open(&namespace).map_err(NetworkError::Namespace)?);
        made.0.push(Host::new(namespace, side, index));
        ports.push(Port::new(device, side));
    }
    Ok(made)
}
