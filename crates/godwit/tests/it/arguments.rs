//! What the arguments alone decide.

use crate::support::{Reply, Scripted, announcement, command, godwit, names, scratch, write};

#[test]
fn wrong_usage_is_exit_code_2() {
    let directory = scratch();
    write(directory.path(), "a", b"");
    write(directory.path(), "b", b"");
    for arguments in [
        &["get"][..],
        &["unknown"],
        &["get", "--unknown", "http://127.0.0.1:1/f"],
        &["get", "ftp://127.0.0.1:1/f"],
        &["get", "127.0.0.1:1/f"],
        &["get", "http://user@127.0.0.1:1/f"],
        &["get", "http://127.0.0.1:1/a", "http://127.0.0.1:1/b", "-o", "one"],
        &["get", "http://127.0.0.1:1/a", "-o", "-"],
        &["put", "a", "b", "http://127.0.0.1:1/one"],
        &["put", "..", "http://127.0.0.1:1/directory/"],
        &["serve", "--listen", "ftp://127.0.0.1:0"],
        &["serve", "--listen", "http://localhost:0"],
        &["serve", "--max-connections", "0"],
        &["serve", "--policy", "faire"],
        &["serve", "--policy", "native", "--min-rate", "1M"],
        &["serve", "--policy", "low", "--min-rate", "1M"],
        &["put", "a", "udt://127.0.0.1:1/", "--policy", "fair", "--min-rate", "2M", "--max-rate", "1M"],
        &["ls"],
    ] {
        godwit(directory.path(), arguments).expect(2);
    }
    assert_eq!(names(directory.path()), ["a", "b"]);
}

#[test]
fn names_that_leave_the_directory_are_refused_before_anything_is_asked() {
    let server = Scripted::start(|_, _| Reply::new(&["HTTP/1.1 200 OK", "Content-Length: 1"], b"x"));
    let directory = scratch();
    for path in ["", "sub/", ".", "..", "%2e%2e", "..%2ff", "a%2Fb", "a%00b", "100%"] {
        godwit(directory.path(), &["get", &server.url_of(path)]).expect(2);
    }
    assert!(names(directory.path()).is_empty() && server.requests().is_empty());
}

#[test]
fn the_output_is_a_file_or_a_directory() {
    let server = Scripted::start(|_, _| Reply::new(&["HTTP/1.1 200 OK", "Content-Length: 1"], b"x"));
    let directory = scratch();
    std::fs::create_dir(directory.path().join("d")).expect("created");
    godwit(directory.path(), &["-q", "get", &server.url_of("a%20b"), "-o", "named"]).expect(0);
    let run = godwit(directory.path(), &["-q", "get", &server.url_of("a%20b"), &server.url_of("c?x=/y"), "-o", "d"])
        .expect(0);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""), "-q prints nothing");
    assert_eq!(names(directory.path()), ["d", "named"]);
    assert_eq!(names(&directory.path().join("d")), ["a b", "c"]);
    godwit(directory.path(), &["get", &server.url_of("a"), "-o", "missing/name"]).expect(1).says("missing/name.part");
}

#[test]
fn one_failure_of_several_does_not_stop_the_others() {
    let server = Scripted::start(|_, head| match head.contains("/bad ") {
        true => Reply::new(&["HTTP/1.1 404 Not Found", "Content-Length: 0"], b""),
        false => Reply::new(&["HTTP/1.1 200 OK", "Content-Length: 1"], b"x"),
    });
    let directory = scratch();
    let run = godwit(directory.path(), &["get", &server.url_of("a"), &server.url_of("bad"), &server.url_of("c")]);
    run.expect(1).says("404 Not Found").says("1 of 3 failed");
    assert_eq!(names(directory.path()), ["a", "c"]);
}

#[test]
fn an_unreachable_server_is_exit_code_3_at_once() {
    let directory = scratch();
    // Port 1 is reserved (tcpmux) and nobody listens there.
    for arguments in [&["get", "http://127.0.0.1:1/f"][..], &["ls", "http://127.0.0.1:1/"]] {
        godwit(directory.path(), arguments).expect(3).says("cannot connect");
    }
    write(directory.path(), "a", b"");
    godwit(directory.path(), &["put", "a", "http://127.0.0.1:1/"]).expect(3).says("cannot connect");
    assert_eq!(names(directory.path()), ["a"]);
}

#[test]
fn what_does_not_apply_over_tcp_is_said() {
    let directory = scratch();
    write(directory.path(), "a", b"");
    let over_tcp = ["put", "a", "http://127.0.0.1:1/", "--policy", "fair"];
    godwit(directory.path(), &over_tcp).expect(3).says("--policy and --min-rate have no effect over TCP");
    let maximum = godwit(directory.path(), &["put", "a", "http://127.0.0.1:1/", "--max-rate", "1M"]).expect(3);
    assert!(!maximum.stderr.contains("no effect"), "it has one: {}", maximum.stderr);
}

#[test]
fn help_and_version_go_to_stdout() {
    let directory = scratch();
    let help = godwit(directory.path(), &["--help"]).expect(0);
    assert!(help.stdout.contains("143  ended by SIGTERM") && help.stderr.is_empty());
    assert!(godwit(directory.path(), &["--version"]).expect(0).stdout.starts_with("godwit "));
}

#[test]
fn flags_win_over_the_environment() {
    let root = scratch();
    for (arguments, port) in
        [(&["serve"][..], "udt://127.0.0.1:"), (&["serve", "--listen", "http://127.0.0.1:0"], "http://")]
    {
        let mut command = command(root.path(), arguments);
        let mut child = command.env("GODWIT_LISTEN", "udt://127.0.0.1:0").spawn().expect("the binary starts");
        let (url, _stdout) = announcement(child.stdout.take().expect("piped"));
        child.kill().and_then(|()| child.wait()).expect("it runs");
        assert!(url.as_ref().is_some_and(|url| url.starts_with(port)), "{arguments:?}: {url:?}");
    }
}
