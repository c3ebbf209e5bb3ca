//! Exit codes: the contract with whoever starts the program. `docs/EXIT-CODES.md` is its text.

/// How a command ended. Readers must treat a code they do not know as failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ExitCode {
    /// Complete.
    Complete = 0,
    /// Failed.
    Failed = 1,
    /// Usage or configuration is wrong; running it again will not help.
    Usage = 2,
    /// Committed, but some entries could not be read; restored, but not everything.
    Incomplete = 3,
    /// An integrity or health check failed.
    Integrity = 4,
    /// No such snapshot, source or store.
    NotFound = 10,
    /// Another pass holds the lock.
    Locked = 11,
    /// Credentials or permissions were refused.
    Denied = 12,
    /// Interrupted by SIGINT.
    Interrupted = 130,
    /// Interrupted by SIGTERM.
    Terminated = 143,
}

impl ExitCode {
    /// Every code there is.
    pub const ALL: [Self; 10] = [
        Self::Complete,
        Self::Failed,
        Self::Usage,
        Self::Incomplete,
        Self::Integrity,
        Self::NotFound,
        Self::Locked,
        Self::Denied,
        Self::Interrupted,
        Self::Terminated,
    ];

    /// The number the process ends with.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What the code says, in the words of the documentation.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Usage => "usage or configuration is wrong; running it again will not help",
            Self::Incomplete => {
                "done, but some entries could not be read or restored, or a required copy failed"
            }
            Self::Integrity => "an integrity or health check failed",
            Self::NotFound => "no such snapshot, source or store",
            Self::Locked => "another pass holds the lock",
            Self::Denied => "credentials or permissions refused",
            Self::Interrupted => "interrupted by SIGINT",
            Self::Terminated => "interrupted by SIGTERM",
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.code())
    }
}
