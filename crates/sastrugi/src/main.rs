//! The command `sastrugi`.

#![expect(clippy::print_stderr, reason = "a command line tool")]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run(std::env::args_os()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("sastrugi: {error}");
            ExitCode::FAILURE
        }
    }
}
