//! The only modules that touch files.

pub mod local;

mod identity;
mod incoming;
mod served;
mod sweep;

pub(crate) use identity::FileIdentity;
pub(crate) use incoming::{Destination, Existing, Incoming, is_upload_name};
pub(crate) use served::{CHUNK_BYTES, DirectoryEntry, Entries, EntryKind, Root, Served, ServedFile};
pub(crate) use sweep::AGE_MIN as SWEEP_AGE_MIN;
