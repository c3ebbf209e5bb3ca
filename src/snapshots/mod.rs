//! The snapshots of a store: which there are, which are meant, and what is in them.

pub mod chain;
pub mod differences;
pub mod digests;
pub mod drills;
pub mod entries;
mod fetch;
pub mod marks;
pub mod objects;
pub mod select;
