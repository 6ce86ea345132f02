//! What all tests need: the binary with a hang limit, a served directory, and a server that answers what a test says.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

/// Nothing here takes more than some seconds on an idle machine; this only ends what hangs.
const HANG_LIMIT: Duration = Duration::from_secs(120);

/// A `godwit` that runs; killed when dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) stdout: Option<JoinHandle<String>>,
    pub(crate) stderr: Option<JoinHandle<String>>,
}

/// What a `godwit` left that has ended.
#[derive(Debug)]
pub(crate) struct Run {
    /// The exit code, or the negative number of the signal that killed it.
    pub(crate) code: i32,
    /// Empty if it went elsewhere, as `stderr`.
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `godwit` in `directory` to its end.
#[track_caller]
pub(crate) fn godwit(directory: &Path, arguments: &[&str]) -> Run {
    start(directory, arguments).finish()
}

/// Starts `godwit` in `directory`, without input.
pub(crate) fn start(directory: &Path, arguments: &[&str]) -> Running {
    start_with(Stdio::null(), directory, arguments)
}

/// Starts `godwit` in `directory` with this input.
pub(crate) fn start_with(stdin: Stdio, directory: &Path, arguments: &[&str]) -> Running {
    let mut child = command(directory, arguments).stdin(stdin).spawn().expect("the binary starts");
    let stdout = child.stdout.take().map(collect);
    let stderr = child.stderr.take().map(collect);
    Running { child, stdout, stderr }
}

/// Both outputs are pipes.
pub(crate) fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_godwit"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"GODWIT_")) {
        command.env_remove(name);
    }
    command.args(arguments).current_dir(directory).env_remove("RUST_LOG").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Reads what says where a process listens, and collects the rest.
pub(crate) fn announcement(pipe: impl Read + Send + 'static) -> (Option<String>, JoinHandle<String>) {
    let mut pipe = BufReader::new(pipe);
    let mut line = String::new();
    pipe.read_line(&mut line).expect("a pipe can be read");
    let url = line.trim().strip_prefix("listening on ").map(str::to_owned);
    (url, collect(pipe))
}

/// Reads a pipe to its end.
pub(crate) fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = Vec::new();
        pipe.read_to_end(&mut text).expect("a pipe can be read");
        String::from_utf8(text).expect("only UTF-8 is printed")
    })
}

impl Running {
    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("it runs");
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Run {
        let status = eventually("the process ends", || self.child.try_wait().expect("a child of ours"));
        let code = status.code().unwrap_or_else(|| -status.signal().expect("it has ended one way or the other"));
        let text = |thread: Option<JoinHandle<String>>| {
            thread.map(|thread| thread.join().expect("it reads to the end")).unwrap_or_default()
        };
        Run { code, stdout: text(self.stdout.take()), stderr: text(self.stderr.take()) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Run {
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code; {self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn says(self, what: &str) -> Self {
        assert!(self.stderr.contains(what), "{what:?} is not on stderr; {self:#?}");
        self
    }
}

/// Waits for something that must come, however slow the machine is.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < HANG_LIMIT, "did not happen in {HANG_LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// `godwit serve` that has announced where it listens; killed when dropped.
pub(crate) struct Served {
    running: Running,
    /// Ends in `/`.
    pub(crate) url: String,
}

impl Served {
    /// On a free port of the loopback.
    pub(crate) fn start(scheme: &str, root: &Path, arguments: &[&str]) -> Self {
        Self::start_at(&format!("{scheme}://127.0.0.1:0"), root, arguments).expect("a free port can be had")
    }

    /// `None` if it does not start.
    pub(crate) fn start_at(listen: &str, root: &Path, arguments: &[&str]) -> Option<Self> {
        let serve = ["serve", "--listen", listen];
        let mut child = command(root, &[&serve, arguments].concat()).spawn().expect("the binary starts");
        let stdout = child.stdout.take().expect("piped");
        let mut running = Running { stderr: child.stderr.take().map(collect), child, stdout: None };
        let (url, stdout) = announcement(stdout);
        running.stdout = Some(stdout);
        url.map(|url| Self { running, url })
    }

    pub(crate) fn url_of(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Sends a signal and waits for the end.
    #[track_caller]
    pub(crate) fn stop(self, signal: Signal) -> Run {
        self.running.signal(signal);
        self.running.finish()
    }
}

/// An HTTP server on TCP that answers whatever a test says, and notes what it was asked.
pub(crate) struct Scripted {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

/// What a scripted server does about one request: these bytes, and then the connection closes or hangs.
pub(crate) struct Reply {
    pub(crate) bytes: Vec<u8>,
    pub(crate) hangs: bool,
}

impl Reply {
    /// A head of lines, and content; then the connection closes.
    pub(crate) fn new(head: &[&str], content: &[u8]) -> Self {
        let mut bytes = head.join("\r\n").into_bytes();
        bytes.extend_from_slice(b"\r\nConnection: close\r\n\r\n");
        bytes.extend_from_slice(content);
        Self { bytes, hangs: false }
    }

    /// After these bytes nothing more comes.
    pub(crate) fn hanging(self) -> Self {
        Self { hangs: true, ..self }
    }
}

impl Scripted {
    /// `answer` gets the request's number from 0 and its head. The server lives as long as the test's process.
    pub(crate) fn start(answer: impl Fn(usize, &str) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/", listener.local_addr().expect("bound"));
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let noted = Arc::clone(&requests);
        std::thread::spawn(move || {
            let mut hanging = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.expect("accepted");
                let head = read_head(&mut stream);
                let number = noted.lock().expect("nobody panics with it").len();
                let reply = answer(number, &head);
                noted.lock().expect("nobody panics with it").push(head);
                // The client may have left.
                let _ = stream.write_all(&reply.bytes);
                if reply.hangs {
                    hanging.push(stream);
                }
            }
        });
        Self { url, requests }
    }

    pub(crate) fn url_of(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The heads of all requests so far, in lower case.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("nobody panics with it").iter().map(|head| head.to_ascii_lowercase()).collect()
    }
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// Bytes that compress badly and are the same in every run.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // xorshift64 (Marsaglia, "Xorshift RNGs", 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// `Repr-Digest: …` of these bytes.
pub(crate) fn repr_digest(bytes: &[u8]) -> String {
    let mut sha256 = godwit_files::hash::Sha256::new();
    sha256.update(bytes);
    format!("Repr-Digest: {}", sha256.finish().to_repr_digest().to_str().expect("ASCII"))
}

/// An empty directory for one test.
pub(crate) fn scratch() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// The names in a directory, sorted.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// The length of a file, 0 if there is none.
pub(crate) fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

/// A file with this content.
pub(crate) fn write(directory: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, content).expect("a scratch directory takes files");
    path
}
