//! PUT that is refused, before its content is asked for.

use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::Ordering;

use godwit_files::{FileService, FilesConfig};
use http::StatusCode;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::fixture::{Fixture, Frames, settled, uploading};

async fn refusal(fixture: &Fixture, path: &str, fields: &[(&str, &str)]) -> (u16, String) {
    let body = Frames::of(&[b"hello"]);
    let is_polled = body.is_polled.clone();
    let answer = fixture.put(path, fields, body).await;
    assert!(!is_polled.load(Ordering::Relaxed), "{path} {fields:?}: the content was asked for");
    (answer.status.as_u16(), answer.code())
}

#[tokio::test]
async fn without_permission_nothing_is_stored() {
    let fixture = Fixture::with(settled());
    assert_eq!(refusal(&fixture, "/f", &[]).await, (403, "uploads-off".into()));
    assert!(fixture.on_disk().is_empty());
}

#[tokio::test]
async fn what_the_head_says_is_enough() {
    let fixture = Fixture::with(FilesConfig { upload_bytes_max: 10, ..uploading() });
    for (fields, status, code) in [
        (&[("content-length", "11")][..], 413, "too-large"),
        (&[("godwit-length", "11")], 413, "too-large"),
        (&[("godwit-length", "99999999999999999999")], 400, "bad-length"),
        (&[("godwit-length", "-1")], 400, "bad-length"),
        (&[("godwit-length", "")], 400, "bad-length"),
        (&[("godwit-length", "5"), ("content-length", "6")], 400, "bad-length"),
        (&[("content-range", "bytes 0-4/10")], 400, "partial-upload"),
        (&[("content-encoding", "gzip")], 415, "content-coding"),
        (&[("repr-digest", "sha-256=:x:")], 400, "bad-digest"),
    ] {
        assert_eq!(refusal(&fixture, "/f", fields).await, (status, code.into()), "{fields:?}");
    }
    assert!(fixture.on_disk().is_empty());
}

#[tokio::test]
async fn names_that_cannot_be_files_are_refused() {
    let fixture = Fixture::with(uploading());
    let root = &fixture.root;
    fixture.write("file", "old");
    fs::create_dir(root.join("directory")).unwrap();
    symlink("file", root.join("link")).unwrap();
    symlink("nowhere", root.join("broken")).unwrap();
    symlink("../outside", root.join("out")).unwrap();
    mknodat(CWD, root.join("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let too_long = format!("/{}", "n".repeat(256));
    let before = fixture.on_disk();
    for (path, status, code) in [
        ("/", 409, "no-file-name"),
        ("/directory/", 409, "no-file-name"),
        ("/new/", 409, "no-file-name"),
        ("/directory", 409, "not-a-file"),
        ("/link", 409, "not-a-file"),
        ("/broken", 409, "not-a-file"),
        ("/fifo", 409, "not-a-file"),
        ("/missing/f", 409, "no-parent"),
        ("/file/f", 409, "no-parent"),
        ("/fifo/f", 409, "no-parent"),
        ("/out/f", 409, "no-parent"),
        ("/../f", 400, "bad-path"),
        ("/..%2foutside%2ff", 400, "bad-path"),
        (&too_long, 400, "unusable-name"),
        ("/.godwit-upload-x", 403, "reserved-name"),
        ("/.godwit-upload-x/f", 403, "reserved-name"),
    ] {
        assert_eq!(refusal(&fixture, path, &[]).await, (status, code.into()), "{path}");
    }
    assert_eq!(fixture.on_disk(), before);
    assert_eq!(fs::read(root.join("file")).unwrap(), b"old");
    assert_eq!(fs::read_dir(&fixture.outside).unwrap().count(), 1);
}

#[tokio::test]
async fn a_full_disk_is_reported_and_nothing_kept() {
    let fixture = Fixture::with(uploading());
    // A file system of its own that is small; only root may make one.
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "none"])
        .arg(&fixture.root)
        .output()
        .is_ok_and(|output| output.status.success());
    if !mounted {
        eprintln!("skipped: mounting a small file system needs root");
        return;
    }
    // Its place in the tree is given up at once; it lives as long as somebody has it open.
    let mounted = fs::File::open(&fixture.root).unwrap();
    let service = FileService::new(&fixture.root, uploading()).unwrap();
    assert!(Command::new("umount").arg("-l").arg(&fixture.root).status().unwrap().success());
    let root = PathBuf::from(format!("/proc/self/fd/{}", mounted.as_raw_fd()));
    let mut full = fixture;
    (full.service, full.root) = (service, root);
    let answer = full.put("/f", &[], Frames::of(&[&[1; 300_000]])).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::INSUFFICIENT_STORAGE, "no-space".into()));
    assert!(full.on_disk().is_empty());
    assert_eq!(full.put("/f", &[], Frames::of(&[b"fits"])).await.status, StatusCode::CREATED);
    assert_eq!(full.on_disk(), ["f"]);
}
