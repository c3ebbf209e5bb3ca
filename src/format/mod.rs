//! What a snapshot consists of: paths, entries, segments, commit records and the keys they lie
//! under.
//!
//! This is the compatibility boundary: what is written here is read by other versions of the
//! program, and by people with `aws`, `zstd` and `jq`. `docs/FORMAT.md` describes it. Readers ignore
//! fields they do not know and refuse format versions they do not know. Nothing here talks to a
//! store or a file system.

pub mod abilities;
pub mod changes;
pub mod codec;
pub mod condemned;
pub mod damage;
pub mod digests;
pub mod drill;
pub mod entry;
pub mod keys;
pub mod lines;
pub mod location;
pub mod lock;
pub mod mark;
pub mod name;
pub mod object;
pub mod objects;
pub mod origin;
pub mod owner;
pub mod pass_id;
pub mod pass_record;
pub mod path;
pub mod prune_record;
pub mod record;
pub mod requires;
pub mod retention;
pub mod rules;
pub mod segment;
pub mod selection;
pub mod snapshot;
pub mod status;
pub mod totals;

/// Version of everything in this module. Raised when a reader of the old version would draw wrong
/// conclusions from what is written; added fields do not raise it.
pub const FORMAT: u32 = 1;
