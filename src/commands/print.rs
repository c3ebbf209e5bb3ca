//! What commands print: data on standard output, everything else on standard error. No name that is in
//! it reaches a terminal as it is. What cannot be printed does not change what was done.

use std::io;

use clap::error::Error as Usage;

use crate::error::Failure;
use crate::exit::ExitCode;
use crate::signal;
use crate::stdio::{self, Importance, PATIENCE};
use crate::text;

/// Prints to standard output. A reader that has gone away, as `head` does, ends the printing alone.
pub(super) fn print(text: &str) {
    // Both may end on one terminal, where what is said first comes first.
    stdio::stderr().drain(None);
    stdio::stdout().report(&text::lines(text));
}

/// Prints bytes as they are. What a name or a file could do to a terminal with them is for the caller to see to.
pub(super) fn print_bytes(bytes: &[u8]) {
    stdio::stderr().drain(None);
    stdio::stdout().report_bytes(bytes);
}

pub(super) fn print_json(value: &impl serde::Serialize) {
    print(&format!("{}\n", text::pretty_json(value)));
}

/// Whether what is printed goes anywhere. Where printing is the work, there is no more to do then.
pub(super) fn is_read() -> bool {
    !stdio::stdout().is_over()
}

pub(super) fn note(text: &str) {
    stdio::stdout().drain(None);
    stdio::stderr().report(&format!("{}\n", text::lines(text)));
}

/// Says why a pass did not even begin. It waits for nobody.
pub(super) fn explain(failure: &Failure) {
    last_word(&failure.to_string());
}

fn last_word(text: &str) {
    let line = format!("{}\n", text::lines(text));
    stdio::stderr().offer(line.as_bytes(), Importance::Last);
}

/// What the process of a pass exits with: the pass's own code. Whoever collects its events has some
/// seconds for the last ones.
pub(super) fn end_of_pass(code: u8) -> u8 {
    stdio::drain(Some(PATIENCE));
    code
}

/// What the process of any other command exits with: its own code, unless that would be success and its
/// report is not all there.
pub(super) fn end_of_report(code: u8) -> u8 {
    stdio::drain(None);
    let Some(failure) = stdio::stdout().failure() else {
        return code;
    };
    last_word(&format!(
        "error: cannot write to standard output: {failure}"
    ));
    stdio::drain(Some(PATIENCE));
    match code {
        0 => signal::received().unwrap_or(ExitCode::Failed).code(),
        code => code,
    }
}

/// Shows help, or what is wrong with the command line; what the process exits with.
pub fn usage(usage: &Usage) -> u8 {
    let text = usage.render().to_string();
    let shown = text::lines(&text);
    let printed = match shown == text {
        true => usage.print(),
        false => {
            stdio::stderr().offer(shown.as_bytes(), Importance::Last);
            stdio::drain(Some(PATIENCE));
            Ok(())
        }
    };
    match printed {
        Err(error) if !usage.use_stderr() && error.kind() != io::ErrorKind::BrokenPipe => {
            last_word(&format!("error: cannot write to standard output: {error}"));
            stdio::drain(Some(PATIENCE));
            ExitCode::Failed.code()
        }
        _ => u8::try_from(usage.exit_code()).unwrap_or(ExitCode::Usage.code()),
    }
}

/// Where what libraries log goes. They log in the midst of work, which does not wait for a reader.
pub(super) struct Log(pub(super) fn(&str) -> String);

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let shown = (self.0)(&String::from_utf8_lossy(line));
        stdio::stderr().offer(shown.as_bytes(), Importance::Detail);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
