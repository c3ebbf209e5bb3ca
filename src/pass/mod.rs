//! What to do with what there is: compare a directory with its last snapshot, capture what is new,
//! write the manifest, commit.
//!
//! ```text
//!            walk ─┐                ┌─► captures (threads that read, tasks that send) ─┐
//!                  ├─► merge thread ┤                                                  ├─► manifest writer
//! last snapshot ───┘                └─► decisions, in order ───────────────────────────┘
//! ```
//!
//! The merge (`diff/`) goes through the walk and the last snapshot together, both sorted. A policy
//! (`policy/`) decides about each difference. Steps reach the manifest writer in order; one that needs
//! a capture is a promise that the writer waits for. Every queue is bounded, so memory does not grow with the
//! number of entries. Nothing is visible until the commit record is written, which is the last
//! thing that happens.

pub(crate) mod archive;
pub mod back_up;
pub(crate) mod capture;
mod commit;
pub mod context;
mod damage;
pub(crate) mod decider;
pub(crate) mod diff;
pub mod error;
mod fatal;
mod flow;
mod gaps;
pub(crate) mod hashing;
pub mod job;
mod opening;
pub(crate) mod origins;
pub(crate) mod past;
mod place;
pub mod policy;
pub(crate) mod steps;
pub(crate) mod unfinished;
mod writer;
