//! `cat`: bytes from one process to another.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;

use crate::support::{Running, announcement, command, eventually, godwit, length, noise, scratch, start_with, write};

/// A listener on a free port whose output goes to the file `out`, and its URL.
fn listen(directory: &Path) -> (Running, String) {
    let out = File::create(directory.join("out")).expect("a scratch directory takes files");
    let mut command = command(directory, &["cat", "--listen", "127.0.0.1:0"]);
    let mut child = command.stdout(out).spawn().expect("the binary starts");
    let (url, stderr) = announcement(child.stderr.take().expect("piped"));
    (Running { child, stdout: None, stderr: Some(stderr) }, url.expect("it listens"))
}

fn input(directory: &Path, content: &[u8]) -> Stdio {
    File::open(write(directory, "in", content)).expect("just written").into()
}

#[test]
fn bytes_arrive_and_both_ends_exit() {
    for content in [noise(0), noise(1), noise(1457), noise(5_000_000)] {
        let directory = scratch();
        let (listener, url) = listen(directory.path());
        start_with(input(directory.path(), &content), directory.path(), &["cat", &url]).finish().expect(0);
        listener.finish().expect(0);
        assert!(fs::read(directory.path().join("out")).expect("there") == content, "{} bytes", content.len());
    }
}

#[test]
fn a_broken_pipe_is_a_network_error() {
    let directory = scratch();
    let (listener, url) = listen(directory.path());
    let mut sender = start_with(Stdio::piped(), directory.path(), &["cat", &url]);
    let mut stdin = sender.child.stdin.take().expect("piped");
    std::io::Write::write_all(&mut stdin, b"hello").expect("it reads");
    eventually("bytes arrive", || (length(&directory.path().join("out")) == 5).then_some(()));
    listener.signal(Signal::TERM);
    listener.finish().expect(143);
    // Its stdin is still open: only the connection tells it.
    sender.finish().expect(3).says("the peer closed the connection");
    drop(stdin);
}

#[test]
fn a_sender_that_is_stopped_is_no_end_of_the_data() {
    let directory = scratch();
    let (listener, url) = listen(directory.path());
    let mut sender = start_with(Stdio::piped(), directory.path(), &["cat", &url]);
    let mut stdin = sender.child.stdin.take().expect("piped");
    std::io::Write::write_all(&mut stdin, b"hello").expect("it reads");
    eventually("bytes arrive", || (length(&directory.path().join("out")) == 5).then_some(()));
    sender.signal(Signal::INT);
    sender.finish().expect(130);
    listener.finish();
}

#[test]
fn nobody_there_is_a_network_error() {
    let directory = scratch();
    godwit(directory.path(), &["cat", "udt://127.0.0.1:1"]).expect(3).says("cannot connect");
}

#[test]
fn only_udt_and_one_end() {
    let directory = scratch();
    for arguments in [
        &["cat"][..],
        &["cat", "http://127.0.0.1:1"],
        &["cat", "udt://127.0.0.1:1/path"],
        &["cat", "--listen", "http://127.0.0.1:0"],
        &["cat", "--listen", "127.0.0.1:0", "udt://127.0.0.1:1"],
    ] {
        godwit(directory.path(), arguments).expect(2);
    }
}
