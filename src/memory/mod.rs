//! Memory, bounded: how many bytes are held at once, and where they lie.

pub(crate) mod budget;
pub(crate) mod buffers;
pub(crate) mod regions;
pub(crate) mod turns;
