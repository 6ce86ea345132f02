//! godwit against the real C++ libudt (tests only, never published).
//!
//! Each C++ end runs in a process of its own, the binary `cpp-peer` of this crate: it gets killed, it keeps a cache per
//! address, and its threads never end. [`CppPeer`] starts one, follows what it prints, and ends it.
//!
//! ```no_run
//! use godwit_interop::{Content, CppPeer, Library};
//!
//! let content = Content::new(7, 1 << 20);
//! let mut receiver = CppPeer::recv(Library::Bundled).spawn()?; // listens on any port of the loopback
//! let sender = CppPeer::send(Library::Bundled, content).connect(receiver.address()?).spawn()?;
//! sender.finish()?;
//! assert_eq!(receiver.finish()?.received()?.fingerprint, content.fingerprint());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Transfer`] lets one of our ends and such a peer send content to each other, in any role and over any path, and judges
//! it by its hash; [`Meeting`] and [`OurEnd`] are its parts, for tests that do something else with a connection.
//!
//! There are two builds of the library: [`Library::Bundled`] is compiled from the sources in the crate `libudt4-sys`, whose
//! build does not define AMD64 and LINUX as Debian's does; [`Library::Debian`] is the shared library of the package
//! `libudt0`, where it is installed. Write a test once and run it against both with [`against_each_library!`].

mod content;
mod cpu_time;
mod error;
mod event;
mod library;
mod meeting;
#[cfg(target_os = "linux")]
pub mod netns;
mod our_end;
mod peer;
mod perf;
pub mod raw;
mod report;
mod transfer;

pub use content::{Content, Fingerprint, FingerprintHash, MessageFingerprint};
pub use cpu_time::CpuTime;
pub use error::{PeerError, TransferError};
pub use event::Event;
pub use library::Library;
pub use meeting::{Meeting, Met, Role};
pub use our_end::{OurEnd, Running};
pub use peer::{CppPeer, CppPeerBuilder};
pub use perf::PerfMon;
pub use report::{Received, Report};
pub use transfer::{Outcome, Transfer};
