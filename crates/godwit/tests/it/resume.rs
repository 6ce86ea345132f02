//! Downloads that break off go on where they were, if that is surely the same file.

use std::fs;

use crate::support::{Reply, Scripted, godwit, names, noise, repr_digest, scratch};

const OK: &str = "HTTP/1.1 200 OK";
const PARTIAL: &str = "HTTP/1.1 206 Partial Content";
const TAG: &str = "ETag: \"v1\"";
const LENGTH: &str = "Content-Length: 100000";

/// The first answer ends after 40,000 of 100,000 bytes; `later` gives the others.
fn cut_first(later: impl Fn(usize, &[u8]) -> Reply + Send + 'static) -> Scripted {
    let content = noise(100_000);
    Scripted::start(move |number, _| match number {
        0 => Reply::new(&[OK, TAG, LENGTH], &content[..40_000]),
        number => later(number, &content),
    })
}

/// No HEAD before it, no question after it.
#[test]
fn a_download_is_one_request() {
    let content = noise(100_000);
    let digest = repr_digest(&content);
    let server = Scripted::start(move |_, _| Reply::new(&[OK, TAG, LENGTH, &digest], &content));
    let directory = scratch();
    godwit(directory.path(), &["get", &server.url_of("f")]).expect(0).says(", verified");
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].starts_with("get /f ") || requests[0].starts_with("GET /f "), "{}", requests[0]);
}

#[test]
fn goes_on_by_itself_with_the_validator_of_what_is_there() {
    let digest = repr_digest(&noise(100_000));
    let server = cut_first(move |_, content| {
        let head = [PARTIAL, TAG, "Content-Length: 60000", "Content-Range: bytes 40000-99999/100000", &digest];
        Reply::new(&head, &content[40_000..])
    });
    let directory = scratch();
    godwit(directory.path(), &["get", &server.url_of("f")]).expect(0).says("trying again").says(", verified");
    assert_eq!(fs::read(directory.path().join("f")).expect("there"), noise(100_000));
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert!(!requests[0].contains("range:"));
    assert!(requests[1].contains("\r\nrange: bytes=40000-\r\n") && requests[1].contains("\r\nif-range: \"v1\"\r\n"));
}

