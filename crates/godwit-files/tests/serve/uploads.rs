//! PUT that stores.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use godwit_files::FilesConfig;
use godwit_files::percent;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;

use crate::fixture::{Fixture, Frames, repr_digest, request, uploading};

#[tokio::test]
async fn stores_and_says_what() {
    let large = vec![9; 1_500_000];
    let split: [&[&[u8]]; 4] = [&[], &[b"hello"], &[b"he", b"l", b"", b"lo"], &[&large, b"x", &large]];
    for chunks in split {
        let fixture = Fixture::with(uploading());
        let answer = fixture.put("/new", &[], Frames::of(chunks)).await;
        let content = chunks.concat();
        assert_eq!(answer.status, StatusCode::CREATED);
        assert_eq!(answer.field("repr-digest"), repr_digest(&content));
        assert!(fs::read(fixture.root.join("new")).unwrap() == content);
        assert_eq!(fixture.on_disk(), ["new"]);
        let head = fixture.head("/new", &[]).await;
        assert_eq!(head.field("etag"), answer.field("etag"));
    }
}

#[tokio::test]
async fn a_plain_put_replaces_and_keeps_the_permissions() {
    let fixture = Fixture::with(uploading());
    fixture.write("f", "old and longer");
    fs::set_permissions(fixture.root.join("f"), fs::Permissions::from_mode(0o4640)).unwrap();
    let answer = fixture.put("/f", &[], Frames::of(&[b"new"])).await;
    assert_eq!((answer.status, answer.field("content-length")), (StatusCode::NO_CONTENT, ""));
    assert_eq!(fs::read(fixture.root.join("f")).unwrap(), b"new");
    assert_eq!(fs::metadata(fixture.root.join("f")).unwrap().permissions().mode() & 0o7777, 0o640);
    assert_eq!(fixture.on_disk(), ["f"]);
}

