//! A disk that is full.

use std::process::Command;

use crate::support::{Reply, Scripted, godwit, length, noise, scratch};

/// A tmpfs of 1 MiB, gone when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Needs the right to mount.
    fn mount() -> Option<Self> {
        let directory = scratch();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "godwit-test"])
            .arg(directory.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(Self(directory))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_fails_clearly_and_keeps_what_fits() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("skipped: mounting a small tmpfs needs root");
        return;
    };
    let content = noise(4 << 20);
    let server = Scripted::start(move |_, _| {
        Reply::new(&["HTTP/1.1 200 OK", "ETag: \"v1\"", "Content-Length: 4194304"], &content)
    });
    let directory = disk.0.path();
    godwit(directory, &["get", &server.url_of("f")]).expect(1).says("no space left for f.part");
    assert!(length(&directory.join("f.part")) > 0 && directory.join("f.part.meta").exists());
    assert!(!directory.join("f").exists());
}
