//! One download: both processes, the clock, and what it cost.

use std::fs;
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::downloader::{ask_digest, has_digest};
use super::{Download, Downloader};
use crate::bench::process::Process;
use crate::bench::{content, socket_table};
use crate::error::TransferError;
use crate::peer::{PORT, Site, Transfer};
use crate::results::{Measured, TcpReadBack};

/// Whoever takes longer hangs.
const TIME_MAX: Duration = Duration::from_secs(300);
/// How exact the end is.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(2);
/// Memory is looked at so often.
const GLANCE_INTERVAL: Duration = Duration::from_millis(50);
/// The connections are looked at once, when they carry data. Of all peers, so that it slows all of them equally.
const CONNECTIONS_AFTER: Duration = Duration::from_millis(200);

pub(crate) fn transfer(downloader: Downloader, site: &Site, must_compare: bool) -> Result<Download, TransferError> {
    let Transfer { listener, readiness, connector } = downloader.transfer(site)?;
    let mut server = Process::start(listener, site.scratch.join("server.log"))?;
    server.wait_until_ready(readiness)?;
    if downloader.is_warmed() {
        warm(site)?;
    }
    touch(site).map_err(|source| TransferError::Write { path: site.target(), source })?;
    let cpu_before_s = server.cpu_s();
    let started = Instant::now();
    let mut client = Process::start(connector, site.scratch.join("client.log"))?;
    let congestion = watch(&mut client, site, started);
    let seconds = started.elapsed().as_secs_f64();
    let status = client.finish()?;
    let sender_cpu_s = server.cpu_s() - cpu_before_s;
    server.finish()?;
    if !status.success() {
        return Err(TransferError::ClientEnded { status, said: client.last_line() });
    }
    let bytes = content::check(site.file, &site.target(), must_compare)?;
    Ok(Download {
        measured: Measured { bytes, seconds, sender_cpu_s, receiver_cpu_s: client.usage().cpu_s },
        sender_resident_bytes: server.usage().resident_bytes_max,
        receiver_resident_bytes: client.usage().resident_bytes_max,
        congestion,
    })
}

/// Until the client has ended; what the kernel said of the connections meanwhile.
fn watch(client: &mut Process, site: &Site, started: Instant) -> Vec<String> {
    let mut tcp = TcpReadBack::default();
    let mut glanced = started;
    let mut has_looked = false;
    while !client.has_ended() && started.elapsed() < TIME_MAX {
        sleep(LOOK_AGAIN_AFTER);
        if glanced.elapsed() >= GLANCE_INTERVAL {
            client.glance();
            glanced = Instant::now();
        }
        if !has_looked && started.elapsed() >= CONNECTIONS_AFTER {
            socket_table::read(site.left, PORT, &mut tcp);
            has_looked = true;
        }
    }
    tcp.seen
}

/// Lets the server compute the SHA-256 before anybody looks at the clock.
fn warm(site: &Site) -> Result<(), TransferError> {
    let mut asking = Process::start(ask_digest(site), site.scratch.join("head"))?;
    asking.wait_for_end(TIME_MAX);
    let status = asking.finish()?;
    if status.success() && has_digest(&asking.log()) {
        return Ok(());
    }
    Err(TransferError::ClientEnded { status, said: asking.last_line() })
}

/// Writes the target and removes it again, so that the memory it takes is the machine's already, and so that the whole file is in the page
/// cache: a virtual machine gives free memory back to its host, and then the first write to a page costs several times what the copy does.
fn touch(site: &Site) -> io::Result<()> {
    fs::copy(site.file, site.target())?;
    fs::remove_file(site.target())
}
