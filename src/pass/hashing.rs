//! Reading a file of a source to its end, to know its SHA-256 and nothing else.

use sha2::{Digest, Sha256};

use super::capture::reading::read_up_to;
use super::context::SourceContext;
use crate::source::{Body, Found, Refused};
use crate::stop::Stopped;

/// Read at a time.
const READ_BYTES: usize = 1 << 20;

/// The SHA-256 of a file that was found. Blocks.
///
/// # Errors
/// The pass is being stopped.
pub(crate) fn sha256(
    context: &SourceContext,
    found: &Found,
) -> Result<Result<[u8; 32], Refused>, Stopped> {
    let file = match context.source.open(found).map(|opened| opened.body) {
        Ok(Body::File(file)) => file,
        Ok(Body::Stream(_) | Body::Remote(_) | Body::None) => return Ok(Err(Refused::Gone)),
        Err(refused) => return Ok(Err(refused)),
    };
    let mut hasher = Sha256::new();
    let mut buffer = Vec::new();
    let mut offset = 0;
    while !context.stop.is_set() {
        buffer.clear();
        if let Err(error) = read_up_to(&file, &mut buffer, offset, READ_BYTES) {
            return Ok(Err(Refused::Unreadable(error.into())));
        }
        if buffer.is_empty() {
            return Ok(Ok(hasher.finalize().into()));
        }
        hasher.update(&buffer);
        offset += buffer.len() as u64;
    }
    Err(Stopped)
}
