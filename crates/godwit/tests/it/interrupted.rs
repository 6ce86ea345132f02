//! Signals and second runs while a download is going on.

use std::fs;
use std::path::Path;

use rustix::process::Signal;

use crate::support::{Reply, Running, Scripted, eventually, godwit, length, names, noise, scratch, start};

/// Sends 40,000 of 100,000 bytes and then nothing; every later request is answered whole.
fn stuck() -> Scripted {
    let content = noise(100_000);
    Scripted::start(move |number, _| {
        let head = ["HTTP/1.1 200 OK", "ETag: \"v1\"", "Content-Length: 100000"];
        match number {
            0 => Reply::new(&head, &content[..40_000]).hanging(),
            _ => Reply::new(&head, &content),
        }
    })
}

fn start_and_wait_for_40_000_bytes(directory: &Path, url: &str) -> Running {
    let running = start(directory, &["get", url]);
    eventually("40,000 bytes arrive", || (length(&directory.join("f.part")) == 40_000).then_some(()));
    running
}

#[test]
fn signals_keep_the_part_and_have_their_exit_codes() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let (server, directory) = (stuck(), scratch());
        let running = start_and_wait_for_40_000_bytes(directory.path(), &server.url_of("f"));
        running.signal(signal);
        running.finish().expect(code);
        assert_eq!(names(directory.path()), ["f.part", "f.part.meta"]);
        assert_eq!(fs::read(directory.path().join("f.part")).expect("there"), noise(100_000)[..40_000]);
        godwit(directory.path(), &["get", &server.url_of("f")]).expect(0);
        assert!(server.requests()[1].contains("range: bytes=40000-"));
    }
}

#[test]
fn a_killed_download_goes_on() {
    let (server, directory) = (stuck(), scratch());
    let running = start_and_wait_for_40_000_bytes(directory.path(), &server.url_of("f"));
    running.signal(Signal::KILL);
    running.finish().expect(-9);
    godwit(directory.path(), &["get", &server.url_of("f")]).expect(0);
    assert!(server.requests()[1].contains("range: bytes=40000-"));
    assert_eq!(names(directory.path()), ["f"]);
}

#[test]
fn a_second_download_of_the_same_name_is_refused() {
    let (server, directory) = (stuck(), scratch());
    let running = start_and_wait_for_40_000_bytes(directory.path(), &server.url_of("f"));
    godwit(directory.path(), &["get", &server.url_of("f")]).expect(1).says("in use by another download");
    running.signal(Signal::INT);
    running.finish().expect(130);
}

/// `-o /dev/null` by root would leave a file there.
#[test]
fn what_is_not_a_file_is_not_replaced_even_by_force() {
    let directory = scratch();
    let socket = directory.path().join("socket");
    let _socket = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    for force in [&[][..], &["--force"]] {
        let arguments = [&["get", "udt://127.0.0.1:9/f", "-o", "socket"], force].concat();
        godwit(directory.path(), &arguments).expect(1).says("socket is not a regular file and is not replaced");
    }
    assert_eq!(names(directory.path()), ["socket"]);
}

#[test]
fn a_file_that_appears_meanwhile_is_not_replaced() {
    let content = noise(100_000);
    let directory = scratch();
    let target = directory.path().join("f");
    let appears = target.clone();
    let server = Scripted::start(move |_, _| {
        fs::write(&appears, "somebody was faster").expect("written");
        Reply::new(&["HTTP/1.1 200 OK", "Content-Length: 100000"], &content)
    });
    godwit(directory.path(), &["get", &server.url_of("f")]).expect(1).says("f exists");
    assert_eq!(fs::read(&target).expect("there"), b"somebody was faster");
    assert_eq!(names(directory.path()), ["f", "f.part", "f.part.meta"]);
}
