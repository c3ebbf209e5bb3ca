//! What there is: an ordered, parallel walk of a directory, what it leaves out, and reading files
//! that may change under the reader.
//!
//! Symbolic links are never followed, not even in the middle of a path: whoever can write into the
//! source cannot make a backup read outside of it.

pub mod clean;
pub mod filter;
pub mod open;
pub mod session;
pub mod stat;
pub mod walk;
pub mod xattr;
