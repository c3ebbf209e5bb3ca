//! Reading objects.

use std::ops::Range;

use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_smithy_types::byte_stream::error::Error as ByteStreamError;
use bytes::Bytes;
use jiff::Timestamp;

use super::S3Store;
use super::attempts::ATTEMPTS;
use crate::cause::last_words;
use crate::regions::Regions;
use crate::store::{ETag, Operation, StoreError, StoreErrorKind, StoreResult};

impl S3Store {
    /// Reads an object or a range of it, again where the body breaks off: the SDK retries until an
    /// answer begins, and no further.
    pub(super) async fn read(
        &self,
        key: &str,
        range: Option<Range<u64>>,
    ) -> StoreResult<(Bytes, ETag, Option<Timestamp>)> {
        let length = range.as_ref().map_or(0, |range| range.end - range.start);
        let mut attempt = 1;
        loop {
            let answer = self
                .clients
                .s3
                .get_object()
                .bucket(&self.settings.bucket)
                .key(self.key(key))
                .set_range(
                    range
                        .as_ref()
                        .map(|r| format!("bytes={}-{}", r.start, r.end - 1)),
                )
                .customize()
                .config_override(self.patience(usize::try_from(length).unwrap_or(usize::MAX)))
                .send()
                .await
                .map_err(self.failed(Operation::Get, key))?;
            let announced = answer.content_length.unwrap_or_default();
            let error = match gather(answer.body, announced, &self.regions).await {
                Ok(bytes) if bytes.len() as i64 == announced => {
                    let etag = ETag(answer.e_tag.unwrap_or_default());
                    let written = answer.last_modified.and_then(to_timestamp);
                    return Ok((bytes, etag, written));
                }
                Ok(_) => self.broken(key, "the body ended early".to_owned()),
                Err(error) => self.broken(key, last_words(&error)),
            };
            if attempt == ATTEMPTS {
                return Err(error);
            }
            attempt += 1;
        }
    }

    /// An answer that began well and broke off.
    fn broken(&self, key: &str, error: String) -> StoreError {
        let kind = StoreErrorKind::Transport(error);
        self.error(Operation::Get, key, kind)
    }
}

/// Reads a body, up to the announced length, into one piece of memory.
async fn gather(
    mut body: ByteStream,
    announced: i64,
    regions: &Regions,
) -> Result<Bytes, ByteStreamError> {
    let mut region = regions.take(usize::try_from(announced).unwrap_or_default());
    let mut length = 0;
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        let Some(room) = region.get_mut(length..length + chunk.len()) else {
            break;
        };
        room.copy_from_slice(&chunk);
        length += chunk.len();
    }
    region.truncate(length);
    Ok(Bytes::from_owner(region))
}

fn to_timestamp(time: DateTime) -> Option<Timestamp> {
    Timestamp::from_second(time.secs()).ok()
}
