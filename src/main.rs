//! Parse, run, exit.

use std::ffi::c_int;
use std::process::ExitCode;

use libmimalloc_sys::mi_option_set_default;
use offsite::cli::Cli;
use offsite::{commands, environment};

/// Small allocations from many threads are what a first pass is made of; the C library's allocator
/// takes a quarter longer for them. Huge pages are off: they double what is resident.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// mimalloc's number for how long it keeps freed pages, in milliseconds; its crate has no name for it.
const PURGE_DELAY: c_int = 15;

fn main() -> ExitCode {
    give_back_soon();
    let cli = match <Cli as clap::Parser>::try_parse() {
        Ok(cli) => cli,
        Err(usage) => return commands::usage(&usage).into(),
    };
    // While there is no other thread: the AWS SDK reads its settings from the environment.
    let environment = environment::prepare();
    commands::execute(cli, environment).into()
}

/// By default mimalloc keeps what was freed for a second, in which a pass frees hundreds of
/// megabytes. After a tenth of that nothing is slower, and a pass takes a third less at its peak.
fn give_back_soon() {
    #[expect(
        unsafe_code,
        reason = "options are plain numbers, and there is no other thread yet"
    )]
    unsafe {
        // What `MIMALLOC_PURGE_DELAY` says goes first.
        mi_option_set_default(PURGE_DELAY, 100);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_that_of_the_purge_delay() {
        #[expect(unsafe_code, reason = "it only reads")]
        let before = unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        assert_eq!(before, 1000, "another option, or a new default");
    }
}
