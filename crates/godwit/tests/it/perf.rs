//! `perf`: bytes that mean nothing, and what is told about them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Run, Running, Served, announcement, collect, command, godwit, noise, scratch, write};

const TRANSPORTS: [&str; 2] = ["udt", "tcp"];

/// `godwit perf serve` on a free port of the loopback, and its URL.
fn serve(directory: &Path, scheme: &str, arguments: &[&str]) -> (Running, String) {
    let listen = format!("{scheme}://127.0.0.1:0");
    let mut child = command(directory, &[&["perf", "serve", "--listen", &listen], arguments].concat())
        .spawn()
        .expect("the binary starts");
    let (url, stdout) = announcement(child.stdout.take().expect("piped"));
    let stderr = child.stderr.take().map(collect);
    (Running { child, stdout: Some(stdout), stderr }, url.expect("it listens"))
}

fn send(directory: &Path, url: &str, arguments: &[&str]) -> Run {
    godwit(directory, &[&["perf", "send", url], arguments].concat())
}

/// A test that goes on for long at a rate that any machine manages, and has begun.
fn begin(directory: &Path, url: &str) -> Running {
    let arguments = ["perf", "send", url, "--secs", "600", "--max-rate", "8M", "--json"];
    let mut child = command(directory, &arguments).spawn().expect("the binary starts");
    // Its first line is the head of those that come each second.
    let (_, stderr) = announcement(child.stderr.take().expect("piped"));
    let stdout = child.stdout.take().map(collect);
    Running { child, stdout, stderr: Some(stderr) }
}

/// The object that is all of stdout.
#[track_caller]
fn json(run: &Run) -> Value {
    assert_eq!(run.stdout.lines().count(), 1, "{run:#?}");
    serde_json::from_str(&run.stdout).expect("an object")
}

fn number(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap_or_else(|| panic!("{name} is a number in {value}"))
}

#[test]
fn all_bytes_are_counted_where_they_arrive() {
    for scheme in TRANSPORTS {
        let directory = scratch();
        let (server, url) = serve(directory.path(), scheme, &[]);
        let result = json(&send(directory.path(), &url, &["--bytes", "5000001", "--json"]).expect(0));
        assert_eq!((number(&result, "bytes"), &result["transport"]), (5_000_001.0, &Value::from(scheme)), "{result}");
        let (rate, seconds) = (number(&result, "goodput_bits_per_second"), number(&result, "seconds"));
        assert!(seconds > 0.0 && (rate * seconds / 8.0 / 5_000_001.0 - 1.0).abs() < 1e-6, "{result}");
        assert!(number(&result, "sender_seconds") > 0.0 && number(&result, "jain_index") == 1.0, "{result}");
        assert!(number(&result, "cpu_seconds_sender") > 0.0 && number(&result, "cpu_seconds_receiver") > 0.0);
        assert_eq!((&result["connections"], &result["interrupted"]), (&Value::from(1), &Value::from(false)));
        // Over TCP the kernel has to tell, and may not.
        if scheme == "udt" || !result["rtt_us"].is_null() {
            assert!(number(&result, "retransmitted_packets") >= 0.0 && number(&result, "rtt_us") > 0.0, "{result}");
            assert!(number(&result, "sent_packets") >= 5_000_001.0 / 65_535.0, "{result}");
        }
        assert_eq!(result["policy"], if scheme == "udt" { Value::from("fair") } else { Value::Null });
        server.signal(Signal::TERM);
        server.finish().expect(143).says("4.77 MiB in ");
    }
}

#[test]
fn several_connections_share_the_bytes() {
    for scheme in TRANSPORTS {
        let directory = scratch();
        let (_server, url) = serve(directory.path(), scheme, &[]);
        let arguments = ["--bytes", "1000000", "--connections", "3", "--json", "--policy", "cubic", "--no-gso"];
        let result = json(&send(directory.path(), &url, &arguments).expect(0));
        let parts: Vec<f64> =
            result["per_connection"].as_array().expect("a list").iter().map(|c| number(c, "bytes")).collect();
        assert_eq!((parts.len(), parts.iter().sum::<f64>(), number(&result, "bytes")), (3, 1e6, 1e6), "{result}");
        assert!(parts.iter().all(|&part| part == 333_333.0 || part == 333_334.0), "{result}");
        let jain = number(&result, "jain_index");
        assert!(jain > 1.0 / 3.0 - 1e-9 && jain < 1.0 + 1e-9, "{result}");
        let expected = if scheme == "udt" { (Value::from("cubic"), false.into()) } else { (Value::Null, Value::Null) };
        assert_eq!((&result["policy"], &result["segmentation_offload"]), (&expected.0, &expected.1));
    }
}

