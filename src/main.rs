//! Parse, run, exit.

use std::process::ExitCode;

use offsite::{commands, environment};

/// Small allocations from many threads are what a first pass is made of; the C library's allocator
/// takes a quarter longer for them. Huge pages are off: they double what is resident.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = <offsite::cli::Cli as clap::Parser>::parse();
    // While there is no other thread: the AWS SDK reads its settings from the environment.
    let environment = environment::prepare();
    match commands::execute(cli, environment) {
        Ok(code) => code.into(),
        Err(failure) => {
            commands::explain(&failure);
            failure.exit_code.into()
        }
    }
}
