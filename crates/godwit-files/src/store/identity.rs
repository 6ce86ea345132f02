//! What tells one state of one file from every other.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cap_std::fs::{Metadata, MetadataExt as _};

use crate::conditional::Validators;
use crate::etag::EntityTag;
use crate::hash::Sha256;

/// One state of one file, as far as the file system can tell: the inode and its size and times. Two different contents
/// can share an identity only if both were there within one tick of the file system's clock, see [`Self::is_settled`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
    size_bytes: u64,
    /// Since the Unix epoch, in nanoseconds: until the year 2262, all that is later counts as that.
    modified_ns: i64,
    /// Of the inode: unlike the modification time nobody can set it.
    changed_ns: i64,
}

impl FileIdentity {
    pub(crate) fn new(metadata: &Metadata) -> Self {
        let nanoseconds = |s: i64, ns: i64| s.saturating_mul(1_000_000_000).saturating_add(ns);
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size_bytes: metadata.len(),
            modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    #[cfg(test)]
    pub(crate) fn with_size(self, size_bytes: u64) -> Self {
        Self { size_bytes, ..self }
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The time of the last modification; the epoch for files that claim to be older.
    pub(crate) fn modified(&self) -> SystemTime {
        let since_epoch = u64::try_from(self.modified_ns).unwrap_or(0);
        UNIX_EPOCH + Duration::from_nanos(since_epoch)
    }

    /// Whether at `now` nothing has touched the file for `settle_time`, so that any later change gets other time stamps.
    /// A change time in the future proves nothing; a modification time there does not matter, for anybody can set it.
    pub(crate) fn is_settled(&self, now: SystemTime, settle_time: Duration) -> bool {
        let nanoseconds = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        let now_ns = nanoseconds(now.duration_since(UNIX_EPOCH).unwrap_or_default());
        let settle_ns = nanoseconds(settle_time);
        let changed_long_ago = now_ns.saturating_sub(self.changed_ns) >= settle_ns;
        let modified_elsewhen = now_ns.saturating_sub(self.modified_ns).saturating_abs() >= settle_ns;
        changed_long_ago && modified_elsewhen
    }

    /// The validators to send at `now`. The opaque tag is a hash, so that it does not disclose inode numbers, and equal
    /// for the same state whenever it is asked for.
    pub(crate) fn validators(&self, now: SystemTime, settle_time: Duration) -> Validators {
        let mut hash = Sha256::new();
        for number in [self.device, self.inode, self.size_bytes] {
            hash.update(&number.to_le_bytes());
        }
        for time in [self.modified_ns, self.changed_ns] {
            hash.update(&time.to_le_bytes());
        }
        let hex = hash.finish().to_string();
        let etag = EntityTag::new(hex[..32].to_owned(), !self.is_settled(now, settle_time));
        // A date in the future is no Last-Modified (RFC 9110, section 8.8.2.1).
        Validators { etag, last_modified: self.modified().min(now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settles_when_both_times_are_old_enough() {
        let second = 1_000_000_000;
        let settle = Duration::from_secs(2);
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        for (modified_s, changed_s, settled) in [
            (990, 990, true),
            (998, 998, true),
            (999, 990, false),
            (990, 999, false),
            // A modification time in the future is the user's wish, a change time there is a clock set back.
            (2000, 990, true),
            (990, 2000, false),
        ] {
            let identity = FileIdentity {
                device: 1,
                inode: 2,
                size_bytes: 3,
                modified_ns: modified_s * second,
                changed_ns: changed_s * second,
            };
            assert_eq!(identity.is_settled(now, settle), settled, "{modified_s} {changed_s}");
            assert_eq!(identity.validators(now, settle).etag.is_weak(), !settled);
            assert!(identity.validators(now, settle).last_modified <= now);
        }
    }

    #[test]
    fn every_member_changes_the_tag() {
        let base = FileIdentity { device: 1, inode: 2, size_bytes: 3, modified_ns: 4, changed_ns: 5 };
        let others = [
            FileIdentity { device: 9, ..base },
            FileIdentity { inode: 9, ..base },
            FileIdentity { size_bytes: 9, ..base },
            FileIdentity { modified_ns: 9, ..base },
            FileIdentity { changed_ns: 9, ..base },
        ];
        let tag = |identity: FileIdentity| identity.validators(SystemTime::now(), Duration::ZERO).etag;
        assert_eq!(tag(base), tag(base));
        assert!(others.into_iter().all(|other| tag(other) != tag(base)));
    }
}
