//! The archive format: tar streams that are compressed in pieces, so that each file can be had
//! alone, and are ordinary archives to everybody else.

pub mod codec;
pub mod tar;
pub mod template;
