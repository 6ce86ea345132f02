//! Listings of directories.

use std::fs;

use http::StatusCode;

use crate::fixture::Fixture;

#[tokio::test]
async fn lists_directories_first_in_both_forms() {
    let fixture = Fixture::new();
    fixture.write("b", "12345");
    fixture.write("B", "");
    fs::create_dir(fixture.root.join("z")).unwrap();
    let answer = fixture.get("/", &[("accept", "application/json")]).await;
    assert_eq!((answer.status, answer.field("content-type")), (StatusCode::OK, "application/json"));
    assert_eq!((answer.field("vary"), answer.field("content-length")), ("Accept", ""));
    let entries: Vec<serde_json::Value> = serde_json::from_slice(&answer.body).unwrap();
    let brief = |entry: &serde_json::Value| {
        assert!(httpdate::parse_http_date(entry["mtime"].as_str().unwrap()).is_ok());
        (entry["name"].clone(), entry["type"].clone(), entry["size"].as_u64())
    };
    let entries: Vec<_> = entries.iter().map(brief).collect();
    let expected = [("z", "directory", None), ("B", "file", Some(0)), ("b", "file", Some(5))];
    assert_eq!(entries, expected.map(|(name, kind, size)| (name.into(), kind.into(), size)));

    let answer = fixture.get("/", &[("accept", "text/html,*/*;q=0.8")]).await;
    assert_eq!((answer.field("content-type"), answer.field("vary")), ("text/html; charset=utf-8", "Accept"));
    assert!(answer.field("content-security-policy").starts_with("default-src 'none'"));
    let html = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(html.contains("<a href=\"z/\">") && html.ends_with("</html>\n"), "{html}");
    assert!(!html.contains("../"), "the root has no parent");
    let html = fixture.get("/z/", &[]).await.body;
    assert!(String::from_utf8_lossy(&html).contains("<a href=\"../\">"));
}
