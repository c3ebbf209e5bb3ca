//! Parse, run, exit.

use std::process::ExitCode;

use offsite::{commands, environment};

/// Small allocations from many threads are what a first pass is made of; the C library's allocator
/// takes a quarter longer for them. Huge pages are off: they double what is resident.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = <offsite::cli::Cli as clap::Parser>::parse();
    return_memory_soon();
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

/// Gives freed memory back after 10 ms instead of a second. A segment of a manifest is 5 MB, read by
/// one thread and freed by another; kept for a second each, a few of them are a third of what is
/// resident.
fn return_memory_soon() {
    /// `mi_option_purge_delay` of mimalloc's header, which the binding leaves out.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = libmimalloc_sys::mi_option_use_numa_nodes - 1;
    #[expect(unsafe_code, reason = "sets a number; the call has no precondition")]
    unsafe {
        libmimalloc_sys::mi_option_set(PURGE_DELAY, 10);
    }
}
