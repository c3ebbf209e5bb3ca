//! Standard error as a terminal, for progress lines.

use std::io::{self, IsTerminal};
use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressDrawTarget, TermLike};
use rustix::termios::tcgetwinsize;

use super::{Importance, stderr};

/// Frames a second.
const REFRESH_RATE: u8 = 20;

/// A progress line on standard error, hidden where that is no terminal, or one that cannot move its
/// cursor.
pub(crate) fn progress(length: Option<u64>) -> ProgressBar {
    let can_move = std::env::var("TERM").is_ok_and(|name| name != "dumb");
    let target = match io::stderr().is_terminal() && can_move {
        true => ProgressDrawTarget::term_like_with_hz(Box::new(Terminal::default()), REFRESH_RATE),
        false => ProgressDrawTarget::hidden(),
    };
    ProgressBar::with_draw_target(length, target)
}

/// Draws frames as a terminal does, without ever waiting for it: a terminal that has stopped (Ctrl-S)
/// misses some.
#[derive(Debug, Default)]
struct Terminal {
    frame: Mutex<String>,
}

impl Terminal {
    fn add(&self, text: &str) -> io::Result<()> {
        let mut frame = self.frame.lock().expect("nothing panics holding this");
        frame.push_str(text);
        Ok(())
    }

    fn add_move(&self, by: usize, direction: char) -> io::Result<()> {
        match by {
            0 => Ok(()),
            by => self.add(&format!("\u{1b}[{by}{direction}")),
        }
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        match tcgetwinsize(io::stderr()) {
            Ok(size) if size.ws_col > 0 => size.ws_col,
            _ => 80,
        }
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.add_move(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.add_move(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.add_move(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.add_move(n, 'D')
    }

    fn write_line(&self, s: &str) -> io::Result<()> {
        self.add(s)?;
        self.add("\n")
    }

    fn write_str(&self, s: &str) -> io::Result<()> {
        self.add(s)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.add("\r\u{1b}[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let mut frame = self.frame.lock().expect("nothing panics holding this");
        stderr().offer(frame.as_bytes(), Importance::Passing);
        frame.clear();
        Ok(())
    }
}
