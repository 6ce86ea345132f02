//! The only modules that touch files.

pub mod local;

mod identity;
mod served;

pub(crate) use identity::FileIdentity;
pub(crate) use served::{DirectoryEntry, Entries, EntryKind, Root, Served, ServedFile};
