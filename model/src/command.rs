//! The command line: one file for each command.

mod check;
mod explore;
mod sabotage;
mod simulate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use quorate_model::{Preset, Scope};

#[derive(Parser)]
#[command(
    about = "Checks the protocols within bounds, state by state, and beyond on walks.",
    after_help = "Exit codes: 0, no rule is violated; 1, one is; 2, the command line is wrong."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(check::Check),
    Explore(explore::Explore),
    Simulate(simulate::Simulate),
    Sabotage(sabotage::Sabotages),
}

pub(crate) fn main() -> ExitCode {
    let is_good = match Arguments::parse().command {
        Command::Check(check) => check.run(),
        Command::Explore(explore) => explore.run(),
        Command::Simulate(simulate) => simulate.run(),
        Command::Sabotage(sabotages) => sabotages.run(),
    };
    match is_good {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// The scopes of a preset, or the one scope of that name.
fn scopes(name: &str) -> Result<Vec<Scope>, String> {
    if let Some(preset) = Preset::ALL.into_iter().find(|preset| preset.name() == name) {
        return Ok(preset.scopes());
    }
    scope(name).map(|scope| vec![scope])
}

/// The scope of that name.
fn scope(name: &str) -> Result<Scope, String> {
    let all = Scope::all();
    all.iter()
        .find(|scope| scope.name == name)
        .copied()
        .ok_or_else(|| {
            let presets = Preset::ALL.map(Preset::name).join(", ");
            let names = all.iter().map(|scope| scope.name);
            let names: Vec<&str> = names.collect();
            format!(
                "neither a preset ({presets}) nor a scope ({})",
                names.join(", ")
            )
        })
}
