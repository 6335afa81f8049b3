//! Reads the arguments, calls one verb, prints the error, picks the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    counterfoil::cli::run()
}
