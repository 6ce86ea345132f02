//! Named network namespaces, gone when they are dropped or, after a kill, when the next network starts.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use nix::sched::{CloneFlags, setns};
use rustix::process::{Pid, Signal, kill_process};

use super::addressing::Side;
use super::iproute::{IprouteError, ip};
use crate::run_name::{self, owner};

/// A network namespace.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
}

/// The names of the namespaces of one network: they carry the process id, so that several runs don't collide.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Naming {
    pid: u32,
    network: u32,
}

impl Naming {
    pub(crate) fn new() -> Self {
        static NETWORKS: AtomicU32 = AtomicU32::new(0);
        Self { pid: std::process::id(), network: NETWORKS.fetch_add(1, Ordering::Relaxed) }
    }

    fn namespace(self, side: Side, host: usize) -> String {
        format!("{}{}-{}{host}", run_name::prefix(self.pid), self.network, side.name())
    }

    /// A device's name outside of its namespace, where it is only for a moment. At most 15 characters.
    pub(crate) fn device(self, side: Side, host: usize) -> String {
        format!("g{}{}{}{host}", self.pid, if side == Side::Left { 'l' } else { 'r' }, self.network % 100)
    }
}

impl Namespace {
    pub(crate) fn new(naming: Naming, side: Side, host: usize) -> Result<Self, IprouteError> {
        let name = naming.namespace(side, host);
        ip(&["netns", "add", &name])?;
        Ok(Self { name })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs `work` on a thread inside the namespace. Sockets and files under `/proc/net` that it opens stay inside for good.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let namespace = File::open(Path::new("/run/netns").join(&self.name))?;
        let inside = || {
            setns(&namespace, CloneFlags::CLONE_NEWNET)?;
            Ok(work())
        };
        thread::scope(|scope| scope.spawn(inside).join()).unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // If it fails, the next network finds the leftover once this process is gone.
        let _ = ip(&["netns", "delete", &self.name]);
    }
}

/// Removes the namespaces of runs that were killed, and ends the programs that are still in them: nobody else has any business there.
pub(crate) fn remove_leftovers() -> Result<(), IprouteError> {
    let list = ip(&["netns", "list"])?;
    for name in leftovers(&list, run_name::is_alive) {
        // Another run may be removing it at the same time.
        let inside = ip(&["netns", "pids", name]).unwrap_or_default();
        for pid in inside.lines().filter_map(|line| Pid::from_raw(line.trim().parse().ok()?)) {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = ip(&["netns", "delete", name]);
    }
    Ok(())
}

/// The namespace of the first host of a side, of the network that was started last and is still up; another process may hold it.
///
/// # Errors
/// `ip` could not be asked.
pub fn running_host(side: Side) -> Result<Option<String>, IprouteError> {
    let list = ip(&["netns", "list"])?;
    Ok(last_started(&list, side, run_name::is_alive).map(str::to_owned))
}

fn last_started(list: &str, side: Side, is_alive: impl Fn(u32) -> bool) -> Option<&str> {
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    let is_first_host = |name: &&str| name.ends_with(&format!("-{}0", side.name()));
    let running =
        names.filter(is_first_host).filter_map(|name| Some((owner(name).filter(|&pid| is_alive(pid))?, name)));
    running.max().map(|(_, name)| name)
}

/// The names in what `ip netns list` prints that belong to a process which is no more.
fn leftovers(list: &str, is_alive: impl Fn(u32) -> bool) -> Vec<&str> {
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    let is_left_over = |name: &&str| owner(name).is_some_and(|pid| !is_alive(pid));
    names.filter(is_left_over).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_namespaces_of_dead_runs_are_left_over() {
        let list =
            "godwit-lab-17-0-left0 (id: 3)\ngodwit-lab-18-0-left0\nother-17\ngodwit-lab-x\n\ngodwit-lab-17-0-right0\n";
        assert_eq!(leftovers(list, |pid| pid == 18), ["godwit-lab-17-0-left0", "godwit-lab-17-0-right0"]);
        assert!(leftovers("", |_| false).is_empty());
    }

    #[test]
    fn the_network_started_last_is_found() {
        let list = "godwit-lab-17-0-left0 (id: 3)\ngodwit-lab-20-0-right0\ngodwit-lab-20-0-left10\ngodwit-lab-18-0-left0\ngodwit-lab-9-0-left0";
        assert_eq!(last_started(list, Side::Left, |_| true), Some("godwit-lab-18-0-left0"));
        assert_eq!(last_started(list, Side::Left, |pid| pid < 18), Some("godwit-lab-17-0-left0"));
        assert_eq!(last_started(list, Side::Right, |pid| pid < 20), None);
    }

    #[test]
    fn device_names_fit() {
        let naming = Naming { pid: 4_194_304, network: u32::MAX };
        let name = naming.device(Side::Right, crate::network::HOSTS_MAX - 1);
        assert!(name.len() <= 15, "{name}");
    }

    #[test]
    fn a_namespace_names_its_owner() {
        let naming = Naming { pid: 99, network: 1 };
        assert_eq!(owner(&naming.namespace(Side::Left, 2)), Some(99));
    }
}