#[tokio::test]
async fn digests_in_the_head_or_behind_are_checked_before_the_name_is_given() {
    let (good, bad) = (repr_digest(b"hello"), repr_digest(b"other"));
    let send = |fields: &[(&'static str, &str)], trailer: Option<(&'static str, &str)>| {
        let body = Frames::of(&[b"hello"]);
        let body = match trailer {
            Some((name, value)) => body.then_trailer(name, value),
            None => body,
        };
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        async move {
            let fixture = Fixture::with(uploading());
            fixture.write("f", "old");
            let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer = fixture.put("/f", &fields, body).await;
            let content = fs::read(fixture.root.join("f")).unwrap();
            assert_eq!(content, if answer.status.is_success() { &b"hello"[..] } else { b"old" });
            assert_eq!(fixture.on_disk(), ["f"]);
            if answer.status.is_success() { "stored".to_owned() } else { answer.code() }
        }
    };
    assert_eq!(send(&[("repr-digest", &good)], None).await, "stored");
    assert_eq!(send(&[], Some(("repr-digest", &good))).await, "stored");
    assert_eq!(send(&[("content-digest", &good)], Some(("repr-digest", &good))).await, "stored");
    assert_eq!(send(&[("repr-digest", "sha-512=:AAAA:")], None).await, "stored");
    assert_eq!(send(&[("repr-digest", &bad)], None).await, "digest-mismatch");
    assert_eq!(send(&[], Some(("repr-digest", &bad))).await, "digest-mismatch");
    assert_eq!(send(&[("content-digest", &bad)], Some(("repr-digest", &good))).await, "digest-mismatch");
    assert_eq!(send(&[("repr-digest", &good)], Some(("repr-digest", &bad))).await, "digest-mismatch");
    assert_eq!(send(&[("repr-digest", "sha-256=:AAAA:")], None).await, "bad-digest");
    assert_eq!(send(&[], Some(("repr-digest", "sha-256=x"))).await, "bad-digest");
}

#[tokio::test]
async fn preconditions_decide_whether_it_may_replace() {
    let fixture = Fixture::with(uploading());
    let create = [("if-none-match", "*")];
    assert_eq!(fixture.put("/f", &create, Frames::of(&[b"1"])).await.status, StatusCode::CREATED);
    let body = Frames::of(&[b"2"]);
    let is_polled = body.is_polled.clone();
    assert_eq!(fixture.put("/f", &create, body).await.code(), "precondition-failed");
    assert!(!is_polled.load(std::sync::atomic::Ordering::Relaxed), "refused before the content");

    let etag = fixture.head("/f", &[]).await.field("etag").to_owned();
    let update = [("if-match", etag.as_str())];
    assert_eq!(fixture.put("/f", &update, Frames::of(&[b"two"])).await.status, StatusCode::NO_CONTENT);
    assert_eq!(fixture.put("/f", &update, Frames::of(&[b"three"])).await.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(fixture.put("/g", &[("if-match", "*")], Frames::of(&[])).await.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(fs::read(fixture.root.join("f")).unwrap(), b"two");
    assert_eq!(fixture.on_disk(), ["f"]);
}

/// Both uploads find the name free; the file that came in between must survive.
#[tokio::test]
async fn if_none_match_does_not_overwrite_what_came_meanwhile() {
    for (fields, status) in [(&[("if-none-match", "*")][..], 412), (&[], 204)] {
        let fixture = Fixture::with(uploading());
        let (sender, body) = channel();
        let put = tokio::spawn({
            let service = fixture.service.clone();
            let request = request(Method::PUT, "/f", fields).map(|_| body.boxed_unsync());
            async move { service.handle(request).await.status() }
        });
        until(|| fixture.on_disk().len() == 1).await;
        fixture.write("f", "in between");
        drop(sender);
        assert_eq!(put.await.unwrap(), status);
        assert_eq!(fs::read(fixture.root.join("f")).unwrap(), if status == 412 { &b"in between"[..] } else { b"" });
        assert_eq!(fixture.on_disk(), ["f"]);
    }
}

/// A body without bytes that ends when the sender is dropped.
fn channel()
-> (tokio::sync::oneshot::Sender<()>, impl http_body::Body<Data = bytes::Bytes, Error = godwit_http::BoxError>) {
    struct Waiting(tokio::sync::oneshot::Receiver<()>);
    impl http_body::Body for Waiting {
        type Data = bytes::Bytes;
        type Error = godwit_http::BoxError;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            context: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, godwit_http::BoxError>>> {
            std::pin::Pin::new(&mut self.0).poll(context).map(|_| None)
        }
    }
    let (sender, receiver) = tokio::sync::oneshot::channel();
    (sender, Waiting(receiver))
}

async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("the condition never came true");
}

#[tokio::test]
async fn an_unfinished_upload_is_hidden_and_vanishes_with_its_client() {
    let fixture = Fixture::with(uploading());
    let put = tokio::spawn({
        let service = fixture.service.clone();
        let body = Frames::of(&[&[1; 600_000]]).then_stall();
        let request = request(Method::PUT, "/f", &[]).map(|_| body.boxed_unsync());
        async move { service.handle(request).await.status() }
    });
    until(|| !fixture.on_disk().is_empty()).await;
    let [name] = fixture.on_disk().try_into().unwrap();
    assert!(name.starts_with(".godwit-upload-"), "{name}");
    assert!(fixture.names("/").await.is_empty());
    assert_eq!(fixture.get(&format!("/{name}"), &[]).await.code(), "not-found");
    put.abort();
    until(|| fixture.on_disk().is_empty()).await;
}

#[tokio::test]
async fn what_breaks_off_leaves_nothing() {
    let fixture = Fixture::with(FilesConfig { upload_bytes_max: 10, ..uploading() });
    fixture.write("f", "old");
    for (fields, body, code) in [
        (&[][..], Frames::of(&[b"hel"]).then_error(), "incomplete"),
        (&[("content-length", "5")], Frames::of(&[b"hell"]), "incomplete"),
        (&[("godwit-length", "5")], Frames::of(&[b"hello!"]), "incomplete"),
        (&[], Frames::of(&[b"0123456789", b"a"]), "too-large"),
    ] {
        assert_eq!(fixture.put("/f", fields, body).await.code(), code);
        assert_eq!(fs::read(fixture.root.join("f")).unwrap(), b"old");
        assert_eq!(fixture.on_disk(), ["f"]);
    }
    assert_eq!(fixture.put("/f", &[], Frames::of(&[b"0123456789"])).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn nasty_names_are_stored_as_they_are() {
    let fixture = Fixture::with(uploading());
    let longest = "n".repeat(255);
    for name in ["a b", "100%", "a#b?c", "new\nline", "-rf", ".hidden", &longest] {
        let path = format!("/{}", percent::encode(name.as_bytes()));
        assert_eq!(fixture.put(&path, &[], Frames::of(&[b"x"])).await.status, StatusCode::CREATED, "{path}");
        assert_eq!(fs::read(fixture.root.join(name)).unwrap(), b"x", "{path}");
    }
}