#[test]
fn a_test_ends_with_its_time_and_prints_a_line_each_second() {
    for scheme in TRANSPORTS {
        let directory = scratch();
        let (_server, url) = serve(directory.path(), scheme, &[]);
        // At a rate that any machine manages.
        let run = send(directory.path(), &url, &["--secs", "1500ms", "--max-rate", "8M", "--json"]).expect(0);
        let result = json(&run);
        let (bytes, seconds) = (number(&result, "bytes"), number(&result, "seconds"));
        assert!(seconds >= 1.5 && bytes > 0.0 && bytes * 8.0 / number(&result, "sender_seconds") < 12e6, "{result}");
        assert!(!result["intervals"].as_array().expect("a list").is_empty(), "{result}");
        // A busy machine takes longer; of less than a megabyte there is no cost per GB.
        let run = send(directory.path(), &url, &["--bytes", "1500000", "--max-rate", "8M"]).expect(0);
        for expected in ["sent again", "\nreceived ", "\nsender: ", "\nreceiver: ", " Mbit/s", "s per GB)"] {
            assert!(run.stdout.contains(expected), "{expected:?} in {run:#?}");
        }
        let quiet = send(directory.path(), &url, &["-q", "--bytes", "1"]).expect(0);
        assert!(quiet.stdout.starts_with("received 1 B in ") && quiet.stderr.is_empty(), "{quiet:#?}");
    }
}

#[test]
fn a_signal_ends_the_test_with_the_result_so_far() {
    for scheme in TRANSPORTS {
        let directory = scratch();
        let (server, url) = serve(directory.path(), scheme, &[]);
        let sender = begin(directory.path(), &url);
        sender.signal(Signal::INT);
        let result = json(&sender.finish().expect(130));
        assert_eq!(result["interrupted"], Value::from(true), "{result}");
        // The server goes on with others.
        send(directory.path(), &url, &["--bytes", "1000"]).expect(0);
        server.signal(Signal::INT);
        server.finish().expect(130);
    }
}

#[test]
fn a_server_that_ends_is_a_network_error() {
    for scheme in TRANSPORTS {
        let directory = scratch();
        let (server, url) = serve(directory.path(), scheme, &[]);
        let sender = begin(directory.path(), &url);
        server.signal(Signal::TERM);
        server.finish().expect(143);
        let run = sender.finish().expect(3);
        assert!(run.stderr.contains("closed the connection") || run.stderr.contains("was lost"), "{run:#?}");
    }
}

#[test]
fn a_full_server_says_so() {
    for scheme in TRANSPORTS {
        let directory = scratch();
        let (_server, url) = serve(directory.path(), scheme, &["--max-connections", "2"]);
        let arguments = ["--bytes", "1000", "--connections", "3"];
        send(directory.path(), &url, &arguments).expect(1).says("--max-connections");
    }
}

#[test]
fn others_are_told_what_this_is() {
    let directory = scratch();
    let (server, url) = serve(directory.path(), "tcp", &[]);
    let address = url.trim_start_matches("tcp://").trim_end_matches('/');
    for (garbage, expected) in [
        (&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], "HTTP/1.1 400 Bad Request\r\n"),
        (b"\xff\x00\x01", "HTTP/1.1 400 Bad Request\r\n"),
        (b"godwit-perf/7 {}\n", "godwit-perf/1 {\"refused\":\"version\"}\n"),
        (b"godwit-perf/1 {}\n", "godwit-perf/1 {\"refused\":\"invalid\"}\n"),
        (b"godwit-perf/1 {\"limit\":{\"bytes\":0}}\n", "godwit-perf/1 {\"refused\":\"invalid\"}\n"),
        (b"godwit-perf/1 {\"limit\":{\"bytes\":9}}\nx", "godwit-perf/1 {\"refused\":\"invalid\"}\n"),
        (&[&b"godwit-perf/1 "[..], &[b'x'; 5000]].concat(), "HTTP/1.1 400 Bad Request\r\n"),
    ] {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.write_all(garbage).expect("it reads");
        let mut answer = String::new();
        let mut byte = [0];
        while !answer.ends_with('\n') && stream.read(&mut byte).expect("it answers") == 1 {
            answer.push(char::from(byte[0]));
        }
        assert_eq!(answer, expected);
    }
    let http = url.replace("tcp://", "http://");
    godwit(directory.path(), &["get", &format!("{http}file")]).expect(1).says("400 Bad Request");
    send(directory.path(), &url, &["--bytes", "1000"]).expect(0);
    server.signal(Signal::INT);
    server.finish().expect(130).says("not a client of a test").says("refused: Version");
}

