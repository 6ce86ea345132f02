//! `godwit serve`

use std::io::{self, Write};
use std::net::IpAddr;

use godwit_files::FileService;
use godwit_files::escape::Escaped;
use godwit_http::{ListenUrl, Server};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::ServeConfig;
use crate::error::CommandError;
use crate::signals::{Signals, StopSignal};
use crate::stderr;

/// Files and sockets that are open beside one file and one socket per connection.
const DESCRIPTORS_BESIDE_CONNECTIONS: u64 = 64;

/// Serves until a signal comes, then drains; a second signal ends it at once.
pub(crate) async fn run(config: ServeConfig, quiet: bool, mut signals: Signals) -> Result<(), CommandError> {
    raise_descriptor_limit(config.server.connections_max);
    let service = FileService::new(&config.root, config.files.clone())?;
    let server = Server::bind(&config.listen, config.server.clone())?;
    let urls = server.local_urls();
    if !quiet {
        stderr::say(exposure(&config, &urls));
    }
    announce(&urls).map_err(CommandError::Print)?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let answer = move |request| {
        let service = service.clone();
        async move { service.handle(request).await }
    };
    let serving = server.serve(answer, async {
        let _ = stopped.await;
    });
    let mut serving = std::pin::pin!(serving);
    let signal = tokio::select! {
        signal = signals.next() => signal,
        () = &mut serving => StopSignal::Terminate,
    };
    if !quiet {
        let limit = config.server.drain_timeout;
        stderr::say(format_args!("stopping: transfers may finish for {limit:?}, a second signal stops at once"));
    }
    drop(stop);
    tokio::select! {
        () = serving => {}
        _ = signals.next() => {}
    }
    Err(CommandError::Stopped(signal))
}

/// One line each on stdout, where scripts wait for them.
fn announce(urls: &[ListenUrl]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for url in urls {
        writeln!(out, "listening on {url}")?;
    }
    out.flush()
}

/// What is exposed, to whom, and that nobody is asked who they are.
fn exposure(config: &ServeConfig, urls: &[ListenUrl]) -> String {
    let root = std::path::absolute(&config.root).unwrap_or_else(|_| config.root.clone());
    let may = if config.files.allow_upload {
        "may read every file in it AND STORE FILES"
    } else {
        "may read every file in it"
    };
    let mode = if config.files.allow_upload { "uploads allowed" } else { "read-only" };
    let mut text = format!("serving {} ({mode})\n", Escaped::path(&root));
    for url in urls {
        text.push_str(&format!("  at {url} to {}\n", audience(url.address.ip())));
    }
    text.push_str(&format!("unauthenticated and unencrypted: everyone who reaches these addresses {may}"));
    text
}

fn audience(ip: IpAddr) -> String {
    match ip {
        ip if ip.is_loopback() => "this machine alone".to_owned(),
        IpAddr::V4(ip) if ip.is_unspecified() => "whoever reaches any IPv4 address of this machine".to_owned(),
        IpAddr::V6(ip) if ip.is_unspecified() => "whoever reaches any IPv6 address of this machine".to_owned(),
        ip => format!("whoever reaches {ip}"),
    }
}

/// Each connection takes a descriptor, and each file that it reads or writes another one; the usual soft limit of 1024 is
/// there for programs that use select(2).
fn raise_descriptor_limit(connections_max: usize) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        tracing::debug!(?current, "the limit of open files is as high as it may be");
    } else if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "cannot raise the limit of open files (RLIMIT_NOFILE)");
    }
    let wanted = 2 * connections_max as u64 + DESCRIPTORS_BESIDE_CONNECTIONS;
    if let Some(limit) = getrlimit(Resource::Nofile).current.filter(|&limit| limit < wanted) {
        tracing::warn!(
            limit,
            wanted,
            "fewer open files than connections need: raise `ulimit -Hn` or lower --max-connections"
        );
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn says_to_whom() {
        let audience = |ip: &str| super::audience(ip.parse().expect("an address"));
        assert_eq!(
            (audience("127.0.0.1"), audience("::1")),
            ("this machine alone".into(), "this machine alone".into())
        );
        assert!(audience("0.0.0.0").contains("any IPv4") && audience("::").contains("any IPv6"));
        assert!(audience("192.0.2.7").contains("192.0.2.7"));
    }
}
