//! Parts of files.

use http::StatusCode;

use crate::fixture::{Answer, Fixture};

const SIZE: usize = 700_001;

/// Bytes without a period that a wrong offset could hide behind.
fn content() -> Vec<u8> {
    (0..SIZE as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

fn fixture() -> Fixture {
    let fixture = Fixture::new();
    fixture.write("f", content());
    fixture
}

#[tokio::test]
async fn single_ranges_at_every_edge() {
    let (fixture, content) = (fixture(), content());
    let chunk = 256 * 1024;
    for (first, last) in [
        (0, 0),
        (0, SIZE - 1),
        (1, SIZE - 2),
        (chunk - 1, chunk),
        (chunk, 2 * chunk - 1),
        (chunk - 1, 2 * chunk),
        (SIZE - 1, SIZE - 1),
        (5, SIZE + 100),
    ] {
        let answer = fixture.get("/f", &[("range", &format!("bytes={first}-{last}"))]).await;
        let last = last.min(SIZE - 1);
        assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT);
        assert_eq!(answer.field("content-range"), format!("bytes {first}-{last}/{SIZE}"));
        assert_eq!(answer.field("content-length"), (last - first + 1).to_string());
        assert!(answer.body[..] == content[first..=last], "{first}-{last}");
    }
    let answer = fixture.get("/f", &[("range", "bytes=-7")]).await;
    assert_eq!(answer.body[..], content[SIZE - 7..]);
    assert_eq!(answer.field("content-type"), "application/octet-stream");
}

#[tokio::test]
async fn several_ranges_come_in_parts() {
    let (fixture, content) = (fixture(), content());
    let answer = fixture.get("/f", &[("range", "bytes=300000-300009, 0-4, 3-9, 10-11, -3")]).await;
    assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(answer.field("content-length"), answer.body.len().to_string());
    assert_eq!(answer.field("content-range"), "");
    let parts = parts(&answer);
    let expected = [(0, 11), (300_000, 300_009), (SIZE - 3, SIZE - 1)];
    assert_eq!(parts.len(), expected.len());
    for ((head, body), (first, last)) in parts.iter().zip(expected) {
        let fields = format!("Content-Type: application/octet-stream\r\nContent-Range: bytes {first}-{last}/{SIZE}");
        assert_eq!(head, &fields);
        assert!(body[..] == content[first..=last]);
    }
}

/// The head and the content of each part.
fn parts(answer: &Answer) -> Vec<(String, Vec<u8>)> {
    let boundary = answer.field("content-type").strip_prefix("multipart/byteranges; boundary=").unwrap();
    let delimiter = format!("\r\n--{boundary}");
    let mut body = b"\r\n".to_vec();
    body.extend_from_slice(&answer.body);
    let find = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|window| window == what);
    let mut parts = Vec::new();
    assert_eq!(find(&body, delimiter.as_bytes()), Some(0));
    loop {
        body.drain(..delimiter.len());
        if body.starts_with(b"--\r\n") {
            assert_eq!(body.len(), 4);
            return parts;
        }
        let end = find(&body, delimiter.as_bytes()).unwrap();
        let head_end = find(&body, b"\r\n\r\n").unwrap();
        parts.push((String::from_utf8(body[2..head_end].to_vec()).unwrap(), body[head_end + 4..end].to_vec()));
        body.drain(..end);
    }
}

#[tokio::test]
async fn ranges_that_cannot_be_served_tell_the_length() {
    let fixture = fixture();
    fixture.write("empty", "");
    for (path, range, size) in [("/f", "bytes=700001-", SIZE), ("/f", "bytes=-0", SIZE), ("/empty", "bytes=0-", 0)] {
        let answer = fixture.get(path, &[("range", range)]).await;
        assert_eq!(answer.code(), "range-not-satisfiable");
        assert_eq!(answer.field("content-range"), format!("bytes */{size}"));
    }
}

#[tokio::test]
async fn ranges_are_ignored_where_the_rfc_says_so_or_allows_it() {
    let fixture = fixture();
    let many = (0..17).map(|i| format!("{}-{}", i * 10, i * 10)).collect::<Vec<_>>().join(",");
    let many = format!("bytes={many}");
    for range in ["bytes=5-4", "lines=0-1", "bytes", "bytes=a-b", &many] {
        let answer = fixture.get("/f", &[("range", range)]).await;
        assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, SIZE), "{range}");
    }
    let answer = fixture.head("/f", &[("range", "bytes=0-4")]).await;
    assert_eq!((answer.status, answer.field("content-length")), (StatusCode::OK, "700001"));
    let answer = fixture.get("/", &[("range", "bytes=0-4")]).await;
    assert_eq!(answer.status, StatusCode::OK, "a listing has no ranges");
    assert_eq!(answer.field("accept-ranges"), "");
}

#[tokio::test]
async fn if_range_decides_between_the_part_and_the_whole() {
    let fixture = fixture();
    let head = fixture.head("/f", &[]).await;
    let (etag, date) = (head.field("etag"), head.field("last-modified"));
    let weak = format!("W/{etag}");
    for (if_range, status) in [
        (etag, StatusCode::PARTIAL_CONTENT),
        (date, StatusCode::PARTIAL_CONTENT),
        (&weak, StatusCode::OK),
        ("\"other\"", StatusCode::OK),
        ("Sun, 06 Nov 1994 08:49:37 GMT", StatusCode::OK),
    ] {
        let answer = fixture.get("/f", &[("range", "bytes=0-4"), ("if-range", if_range)]).await;
        assert_eq!(answer.status, status, "{if_range}");
    }
}
