//! What can go wrong with files, in the terms of stores.

use rustix::io::Errno;

use crate::store::StoreErrorKind;

/// Why something was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The system refuses.
    System(Errno),
    /// The store's directory is not there.
    NoStore,
    /// Something else is there.
    NoDirectory,
    /// The condition does not hold.
    Condition,
    /// The file system cannot give a name to a file without risking to replace another one.
    Unfit,
    /// The object is shorter than was asked for.
    TooShort,
    /// The object is longer than was expected.
    TooLarge(u64),
}

pub(super) type Result<T> = std::result::Result<T, Trouble>;

impl From<Errno> for Trouble {
    fn from(error: Errno) -> Self {
        Self::System(error)
    }
}

impl From<Trouble> for StoreErrorKind {
    fn from(trouble: Trouble) -> Self {
        let text = |error: Errno| std::io::Error::from(error).to_string();
        match trouble {
            Trouble::NoStore => Self::NoSuchDirectory,
            Trouble::NoDirectory => Self::NoDirectory,
            Trouble::Condition => Self::PreconditionFailed,
            Trouble::Unfit => Self::UnfitFileSystem,
            Trouble::TooShort => Self::TooShort,
            Trouble::TooLarge(at_most) => Self::TooLarge { at_most },
            Trouble::System(error) => match error {
                Errno::NOENT => Self::NotFound,
                Errno::NOSPC | Errno::DQUOT => Self::Full(text(error)),
                Errno::ACCESS | Errno::PERM => Self::Forbidden(text(error)),
                Errno::ROFS => Self::ReadOnly(text(error)),
                Errno::NAMETOOLONG | Errno::INVAL | Errno::FBIG | Errno::LOOP | Errno::NOTDIR => {
                    Self::Rejected(text(error))
                }
                error => Self::Unavailable(text(error)),
            },
        }
    }
}
