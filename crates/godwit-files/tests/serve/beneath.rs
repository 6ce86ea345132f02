//! Nothing but regular files and directories below the root, and never waiting for one.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;

use http::StatusCode;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::fixture::Fixture;

#[tokio::test]
async fn paths_that_climb_or_confuse_are_refused() {
    let fixture = Fixture::new();
    fixture.write("a", "hello");
    for path in [
        "/../outside/secret",
        "/%2e%2e/outside/secret",
        "/.%2E/outside/secret",
        "/a/../a",
        "/./a",
        "/..%2foutside%2fsecret",
        "/%2fetc%2fpasswd",
        "//etc/passwd",
        "/a%00",
        "/a%",
        "/a%zz",
    ] {
        for answer in [fixture.get(path, &[]).await, fixture.get(&format!("{path}/"), &[]).await] {
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
            assert_eq!(answer.code(), "bad-path", "{path}");
        }
    }
    assert_eq!(fixture.get("/a%5C..%5C..%5Csecret", &[]).await.status, StatusCode::NOT_FOUND);
    let too_long = format!("/{}", "n".repeat(300));
    assert_eq!(fixture.get(&too_long, &[]).await.code(), "not-found");
    assert_eq!(fixture.get(&"/d".repeat(5000), &[]).await.code(), "not-found");
}

#[tokio::test]
async fn symlinks_are_followed_inside_only() {
    let fixture = Fixture::new();
    let root = &fixture.root;
    fixture.write("a", "hello");
    fs::create_dir_all(root.join("d/e")).unwrap();
    symlink("a", root.join("inside")).unwrap();
    symlink("../../a", root.join("d/e/up")).unwrap();
    symlink("d", root.join("to-directory")).unwrap();
    symlink("../outside/secret", root.join("out")).unwrap();
    symlink("../outside", root.join("out-directory")).unwrap();
    symlink(fixture.outside.join("secret"), root.join("absolute-out")).unwrap();
    symlink(root.join("a"), root.join("absolute-in")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    symlink("nowhere", root.join("broken")).unwrap();
    for path in ["/inside", "/d/e/up", "/to-directory/e/up"] {
        assert_eq!(&fixture.get(path, &[]).await.body[..], b"hello", "{path}");
    }
    for path in
        ["/out", "/out-directory/", "/out-directory/secret", "/absolute-out", "/absolute-in", "/loop", "/broken"]
    {
        assert_eq!(fixture.get(path, &[]).await.code(), "not-found", "{path}");
    }
    let listed = fixture.names("/").await;
    assert_eq!(listed, ["d", "to-directory", "a", "inside"]);
    assert_eq!(fixture.names("/d/e/").await, ["up"]);
}

#[tokio::test]
async fn special_files_are_not_found_and_never_block() {
    let fixture = Fixture::new();
    mknodat(CWD, fixture.root.join("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let _socket = UnixListener::bind(fixture.root.join("socket")).unwrap();
    let mut special = vec!["/fifo", "/socket"];
    // Devices need root; where we are not, /dev/null stands in for them in no way that could be served.
    let null = rustix::fs::makedev(1, 3);
    if mknodat(CWD, fixture.root.join("device"), FileType::CharacterDevice, Mode::RWXU, null).is_ok() {
        special.push("/device");
    }
    for path in special {
        assert_eq!(fixture.get(path, &[]).await.code(), "not-found", "{path}");
        assert_eq!(fixture.get(&format!("{path}/"), &[]).await.code(), "not-found", "{path}");
    }
    assert!(fixture.names("/").await.is_empty());
}

#[tokio::test]
async fn nasty_names_are_served_and_listed() {
    let fixture = Fixture::new();
    let longest = "n".repeat(255);
    let names: [&[u8]; 13] = [
        b"a b",
        b"100%",
        b"%41",
        b"a#b",
        b"a?b=c",
        b"new\nline",
        b"\x1b[31mred",
        b"<img src=x onerror=alert(1)>\"'&",
        b".hidden",
        b"-rf",
        b"back\\slash",
        b"not-utf8-\xff\xfe",
        longest.as_bytes(),
    ];
    for name in names {
        fs::write(fixture.root.join(OsStr::from_bytes(name)), name).unwrap();
        let path = format!("/{}", godwit_files::percent::encode(name));
        let answer = fixture.get(&path, &[]).await;
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, name), "{path}");
    }
    // Every link of the listing leads to the file of that name.
    let html = String::from_utf8(fixture.get("/", &[]).await.body.to_vec()).unwrap();
    let links: Vec<_> = html.split("<a href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(links.len(), names.len());
    for link in links {
        let answer = fixture.get(&format!("/{link}"), &[]).await;
        assert_eq!(godwit_files::percent::decode(link).unwrap(), answer.body, "{link}");
    }
    assert!(!html.contains("<img") && !html.contains('\x1b'));
    let listed = fixture.names("/").await;
    assert!(listed.contains(&"new\nline".to_owned()) && listed.contains(&"not-utf8-\u{fffd}\u{fffd}".to_owned()));
}

#[tokio::test]
async fn a_directory_without_its_slash_is_redirected_to_this_host() {
    let fixture = Fixture::new();
    fs::create_dir_all(fixture.root.join("d e/evil.example")).unwrap();
    for (path, location) in
        [("/d%20e", "/d%20e/"), ("/d%20e?x=y", "/d%20e/?x=y"), ("/d%20e/evil.example", "/d%20e/evil.example/")]
    {
        let answer = fixture.get(path, &[]).await;
        assert_eq!((answer.status, answer.field("location")), (StatusCode::MOVED_PERMANENTLY, location));
    }
    fixture.write("file", "");
    assert_eq!(fixture.get("/file/", &[]).await.code(), "not-found");
}

#[tokio::test]
async fn files_without_permission_are_forbidden() {
    let fixture = Fixture::new();
    fixture.write("locked", "hello");
    fs::set_permissions(fixture.root.join("locked"), fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(fixture.root.join("locked")).is_ok() {
        eprintln!("skipped: this user may read everything");
        return;
    }
    assert_eq!(fixture.get("/locked", &[]).await.code(), "read-forbidden");
}
