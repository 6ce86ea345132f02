//! GET and HEAD of files.

use http::{Method, StatusCode};

use crate::fixture::Fixture;

#[tokio::test]
async fn get_sends_the_file_and_what_it_is() {
    let fixture = Fixture::new();
    fixture.write("a.txt", "hello");
    let answer = fixture.get("/a.txt", &[]).await;
    assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"hello"[..]));
    for (name, value) in [
        ("content-length", "5"),
        ("content-type", "text/plain; charset=utf-8"),
        ("x-content-type-options", "nosniff"),
        ("accept-ranges", "bytes"),
        ("server", "godwit"),
        ("cache-control", "no-cache"),
    ] {
        assert_eq!(answer.field(name), value, "{name}");
    }
    assert!(answer.field("etag").starts_with('"'));
    assert!(httpdate::parse_http_date(answer.field("last-modified")).is_ok());
}

#[tokio::test]
async fn other_methods_are_answered_with_what_is_allowed() {
    let fixture = Fixture::new();
    fixture.write("a", "hello");
    for method in ["POST", "DELETE", "PATCH", "TRACE", "PROPFIND"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let answer = fixture.send(crate::fixture::request(method, "/a", &[])).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.code(), "method-not-allowed");
        assert_eq!(answer.field("allow"), "GET, HEAD, PUT, OPTIONS");
    }
    for path in ["/a", "/", "*", "/missing"] {
        let answer = fixture.send(crate::fixture::request(Method::OPTIONS, path, &[])).await;
        assert_eq!((answer.status, answer.field("allow")), (StatusCode::NO_CONTENT, "GET, HEAD, PUT, OPTIONS"));
    }
}

#[tokio::test]
async fn head_has_the_fields_of_get() {
    let fixture = Fixture::new();
    fixture.write("a.html", "hello");
    for path in ["/a.html", "/", "/missing", "/%2e%2e"] {
        let (get, head) = (fixture.get(path, &[]).await, fixture.head(path, &[]).await);
        assert_eq!(head.status, get.status);
        let mut fields = head.headers.clone();
        // GET of the file has taught the digest that HEAD knows.
        fields.remove("repr-digest");
        assert_eq!(fields, get.headers, "{path}");
        assert!(head.body.is_empty());
    }
}

#[tokio::test]
async fn conditions_are_evaluated_against_the_file() {
    let fixture = Fixture::new();
    fixture.write("a", "hello");
    let head = fixture.head("/a", &[]).await;
    let (etag, date) = (head.field("etag"), head.field("last-modified"));
    for (field, value, status) in [
        ("if-none-match", etag, 304),
        ("if-none-match", "*", 304),
        ("if-none-match", "\"other\"", 200),
        ("if-modified-since", date, 304),
        ("if-match", etag, 200),
        ("if-match", "\"other\"", 412),
        ("if-unmodified-since", date, 200),
        ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT", 412),
    ] {
        for answer in [fixture.get("/a", &[(field, value)]).await, fixture.head("/a", &[(field, value)]).await] {
            assert_eq!(answer.status, status, "{field}: {value}");
            if status == 304 {
                assert_eq!((answer.field("etag"), answer.field("last-modified")), (etag, date));
                assert!(answer.body.is_empty());
            }
        }
    }
    assert_eq!(fixture.get("/a", &[("if-match", "\"other\"")]).await.code(), "precondition-failed");
    assert_eq!(fixture.get("/missing", &[("if-match", "*")]).await.code(), "not-found");
}

#[tokio::test]
async fn a_changed_file_has_another_tag() {
    let fixture = Fixture::new();
    fixture.write("a", "hello");
    let before = fixture.head("/a", &[]).await;
    fixture.write("a", "hello!");
    let after = fixture.head("/a", &[]).await;
    assert_ne!(before.field("etag"), after.field("etag"));
}
