//! The difference between what a source has now and what was recorded of it: the one merge, which a pass,
//! a plan and a survey of sessions look through. What is done about a difference is decided elsewhere.

mod compare;
mod continued;
mod cursor;
mod inputs;
mod merge;
mod moved;

pub use self::compare::{Detect, Verdict, compare, is_racy};
pub use self::cursor::{Damaged, Recorded};
pub use self::inputs::{Inputs, joined};
pub use self::merge::{Compared, MergeError, Pair, Visitor};
pub use self::moved::Moved;
