//! `quorate-model`: checks the protocols within bounds, state by state, and far beyond on walks.

mod command;

use std::process::ExitCode;

fn main() -> ExitCode {
    command::main()
}
