//! Verify: whether what a snapshot needs is in the store, as it was put there.
//!
//! Every segment is read and compared with its digest in the commit record. Objects are compared with
//! what a listing tells of them, size and ETag, 1,000 a request; or with the checksums that the store verified when
//! they arrived and has kept, a request each; or all of them are read back and hashed; or a share is,
//! which rotates with time so that every object gets its turn. Nothing is changed; what was read of copies that no
//! pass has read is written down beside their segment. The report says
//! what each object was compared by. Memory does not depend on the number of objects.
//!
//! An object in an archive class is compared like any other, and not read: that it is cold is a
//! state, and nothing is wrong with it. What arrives damaged is fetched again before it is called
//! damaged: bytes that differ between two reads say nothing about the store.

mod already;
mod archives;
mod asking;
mod batch;
mod compare;
mod contents;
mod depth;
mod fetched;
mod recording;
mod repaired;
mod report;
mod seek;
mod snapshot;
mod tally;
mod whole;

pub use self::already::Already;
pub use self::depth::Depth;
pub use self::repaired::clear_repaired;
pub use self::report::{Compared, DigestReport, Finding, FindingKind, VerifyReport, unread};
pub use self::snapshot::{VerifyOptions, verify};
pub use self::tally::Tally;
