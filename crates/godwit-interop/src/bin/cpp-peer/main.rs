//! One end of a connection by the C++ libudt: it does what its arguments say and prints one line per event.
//!
//! Events: `bound address=`, `connected peer=`, `sent bytes=`, `received bytes= sha256= messages= xor_sha256= elapsed_us=
//! end=eof|limit`, `broken after_us=`, `stats …`, `cpu user_us= system_us=`, `closed elapsed_us=`, `error call= code=`. Standard
//! input is held open by whoever wants the connection held.

mod args;
mod ffi;
mod session;
mod transfer;

use std::{process::ExitCode, time::Duration};

use clap::Parser;

use crate::{
    args::{Arguments, Role},
    ffi::Udt,
};

/// A peer that nobody ended ends itself, so that a killed test leaves nothing behind.
const LIFETIME_MAX: Duration = Duration::from_secs(15 * 60);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    std::thread::spawn(|| {
        std::thread::sleep(LIFETIME_MAX);
        println!("error call=lifetime code=0");
        ffi::exit_now(3);
    });
    let udt = match Udt::start(arguments.library) {
        Ok(udt) => udt,
        Err(error) => {
            eprintln!("cannot use the {} libudt: {error}", arguments.library);
            return ExitCode::from(2);
        }
    };
    let done = match arguments.role {
        Role::Check => Ok(()),
        _ => session::run(&udt, &arguments),
    };
    // libudt's threads still run: leaving by `return` would destroy what they use.
    ffi::exit_now(match done {
        Ok(()) => 0,
        Err(error) => {
            println!("error call={} code={}", error.call, error.code);
            1
        }
    })
}
