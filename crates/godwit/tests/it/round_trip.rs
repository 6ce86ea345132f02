//! `serve` with `get`, `put` and `ls`, over every transport.

use std::fs;

use rustix::process::Signal;

use crate::support::{Served, eventually, godwit, length, names, noise, scratch, start, write};

/// Each test once per URL scheme.
macro_rules! over_every_transport {
    ($($test:ident),+ $(,)?) => {
        mod tcp { $(#[test] fn $test() { super::$test("http"); })+ }
        mod udt { $(#[test] fn $test() { super::$test("udt"); })+ }
    };
}

over_every_transport! {
    downloads_are_what_is_served,
    a_download_that_is_done_has_nothing_to_do,
    uploads_are_stored_and_not_replaced,
    uploads_are_refused_with_a_reason,
    listings_show_what_is_there,
    a_download_survives_the_server,
    serve_drains_and_ends,
}

fn downloads_are_what_is_served(scheme: &str) {
    let (root, directory) = (scratch(), scratch());
    let big = noise(5_000_000);
    write(root.path(), "big.bin", &big);
    write(root.path(), "empty", b"");
    write(root.path(), "né %25#?.txt", b"odd name");
    let server = Served::start(scheme, root.path(), &[]);
    let url = |name: &str| server.url_of(&godwit_files::percent::encode(name.as_bytes()));
    let urls = [url("big.bin"), url("empty"), url("né %25#?.txt")];
    let run = godwit(directory.path(), &["get", "--require-digest", &urls[0], &urls[1], &urls[2]]).expect(0);
    assert_eq!(run.stderr.matches(", verified").count(), 3, "{}", run.stderr);
    assert_eq!(names(directory.path()), ["big.bin", "empty", "né %25#?.txt"]);
    assert!(fs::read(directory.path().join("big.bin")).expect("there") == big);
    assert_eq!(fs::read(directory.path().join("né %25#?.txt")).expect("there"), b"odd name");
    godwit(directory.path(), &["get", &server.url_of("missing")]).expect(1).says("404");
}

fn a_download_that_is_done_has_nothing_to_do(scheme: &str) {
    let (root, directory) = (scratch(), scratch());
    write(root.path(), "f", b"hello");
    let server = Served::start(scheme, root.path(), &[]);
    godwit(directory.path(), &["get", &server.url_of("f")]).expect(0);
    godwit(directory.path(), &["get", &server.url_of("f")]).expect(0).says("up to date");
    write(root.path(), "f", b"changed");
    godwit(directory.path(), &["get", &server.url_of("f")]).expect(1).says("f exists");
    assert_eq!(fs::read(directory.path().join("f")).expect("there"), b"hello");
}

fn uploads_are_stored_and_not_replaced(scheme: &str) {
    let (root, directory) = (scratch(), scratch());
    fs::create_dir(root.path().join("incoming")).expect("created");
    let big = noise(5_000_000);
    write(directory.path(), "big.bin", &big);
    write(directory.path(), "a b%.txt", b"one");
    let server = Served::start(scheme, root.path(), &["--allow-upload"]);
    let incoming = server.url_of("incoming/");
    godwit(directory.path(), &["put", "big.bin", "a b%.txt", &incoming]).expect(0).says("stored");
    assert!(fs::read(root.path().join("incoming/big.bin")).expect("there") == big);
    assert_eq!(names(&root.path().join("incoming")), ["a b%.txt", "big.bin"]);

    write(directory.path(), "a b%.txt", b"two");
    godwit(directory.path(), &["put", "a b%.txt", &incoming]).expect(1).says("exists on the server");
    assert_eq!(fs::read(root.path().join("incoming/a b%.txt")).expect("there"), b"one");
    godwit(directory.path(), &["put", "--force", "a b%.txt", &incoming]).expect(0).says("replaced");
    assert_eq!(fs::read(root.path().join("incoming/a b%.txt")).expect("there"), b"two");
    godwit(directory.path(), &["put", "a b%.txt", &server.url_of("incoming/named")]).expect(0);
    assert_eq!(names(&root.path().join("incoming")), ["a b%.txt", "big.bin", "named"]);
}

fn uploads_are_refused_with_a_reason(scheme: &str) {
    let (root, directory) = (scratch(), scratch());
    write(directory.path(), "big.bin", &noise(5_000_000));
    let read_only = Served::start(scheme, root.path(), &[]);
    godwit(directory.path(), &["put", "big.bin", &read_only.url]).expect(1).says("403");
    let small = Served::start(scheme, root.path(), &["--allow-upload", "--max-upload-size", "1M"]);
    godwit(directory.path(), &["put", "big.bin", &small.url]).expect(1).says("413");
    godwit(directory.path(), &["put", "missing", &small.url]).expect(1).says("cannot open missing");
    godwit(directory.path(), &["put", ".", &small.url_of("name")]).expect(1);
    assert!(names(root.path()).is_empty());
}

fn listings_show_what_is_there(scheme: &str) {
    let (root, directory) = (scratch(), scratch());
    write(root.path(), "file.txt", b"12345");
    write(root.path(), "escape\u{1b}[2J", b"");
    fs::create_dir(root.path().join("sub")).expect("created");
    write(&root.path().join("sub"), "inner", b"");
    let server = Served::start(scheme, root.path(), &[]);
    let table = godwit(directory.path(), &["ls", &server.url]).expect(0).stdout;
    let lines: Vec<(&str, &str)> = table.lines().map(|line| line.rsplit_once("  ").expect("columns")).collect();
    let listed: Vec<&str> = lines.iter().map(|(_, name)| *name).collect();
    assert!(listed.contains(&"escape\\u{1b}[2J") && listed.contains(&"sub/"), "{table}");
    assert!(lines.iter().any(|(columns, name)| columns.trim_start().starts_with("5  20") && *name == "file.txt"));
    assert!(!table.contains('\u{1b}'));

    let json = godwit(directory.path(), &["ls", "--json", &server.url]).expect(0).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json.as_array().expect("an array").len(), 3);
    assert!(godwit(directory.path(), &["ls", &server.url_of("sub")]).expect(0).stdout.contains("inner"));
    godwit(directory.path(), &["ls", &server.url_of("missing/")]).expect(1).says("404");
}

/// The server is killed in the middle and started again; the client goes on by itself.
fn a_download_survives_the_server(scheme: &str) {
    let (root, directory) = (scratch(), scratch());
    let content = noise(64 << 20);
    write(root.path(), "f", &content);
    // A file that was just written has a weak ETag, and nothing is joined on the strength of that.
    std::thread::sleep(godwit_files::FilesConfig::default().settle_time * 2);
    let server = Served::start(scheme, root.path(), &[]);
    let listen = server.url.clone();
    let running = start(directory.path(), &["get", "--retries", "20", &server.url_of("f")]);
    eventually("bytes arrive", || {
        (length(&directory.path().join("f.part")) > 0 || directory.path().join("f").exists()).then_some(())
    });
    server.stop(Signal::KILL).expect(-9);
    let _server = eventually("the port is free again", || Served::start_at(&listen, root.path(), &[]));
    let run = running.finish().expect(0).says(", verified");
    assert!(!run.stderr.contains("starting anew"), "{}", run.stderr);
    assert!(fs::read(directory.path().join("f")).expect("there") == content);
}

fn serve_drains_and_ends(scheme: &str) {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let root = scratch();
        let server = Served::start(scheme, root.path(), &["."]);
        assert!(server.url.starts_with(&format!("{scheme}://127.0.0.1:")), "{}", server.url);
        let run = server.stop(signal).expect(code);
        assert_eq!(run.stdout, "", "one line per URL");
        run.says(&root.path().to_string_lossy()).says("read-only").says("this machine alone").says("unauthenticated");
    }
}
