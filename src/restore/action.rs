//! What becomes of one entry of a plan.

/// What becomes of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Action {
    /// It is not asked for, or not captured.
    Skip,
    /// There is nothing in its place.
    Create,
    /// The same is there already.
    Keep,
    /// The same is there, and is another file of the snapshot as well.
    Separate,
    /// Something else is there, and gives way.
    Replace,
    /// Something else is there, and stays.
    Conflict,
}
