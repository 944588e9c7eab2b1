//! Checks and tools of this repository: `cargo xtask <task>`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

mod codegen;
mod layers;
mod seed_map;
mod sources;
mod tidy;

use std::process::ExitCode;

const HELP: &str = "\
Usage: cargo xtask <task>

  check        layers, tidy, seed-map and codegen --check, as the gate runs them
  layers       each crate depends only on crates below it, and none below the firewall on tokio
  tidy         lengths of functions and files, forbidden words, documentation of public items
  seed-map     every exported name of the seed is found in engine::common
  codegen      writes the generated protobuf code anew; with --check only compares

Example: cargo xtask tidy";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["check"] => check(),
        ["layers"] => layers::run(),
        ["tidy"] => tidy::run(),
        ["seed-map"] => seed_map::run(),
        ["codegen"] => codegen::run(false),
        ["codegen", "--check"] => codegen::run(true),
        ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            Ok(())
        }
        _ => Err(format!("no such task: {}\n\n{HELP}", arguments.join(" "))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(report) => {
            eprintln!("{report}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all checks and reports all that failed.
fn check() -> Result<(), String> {
    let tasks: [(&str, Result<(), String>); 4] = [
        ("layers", layers::run()),
        ("tidy", tidy::run()),
        ("seed-map", seed_map::run()),
        ("codegen --check", codegen::run(true)),
    ];
    let failures: Vec<String> = tasks
        .into_iter()
        .filter_map(|(task, outcome)| outcome.err().map(|report| format!("{task}:\n{report}")))
        .collect();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n\n")) }
}
