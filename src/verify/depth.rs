//! How closely to look.

use crate::format::entry::Content;
use crate::window::Window;

/// How closely to look at contents.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Depth {
    /// Objects that are read back and hashed.
    pub read: Option<Window>,
    /// Of the others, the checksums that the store keeps are compared, and not only what a listing tells.
    pub checksums: bool,
}

impl Depth {
    /// Whether contents are read back.
    pub(super) fn reads(&self, content: &Content) -> bool {
        self.read.is_some_and(|window| window.holds(&content.lot()))
    }

    /// Whether everything is.
    #[must_use]
    pub fn reads_all(&self) -> bool {
        self.read == Some(Window::ALL)
    }
}
