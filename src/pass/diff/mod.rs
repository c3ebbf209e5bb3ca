//! The difference between what a source has now and what was recorded of it: the one merge, which a pass,
//! a plan and a survey of sessions look through. What is done about a difference is decided elsewhere.

mod compare;
mod continued;
mod cursor;
mod inputs;
mod merge;
mod moved;

pub(crate) use self::compare::{Verdict, compare, is_racy};
pub(crate) use self::cursor::{Damaged, Recorded};
pub(crate) use self::inputs::{Inputs, joined};
pub(crate) use self::merge::{Compared, MergeError, Pair, UnknownAt, Visitor};
pub(crate) use self::moved::Moved;