#[test]
fn something_else_at_the_other_end_is_named() {
    for (scheme, http) in [("udt", "udt"), ("tcp", "http")] {
        let directory = scratch();
        let served = Served::start(http, directory.path(), &[]);
        let url = served.url.replace("http://", "tcp://");
        assert!(url.starts_with(scheme));
        send(directory.path(), &url, &["--bytes", "1000"]).expect(3).says("not served by `godwit perf serve`");
    }
    let directory = scratch();
    send(directory.path(), "tcp://127.0.0.1:1", &[]).expect(3).says("cannot connect");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let directory = scratch();
    for arguments in [
        &["perf"][..],
        &["perf", "send"],
        &["perf", "send", "http://127.0.0.1:1"],
        &["perf", "send", "127.0.0.1:1"],
        &["perf", "send", "udt://127.0.0.1:1/path"],
        &["perf", "send", "udt://127.0.0.1:1", "--secs", "1", "--bytes", "1"],
        &["perf", "send", "udt://127.0.0.1:1", "--secs", "0"],
        &["perf", "send", "udt://127.0.0.1:1", "--secs", "25h"],
        &["perf", "send", "udt://127.0.0.1:1", "--bytes", "0"],
        &["perf", "send", "udt://127.0.0.1:1", "--bytes", "2", "--connections", "3"],
        &["perf", "send", "udt://127.0.0.1:1", "--connections", "0"],
        &["perf", "send", "udt://127.0.0.1:1", "--connections", "129"],
        &["perf", "send", "udt://127.0.0.1:1", "--policy", "low", "--min-rate", "1M"],
        &["perf", "serve", "--listen", "http://127.0.0.1:0"],
        &["perf", "serve", "--listen", "udt://localhost:0"],
        &["perf", "serve", "--max-connections", "0"],
    ] {
        godwit(directory.path(), arguments).expect(2);
    }
}

/// One server with two sockets on its port, and the file over more connections than those, from several ports.
#[test]
fn many_connections_all_get_the_file_and_are_kept_when_idle() {
    let (directory, root) = (scratch(), scratch());
    write(root.path(), "file", &noise(200_000));
    let server = Served::start("udt", root.path(), &["--udt-sockets", "2"]);
    let url = server.url_of("file");
    let many = |arguments: &[&str]| {
        json(&godwit(directory.path(), &[&["perf", "many", &url, "--json"], arguments].concat()).expect(0))
    };
    let result = many(&["--connections", "32", "--sockets", "8"]);
    assert_eq!((number(&result, "transfers"), number(&result, "bytes")), (32.0, 32.0 * 200_000.0), "{result}");
    let jain_index = number(&result, "jain_index");
    assert!(jain_index > 0.0 && jain_index <= 1.0 + 1e-9, "{result}");
    // All of them answer when the idle time is over, else it fails.
    let result = many(&["--connections", "16", "--idle", "200ms"]);
    assert_eq!(number(&result, "connections"), 16.0, "{result}");
    assert!(number(&result, "handshake_us_median") > 0.0, "{result}");
}

#[test]
fn many_connections_that_cannot_all_be_had_are_an_error_that_says_why() {
    let (directory, root) = (scratch(), scratch());
    write(root.path(), "file", b"content");
    let server = Served::start("udt", root.path(), &["--max-connections-per-address", "4"]);
    let many = |path: &str, connections: &str| {
        let url = server.url_of(path);
        godwit(directory.path(), &["perf", "many", &url, "--connections", connections])
    };
    many("absent", "1").expect(3).says("404");
    many("file", "5").expect(3).says("transfers failed").says("limits");
}
