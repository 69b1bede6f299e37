//! Whole clusters in simulation, by the thousand.

mod command;

use std::process::ExitCode;

fn main() -> ExitCode {
    command::run()
}
