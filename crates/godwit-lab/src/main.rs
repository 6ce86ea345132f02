//! `godwit-lab`: real kernels over an emulated path.

#[cfg(target_os = "linux")]
mod cli;
#[cfg(target_os = "linux")]
mod duration_argument;
#[cfg(target_os = "linux")]
mod files_command;
#[cfg(target_os = "linux")]
mod many_command;
#[cfg(target_os = "linux")]
mod measurement;
#[cfg(target_os = "linux")]
mod path_arguments;
#[cfg(target_os = "linux")]
mod perf_command;
#[cfg(target_os = "linux")]
mod quinn_command;
#[cfg(target_os = "linux")]
mod raw_command;
#[cfg(target_os = "linux")]
mod report_command;
#[cfg(target_os = "linux")]
mod run_command;
#[cfg(target_os = "linux")]
mod shell_command;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    cli::run()
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    eprintln!("godwit-lab needs Linux: it joins network namespaces by TUN devices");
    std::process::ExitCode::from(2)
}
