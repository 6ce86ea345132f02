//! Servers that break off, contradict themselves or send something else: no bad file ever gets the good name.

use std::fs;

use crate::support::{Reply, Scripted, godwit, names, noise, repr_digest, scratch, write};

const OK: &str = "HTTP/1.1 200 OK";
const TAG: &str = "ETag: \"v1\"";

#[test]
fn a_wrong_digest_quarantines_the_file_and_the_next_run_starts_anew() {
    let content = noise(100_000);
    let honest = repr_digest(&content);
    let server = Scripted::start(move |number, _| {
        let mut content = content.clone();
        content[77] ^= u8::from(number == 0);
        Reply::new(&[OK, TAG, "Content-Length: 100000", &honest], &content)
    });
    let directory = scratch();
    godwit(directory.path(), &["get", &server.url_of("f")]).expect(4).says("damaged").says("f.part.bad");
    assert_eq!(names(directory.path()), ["f.part.bad"]);
    godwit(directory.path(), &["get", &server.url_of("f")]).expect(0).says("verified");
    assert_eq!(names(directory.path()), ["f", "f.part.bad"]);
    assert_eq!(fs::read(directory.path().join("f")).expect("there"), noise(100_000));
    assert!(server.requests().iter().all(|request| !request.contains("range:")));
}

#[test]
fn a_wrong_digest_in_a_trailer_counts_as_well() {
    let wrong = repr_digest(b"something else");
    let server = Scripted::start(move |_, _| {
        let content = format!("5\r\nhello\r\n0\r\n{wrong}\r\n\r\n");
        let head = [OK, TAG, "Transfer-Encoding: chunked", "Trailer: Repr-Digest", "Godwit-Length: 5"];
        Reply::new(&head, content.as_bytes())
    });
    let directory = scratch();
    godwit(directory.path(), &["get", &server.url_of("f")]).expect(4).says("damaged");
    assert_eq!(names(directory.path()), ["f.part.bad"]);
    assert!(server.requests()[0].contains("te: trailers"), "a trailer must be asked for");
}

#[test]
fn a_right_digest_in_a_trailer_verifies() {
    let right = repr_digest(b"hello");
    let server = Scripted::start(move |_, _| {
        let content = format!("5\r\nhello\r\n0\r\n{right}\r\n\r\n");
        let head = [OK, TAG, "Transfer-Encoding: chunked", "Trailer: Repr-Digest", "Godwit-Length: 5"];
        Reply::new(&head, content.as_bytes())
    });
    let directory = scratch();
    godwit(directory.path(), &["get", "--require-digest", &server.url_of("f")]).expect(0).says(", verified");
    assert_eq!(names(directory.path()), ["f"]);
}

#[test]
fn more_than_promised_is_no_file() {
    let server = Scripted::start(|_, _| {
        Reply::new(&[OK, TAG, "Transfer-Encoding: chunked", "Godwit-Length: 4"], b"5\r\nhello\r\n0\r\n\r\n")
    });
    let directory = scratch();
    godwit(directory.path(), &["get", &server.url_of("f")]).expect(4).says("more than the 4 bytes");
    assert!(!directory.path().join("f").exists());
}

#[test]
fn less_than_promised_is_no_file() {
    let server = Scripted::start(|_, _| {
        Reply::new(&[OK, TAG, "Transfer-Encoding: chunked", "Godwit-Length: 6"], b"5\r\nhello\r\n0\r\n\r\n")
    });
    let directory = scratch();
    godwit(directory.path(), &["get", "--retries", "0", &server.url_of("f")]).expect(3).says("5 of 6 bytes");
    assert_eq!(names(directory.path()), ["f.part", "f.part.meta"]);
}

#[test]
fn without_a_digest_a_file_is_not_verified_or_refused() {
    let server = Scripted::start(|_, _| Reply::new(&[OK, TAG, "Content-Length: 5"], b"hello"));
    let directory = scratch();
    godwit(directory.path(), &["get", "--require-digest", &server.url_of("f")]).expect(4).says("--require-digest");
    assert_eq!(names(directory.path()), ["f.part", "f.part.meta"]);
    godwit(directory.path(), &["get", &server.url_of("f")]).expect(0).says("not verified");
    assert_eq!(names(directory.path()), ["f"]);
}

#[test]
fn an_encoded_answer_is_refused() {
    let server = Scripted::start(|_, _| Reply::new(&[OK, "Content-Encoding: gzip", "Content-Length: 5"], b"hello"));
    let directory = scratch();
    godwit(directory.path(), &["get", &server.url_of("f")]).expect(1).says("Content-Encoding");
    assert!(names(directory.path()).is_empty());
}

#[test]
fn a_refusal_speaks_in_the_servers_words_without_its_control_characters() {
    let server = Scripted::start(|_, _| {
        let content = "{\"title\":\"No\",\"detail\":\"not\\u001b[31m for you\"}";
        let length = format!("Content-Length: {}", content.len());
        Reply::new(&["HTTP/1.1 403 Forbidden", "Content-Type: application/problem+json", &length], content.as_bytes())
    });
    let directory = scratch();
    let run = godwit(directory.path(), &["get", &server.url_of("f")]).expect(1);
    run.says("403 Forbidden: not\\u{1b}[31m for you");
    assert!(names(directory.path()).is_empty());
}

#[test]
fn a_busy_server_is_asked_again() {
    let server = Scripted::start(|number, _| match number {
        0 => Reply::new(&["HTTP/1.1 503 Service Unavailable", "Content-Length: 0"], b""),
        _ => Reply::new(&[OK, TAG, "Content-Length: 5"], b"hello"),
    });
    let directory = scratch();
    godwit(directory.path(), &["get", &server.url_of("f")]).expect(0).says("trying again");
    assert_eq!(names(directory.path()), ["f"]);
}

#[test]
fn garbage_is_a_network_error() {
    let server = Scripted::start(|_, _| Reply { bytes: b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(), hangs: false });
    let directory = scratch();
    godwit(directory.path(), &["get", &server.url_of("f")]).expect(3);
    assert!(names(directory.path()).is_empty());
}

#[test]
fn an_existing_name_is_left_alone_unless_it_is_the_same() {
    let digest = repr_digest(b"hello");
    let server = Scripted::start(move |_, head| {
        let content: &[u8] = if head.starts_with("HEAD") { b"" } else { b"hello" };
        Reply::new(&[OK, TAG, "Content-Length: 5", &digest], content)
    });
    let directory = scratch();
    write(directory.path(), "f", b"other");
    godwit(directory.path(), &["get", &server.url_of("f")]).expect(1).says("f exists");
    write(directory.path(), "f", b"longer than the server's");
    godwit(directory.path(), &["get", &server.url_of("f")]).expect(1).says("f exists");
    write(directory.path(), "f", b"hello");
    godwit(directory.path(), &["get", &server.url_of("f")]).expect(0).says("up to date");
    assert!(server.requests().iter().all(|request| request.starts_with("head ")), "nothing is downloaded to find out");

    write(directory.path(), "f", b"other");
    godwit(directory.path(), &["get", "--force", &server.url_of("f")]).expect(0);
    assert_eq!(fs::read(directory.path().join("f")).expect("there"), b"hello");
    assert_eq!(names(directory.path()), ["f"]);
}
