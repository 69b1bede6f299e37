use std::process::ExitCode;

fn main() -> ExitCode {
    quorate_replica::cli::main()
}
