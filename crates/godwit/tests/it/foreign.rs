//! Our client against servers that are not ours.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::{eventually, godwit, names, noise, scratch, write};

/// A server process; killed when dropped.
struct Foreign {
    child: Child,
    url: String,
}

impl Foreign {
    /// Starts a program that listens on the given port of the loopback; `None` if it is not installed.
    fn start(name: &str, command: impl FnOnce(u16) -> Command) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let spawned = command(port).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let Ok(child) = spawned else {
            eprintln!("skipped: {name} is not installed");
            return None;
        };
        eventually("it listens", || TcpStream::connect(("127.0.0.1", port)).ok());
        Some(Self { child, url: format!("http://127.0.0.1:{port}/") })
    }

    fn url_of(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn python(root: &Path) -> Option<Foreign> {
    Foreign::start("python3", |port| {
        let mut command = Command::new("python3");
        command.args(["-m", "http.server", "--bind", "127.0.0.1", &port.to_string()]).current_dir(root);
        command
    })
}

fn nginx(root: &Path, scratch: &Path) -> Option<Foreign> {
    Foreign::start("nginx", |port| {
        let (root, scratch) = (root.display(), scratch.display());
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("{kind}_temp_path {scratch}/{kind};"))
            .collect();
        let config = format!(
            "daemon off; master_process off; {user} pid {scratch}/pid; error_log {scratch}/error.log;
             events {{}}
             http {{ access_log off; {temporary} server {{ listen 127.0.0.1:{port}; root {root};
               location /list/ {{ alias {root}/; autoindex on; autoindex_format json; }} }} }}"
        );
        let file = write(Path::new(&scratch.to_string()), "nginx.conf", config.as_bytes());
        let mut command = Command::new("nginx");
        command.arg("-e").arg(format!("{scratch}/error.log")).arg("-c").arg(file);
        command
    })
}

#[test]
fn python_has_files_but_neither_ranges_nor_listings() {
    let (root, directory) = (scratch(), scratch());
    let content = noise(3_000_000);
    write(root.path(), "f.bin", &content);
    let Some(server) = python(root.path()) else { return };
    godwit(directory.path(), &["get", &server.url_of("f.bin")]).expect(0).says("not verified");
    assert!(fs::read(directory.path().join("f.bin")).expect("there") == content);
    godwit(directory.path(), &["get", &server.url_of("missing")]).expect(1).says("404");
    godwit(directory.path(), &["ls", &server.url]).expect(1).says("no machine-readable listing");
    godwit(directory.path(), &["put", "f.bin", &server.url]).expect(1).says("501");
}

#[test]
fn nginx_resumes_and_lists() {
    let (root, directory, temporary) = (scratch(), scratch(), scratch());
    let content = noise(3_000_000);
    write(root.path(), "f.bin", &content);
    let Some(server) = nginx(root.path(), temporary.path()) else { return };
    let url = server.url_of("f.bin");
    godwit(directory.path(), &["get", "--require-digest", &url]).expect(4);
    // All bytes are there: the next run only asks whether they are still right.
    godwit(directory.path(), &["get", &url]).expect(0).says("not verified");
    assert!(fs::read(directory.path().join("f.bin")).expect("there") == content);

    fs::remove_file(directory.path().join("f.bin")).expect("there");
    godwit(directory.path(), &["get", "--require-digest", &url]).expect(4);
    fs::File::options()
        .write(true)
        .open(directory.path().join("f.bin.part"))
        .and_then(|part| part.set_len(1_000_000))
        .expect("cut");
    godwit(directory.path(), &["get", &url]).expect(0).says("going on after");
    assert!(fs::read(directory.path().join("f.bin")).expect("there") == content);
    assert_eq!(names(directory.path()), ["f.bin"]);

    let listing = godwit(directory.path(), &["ls", &server.url_of("list/")]).expect(0).stdout;
    assert!(listing.contains("3000000") && listing.contains("f.bin"), "{listing}");
}
