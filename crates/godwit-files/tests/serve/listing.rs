//! Listings of directories.

use std::fs;

use http::StatusCode;

use crate::fixture::Fixture;

#[tokio::test]
async fn lists_sorted_as_json_and_as_html() {
    let fixture = Fixture::new();
    fixture.write("b", "12345");
    fixture.write("a", "");
    fs::create_dir(fixture.root.join("z")).unwrap();
    let answer = fixture.get("/", &[("accept", "application/json")]).await;
    assert_eq!((answer.status, answer.field("content-type")), (StatusCode::OK, "application/json"));
    assert_eq!(answer.field("vary"), "Accept");
    let entries: Vec<serde_json::Value> = serde_json::from_slice(&answer.body).unwrap();
    let brief: Vec<_> = entries.iter().map(|entry| (&entry["name"], &entry["type"], entry["size"].as_u64())).collect();
    let brief: Vec<_> =
        brief.iter().map(|(name, kind, size)| (name.as_str().unwrap(), kind.as_str().unwrap(), *size)).collect();
    assert_eq!(brief, [("z", "directory", None), ("a", "file", Some(0)), ("b", "file", Some(5))]);
    let answer = fixture.get("/", &[("accept", "text/html,*/*;q=0.8")]).await;
    assert_eq!(answer.field("content-type"), "text/html; charset=utf-8");
    assert!(String::from_utf8_lossy(&answer.body).contains("<a href=\"z/\">"));
}