#[test]
fn goes_on_in_the_next_run_and_asks_for_the_digest_that_a_part_lacks() {
    let digest = repr_digest(&noise(100_000));
    let server = cut_first(move |number, content| match number {
        1 => {
            let head = [PARTIAL, TAG, "Content-Length: 60000", "Content-Range: bytes 40000-99999/100000"];
            Reply::new(&head, &content[40_000..])
        }
        _ => Reply::new(&[OK, TAG, LENGTH, &digest], b""),
    });
    let directory = scratch();
    godwit(directory.path(), &["get", "--retries", "0", &server.url_of("f")])
        .expect(3)
        .says("run the same command again");
    assert_eq!(names(directory.path()), ["f.part", "f.part.meta"]);
    let meta = fs::read_to_string(directory.path().join("f.part.meta")).expect("there");
    assert!(
        meta.contains(&server.url_of("f")) && meta.contains(r#""etag":"\"v1\"""#) && meta.contains("100000"),
        "{meta}"
    );

    godwit(directory.path(), &["get", &server.url_of("f")])
        .expect(0)
        .says("going on after 39.06 KiB")
        .says(", verified");
    assert_eq!(fs::read(directory.path().join("f")).expect("there"), noise(100_000));
    let requests = server.requests();
    assert!(requests[1].contains("\r\nrange: bytes=40000-\r\n"));
    assert!(requests[2].starts_with("head ") && requests[2].contains("\r\nwant-repr-digest: sha-256=9\r\n"));
}

#[test]
fn a_server_without_head_leaves_a_part_unverified() {
    let server = cut_first(|number, content| match number {
        1 => {
            let head = [PARTIAL, TAG, "Content-Length: 60000", "Content-Range: bytes 40000-99999/100000"];
            Reply::new(&head, &content[40_000..])
        }
        _ => Reply::new(&["HTTP/1.1 405 Method Not Allowed", "Content-Length: 0"], b""),
    });
    let directory = scratch();
    godwit(directory.path(), &["get", &server.url_of("f")]).expect(0).says("not verified");
    assert_eq!(fs::read(directory.path().join("f")).expect("there"), noise(100_000));
}

#[test]
fn a_part_that_was_damaged_on_disk_is_found_out() {
    let digest = repr_digest(&noise(100_000));
    let server = cut_first(move |_, content| {
        let head = [PARTIAL, TAG, "Content-Length: 60000", "Content-Range: bytes 40000-99999/100000", &digest];
        Reply::new(&head, &content[40_000..])
    });
    let directory = scratch();
    godwit(directory.path(), &["get", "--retries", "0", &server.url_of("f")]).expect(3);
    let part = directory.path().join("f.part");
    let mut bytes = fs::read(&part).expect("there");
    bytes[12_345] ^= 1;
    fs::write(&part, bytes).expect("written");
    godwit(directory.path(), &["get", &server.url_of("f")]).expect(4).says("damaged");
    assert_eq!(names(directory.path()), ["f.part.bad"]);
}

#[test]
fn starts_anew_when_the_file_has_changed() {
    let server = cut_first(|_, _| Reply::new(&[OK, "ETag: \"v2\"", "Content-Length: 3"], b"new"));
    let directory = scratch();
    godwit(directory.path(), &["get", &server.url_of("f")]).expect(0).says("starting anew");
    assert_eq!(fs::read(directory.path().join("f")).expect("there"), b"new");
    assert_eq!(server.requests().len(), 2, "the 200 that answers If-Range is the file already");
}

#[test]
fn starts_anew_when_the_server_sends_another_part_or_version() {
    for head in [
        [PARTIAL, TAG, "Content-Length: 60000", "Content-Range: bytes 30000-89999/100000"],
        [PARTIAL, "ETag: \"v2\"", "Content-Length: 60000", "Content-Range: bytes 40000-99999/100000"],
        [PARTIAL, TAG, "Content-Length: 60000", "Content-Range: bytes 40000-99999/123456"],
        ["HTTP/1.1 416 Range Not Satisfiable", TAG, "Content-Length: 0", "Content-Range: bytes */7"],
    ] {
        let server = cut_first(move |number, content| match number {
            1 => Reply::new(&head, &content[40_000..]),
            _ => Reply::new(&[OK, TAG, LENGTH], content),
        });
        let directory = scratch();
        godwit(directory.path(), &["get", &server.url_of("f")]).expect(0).says("starting anew");
        assert_eq!(fs::read(directory.path().join("f")).expect("there"), noise(100_000), "{head:?}");
    }
}

#[test]
fn a_part_that_is_complete_already_is_only_verified() {
    let digest = repr_digest(b"hello");
    // Without a length the first run cannot know that all is there; the second learns it from the 416.
    let server = Scripted::start(move |number, head| match number {
        0 => Reply::new(&[OK, TAG, "Transfer-Encoding: chunked"], b"5\r\nhello\r\n"),
        _ if head.starts_with("HEAD") => Reply::new(&[OK, TAG, "Content-Length: 5", &digest], b""),
        _ => Reply::new(
            &["HTTP/1.1 416 Range Not Satisfiable", TAG, "Content-Length: 0", "Content-Range: bytes */5"],
            b"",
        ),
    });
    let directory = scratch();
    godwit(directory.path(), &["get", &server.url_of("f")]).expect(0).says(", verified");
    assert_eq!(fs::read(directory.path().join("f")).expect("there"), b"hello");
}

#[test]
fn without_a_validator_nothing_is_joined() {
    let content = noise(100_000);
    let server = Scripted::start(move |number, _| {
        Reply::new(&[OK, "ETag: W/\"weak\"", LENGTH], if number == 0 { &content[..40_000] } else { &content })
    });
    let directory = scratch();
    godwit(directory.path(), &["get", &server.url_of("f")]).expect(0).says("starting anew");
    assert_eq!(fs::read(directory.path().join("f")).expect("there"), noise(100_000));
    assert!(server.requests().iter().all(|request| !request.contains("range:")));
}

#[test]
fn starting_anew_for_ever_is_not_going_on() {
    let content = noise(100_000);
    let server = Scripted::start(move |_, _| Reply::new(&[OK, "ETag: W/\"weak\"", LENGTH], &content[..40_000]));
    let directory = scratch();
    godwit(directory.path(), &["get", "--retries", "2", &server.url_of("f")]).expect(3).says("(2 of 2)");
    // The first of them got further than nothing, so it counts as none.
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn another_url_of_the_same_name_starts_anew() {
    let server = cut_first(|_, content| Reply::new(&[OK, TAG, LENGTH], content));
    let directory = scratch();
    godwit(directory.path(), &["get", "--retries", "0", &server.url_of("a/f")]).expect(3);
    godwit(directory.path(), &["get", &server.url_of("b/f")]).expect(0).says("came from another URL");
    assert_eq!(fs::read(directory.path().join("f")).expect("there"), noise(100_000));
}

#[test]
fn gives_up_after_the_retries_and_keeps_what_arrived() {
    let server = cut_first(|_, _| Reply { bytes: Vec::new(), hangs: false });
    let directory = scratch();
    godwit(directory.path(), &["get", "--retries", "2", &server.url_of("f")]).expect(3).says("(2 of 2)");
    assert_eq!(names(directory.path()), ["f.part", "f.part.meta"]);
}
