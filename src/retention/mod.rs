//! Keeping: which snapshots stay, and what becomes of the others.
//!
//! A prune makes a plan first (`plan`), which is pure and can be printed: of each snapshot why it stays, or why it
//! goes. What goes is condemned (`condemn`): its record changes its state under its own key, and nothing is
//! deleted. Until the space is freed, `undelete` makes a condemned snapshot live again.

pub mod condemn;
pub mod find;
pub mod guards;
pub mod period;
pub mod plan;
pub mod rules;
pub mod undelete;
