//! An S3 server for tests, demos and benchmarks, on the loopback interface only.
//!
//! A test starts one in its own process, points the program under test at [`LocalS3::endpoint`],
//! and sees both sides: what the program was told, and what really lies in the bucket.
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! use local_s3::{Fault, LocalS3, Operation};
//!
//! let server = LocalS3::builder().bucket("backups").start()?;
//! // The fourth upload of a file and the one after it are throttled.
//! let throttled = Fault::on(Operation::PutObject).key_contains("files/").skip(3).times(2);
//! let throttled = server.fault(throttled.status(503, "SlowDown"));
//! // ... run the program against `server.endpoint()` ...
//! assert_eq!(throttled.fired(), 0);
//! assert!(server.requests().is_empty());
//! assert!(server.keys("backups").is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! The story of a request: `listener` accepts the connection; `http` notes the request in the
//! `log`, asks the `hook`, strikes with one of the `faults`; s3s verifies the signature and parses;
//! `s3` does what S3 does, over the map in `state`, whose
//! buckets are in `bucket`, with `versions` and with objects that are computed in `series`. `operation` says which operation a request is,
//! `clock` what time it is. `persist` writes objects to disk for the binary's sake.
//!
//! What always holds: conditional writes are decided under one mutex; a body that fails any check
//! leaves no trace; nothing listens on an address that other machines can reach. Behaviour follows
//! AWS's documentation; where this server is known to differ, `README.md` says so. It is no store
//! for anything that matters.

mod auth;
mod body;
mod bucket;
mod builder;
mod checksum;
mod chunked;
mod clock;
mod faults;
mod forged;
mod hook;
mod http;
mod listener;
mod listing;
mod log;
mod moto;
mod object;
mod operation;
mod persist;
mod s3;
mod series;
mod server;
mod sink;
mod state;
mod unsign;
mod versions;

pub use crate::auth::Credentials;
pub use crate::builder::Builder;
pub use crate::checksum::{Checksum, ChecksumAlgorithm, ChecksumType, ChecksumsOfParts};
pub use crate::clock::Clock;
pub use crate::faults::{Fault, FaultHandle};
pub use crate::forged::Answer;
pub use crate::hook::{HookAction, RequestInfo};
pub use crate::log::LoggedRequest;
pub use crate::moto::Moto;
pub use crate::object::{Attributes, Encryption, OpenUpload, Restore, StoredObject, StoredPart};
pub use crate::operation::Operation;
pub use crate::server::LocalS3;
pub use crate::sink::{EntityTags, Keep, Sink, SinkOptions};
