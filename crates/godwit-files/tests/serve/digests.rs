//! Digests: in the head if known, behind the bytes if not.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::time::Duration;

use godwit_files::FilesConfig;
use http::Method;
use http_body_util::BodyExt as _;

use crate::fixture::{Fixture, read, repr_digest, request, settled};

const TE: (&str, &str) = ("te", "trailers");
const WANT: (&str, &str) = ("want-repr-digest", "sha-256=9");

#[tokio::test]
async fn an_unknown_digest_follows_as_a_trailer_for_those_who_take_it() {
    for content in [vec![], vec![7], vec![7; 256 * 1024], vec![7; 1_000_000]] {
        let fixture = Fixture::new();
        fixture.write("f", &content);
        let answer = fixture.get("/f", &[TE]).await;
        assert_eq!(answer.field("content-length"), "");
        assert_eq!(answer.field("godwit-length"), content.len().to_string());
        assert_eq!(answer.field("trailer"), "Repr-Digest");
        assert_eq!(answer.field("repr-digest"), "");
        assert_eq!(answer.trailers.as_ref().unwrap()["repr-digest"], repr_digest(&content));
        assert!(answer.body == content);
        // From now on it is known.
        let answer = fixture.get("/f", &[TE]).await;
        assert_eq!(answer.field("repr-digest"), repr_digest(&content));
        assert_eq!(answer.field("content-length"), content.len().to_string());
        assert_eq!(answer.trailers, None);
    }
}

#[tokio::test]
async fn others_get_a_length_and_leave_the_digest_behind() {
    let fixture = Fixture::new();
    fixture.write("f", "hello");
    let answer = fixture.get("/f", &[]).await;
    assert_eq!((answer.field("content-length"), answer.field("repr-digest")), ("5", ""));
    assert_eq!((answer.trailers, answer.headers.get("trailer")), (None, None));
    let answer = fixture.get("/f", &[("range", "bytes=1-2")]).await;
    assert_eq!(answer.field("repr-digest"), repr_digest(b"hello"), "of the whole, also on a part");
    assert_eq!(fixture.head("/f", &[]).await.field("repr-digest"), repr_digest(b"hello"));
    let refused = ("want-repr-digest", "sha-256=0");
    assert_eq!(fixture.get("/f", &[refused]).await.field("repr-digest"), "");
}

#[tokio::test]
async fn a_part_teaches_no_digest() {
    let fixture = Fixture::new();
    fixture.write("f", "hello");
    let answer = fixture.get("/f", &[("range", "bytes=0-4"), TE]).await;
    assert_eq!((answer.field("content-length"), answer.field("repr-digest")), ("5", ""));
    assert_eq!(fixture.head("/f", &[]).await.field("repr-digest"), "");
}

#[tokio::test]
async fn head_computes_what_is_wanted() {
    let fixture = Fixture::new();
    let content = vec![3; 3_000_000];
    fixture.write("f", &content);
    assert_eq!(fixture.head("/f", &[]).await.field("repr-digest"), "");
    let answers = tokio::join!(fixture.head("/f", &[WANT]), fixture.head("/f", &[WANT]), fixture.head("/f", &[WANT]));
    for answer in [answers.0, answers.1, answers.2] {
        assert_eq!(answer.field("repr-digest"), repr_digest(&content));
        assert_eq!(answer.field("content-length"), "3000000");
    }
    assert_eq!(fixture.get("/f", &[("range", "bytes=0-0")]).await.field("repr-digest"), repr_digest(&content));
}

#[tokio::test]
async fn a_file_just_written_has_a_weak_tag_and_no_remembered_digest() {
    let fixture = Fixture::with(FilesConfig { settle_time: Duration::from_secs(3600), ..settled() });
    fixture.write("f", "hello");
    let answer = fixture.get("/f", &[TE]).await;
    assert_eq!(answer.trailers.unwrap()["repr-digest"], repr_digest(b"hello"));
    assert!(answer.headers["etag"].to_str().unwrap().starts_with("W/"));
    assert_eq!(fixture.head("/f", &[]).await.field("repr-digest"), "");
    assert_eq!(fixture.head("/f", &[WANT]).await.field("repr-digest"), repr_digest(b"hello"));
    let date = answer.headers["last-modified"].to_str().unwrap();
    let part = fixture.get("/f", &[("range", "bytes=0-0"), ("if-range", date)]).await;
    assert_eq!(part.status, 200, "not a strong date yet");
}

/// What somebody does to a file that is being sent.
type Change = fn(&mut File);

#[tokio::test]
async fn a_file_that_changes_is_not_sent_to_its_end() {
    let changes: [(&str, Change); 4] = [
        ("grown", |file| file.write_all(b"more").unwrap()),
        ("truncated", |file| file.set_len(100).unwrap()),
        ("truncated to nothing", |file| file.set_len(0).unwrap()),
        ("touched", |file| file.set_modified(std::time::UNIX_EPOCH).unwrap()),
    ];
    for fields in [&[][..], &[TE], &[("range", "bytes=1-")], &[("range", "bytes=0-0,4000000-")]] {
        for (what, change) in changes {
            let fixture = Fixture::new();
            fixture.write("f", vec![5; 8_000_000]);
            let response = fixture.service.handle(request(Method::GET, "/f", fields)).await;
            let (head, mut body) = response.into_parts();
            body.frame().await.unwrap().unwrap();
            let mut file = OpenOptions::new().append(true).open(fixture.root.join("f")).unwrap();
            change(&mut file);
            drop(file);
            let rest = read(http::Response::from_parts(head, body)).await;
            assert!(rest.is_err(), "{what} {fields:?}");
            assert_eq!(fixture.head("/f", &[]).await.field("repr-digest"), "", "nothing is remembered");
        }
    }
}
