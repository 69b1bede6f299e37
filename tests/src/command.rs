mod simulate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::simulate::Simulate;

/// Tests whole clusters.
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Command {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Simulate(Simulate),
}

pub(crate) fn run() -> ExitCode {
    let is_good = match Command::parse().what {
        What::Simulate(simulate) => simulate.run(),
    };
    match is_good {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Command::command().debug_assert();
    }
}
