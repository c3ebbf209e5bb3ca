//! Keeping: which snapshots stay, and what becomes of the others.
//!
//! A prune makes a plan first (`plan`), which is pure and can be printed: of each snapshot why it stays, or why it
//! goes. What goes is condemned (`condemn`): its record changes its state under its own key, and nothing is
//! deleted. Until the space is freed, `undelete` makes a condemned snapshot live again.

use jiff::tz::TimeZone;

use crate::format::retention::Policy;

pub mod condemn;
pub mod find;
mod guards;
pub mod period;
pub mod plan;
pub mod prepare;
pub mod rules;
pub mod simulate;
pub mod undelete;

/// What is kept of a source, and when the rest is condemned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// The rules.
    pub policy: Policy,
    /// Their time zone.
    pub zone: TimeZone,
    /// Whether each pass prunes at its end.
    pub after_pass: bool,
}
