//! Reading objects, no further than was asked for.

use std::ops::Range;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use bytes::Bytes;
use jiff::Timestamp;

use super::S3Store;
use super::ask::Attempts;
use super::proof::{entity_tag, quoted};
use crate::aws::cause::last_words;
use crate::memory::regions::Regions;
use crate::store::{ETag, Object, Operation, StoreErrorKind, StoreResult};

/// What is asked for.
pub(super) enum Extent {
    /// All of an object that has no more than so many bytes.
    Whole { at_most: u64 },
    /// These bytes of an object.
    Range(Range<u64>),
}

/// What an answer says of the bytes that follow.
struct Announced {
    etag: ETag,
    /// How many there are; `None` where they come until they end.
    length: Option<u64>,
    /// How many there may be.
    at_most: u64,
}

impl S3Store {
    /// Reads a range by the direct way; `None` where that has not led to all of it.
    pub(super) async fn read_directly(&self, key: &str, range: &Range<u64>) -> Option<Bytes> {
        let direct = self.clients.direct.as_ref()?;
        let timeout = self.options.timeout(length(range));
        let (key, header) = (self.key(key), in_header(range));
        let answer = direct.get(&key, &header, timeout).await?;
        let wanted = Extent::Range(range.clone());
        let object = take_in(answer, &wanted, &self.regions).await;
        object.ok().map(|object| object.bytes)
    }

    /// Reads, again where the body breaks off: the SDK retries until an answer begins, and no further.
    pub(super) async fn read(&self, key: &str, wanted: &Extent) -> StoreResult<Object> {
        self.read_only(key, wanted, None).await
    }

    /// The same of one version only, where one is named.
    pub(super) async fn read_only(
        &self,
        key: &str,
        wanted: &Extent,
        version: Option<&ETag>,
    ) -> StoreResult<Object> {
        let (range, expected) = match wanted {
            Extent::Whole { .. } => (None, 0),
            Extent::Range(range) => (Some(in_header(range)), length(range)),
        };
        let request = || {
            self.clients
                .s3
                .get_object()
                .bucket(&self.url.bucket)
                .key(self.key(key))
                .set_range(range.clone())
                .set_if_match(version.map(quoted))
                .customize()
                .config_override(self.patience(expected))
                .send()
        };
        let mut attempts = Attempts::new();
        loop {
            let (again, result) = match self.ask(Operation::Get, key, request).await {
                Err(error) => (error.kind.is_worth_repeating(), Err(error)),
                Ok(answer) => match take_in(answer, wanted, &self.regions).await {
                    Ok(object) => return Ok(object),
                    Err(kind) => {
                        let broke_off = matches!(kind, StoreErrorKind::Transport(_));
                        let again = broke_off || kind.is_worth_repeating();
                        (again, Err(self.error(Operation::Get, key, kind)))
                    }
                },
            };
            if let Some(result) = attempts.settle_if(again, result).await {
                return result;
            }
        }
    }
}

/// A range as a request's header has it (RFC 9110, section 14.1).
fn in_header(range: &Range<u64>) -> String {
    format!("bytes={}-{}", range.start, range.end - 1)
}

fn length(range: &Range<u64>) -> usize {
    usize::try_from(range.end - range.start).unwrap_or(usize::MAX)
}

async fn take_in(
    answer: GetObjectOutput,
    wanted: &Extent,
    regions: &Regions,
) -> Result<Object, StoreErrorKind> {
    let announced = announced(&answer, wanted)?;
    let last_modified = answer.last_modified.and_then(to_timestamp);
    let bytes = match announced.length {
        Some(length) => gather(answer.body, length, regions).await?,
        None => gather_to_end(answer.body, announced.at_most).await?,
    };
    Ok(Object {
        bytes,
        etag: announced.etag,
        last_modified,
    })
}

/// Compares what an answer announces with what was asked for, before any of it is read.
fn announced(answer: &GetObjectOutput, wanted: &Extent) -> Result<Announced, StoreErrorKind> {
    let unexpected = |fault: &str| StoreErrorKind::UnexpectedAnswer(fault.to_owned());
    let etag = entity_tag(answer.e_tag.clone()).map_err(unexpected)?;
    let length = answer
        .content_length
        .and_then(|length| u64::try_from(length).ok());
    let range = match wanted {
        Extent::Whole { at_most } if length.is_some_and(|length| length > *at_most) => {
            return Err(StoreErrorKind::TooLarge { at_most: *at_most });
        }
        Extent::Whole { at_most } => {
            return Ok(Announced {
                etag,
                length,
                at_most: *at_most,
            });
        }
        Extent::Range(range) => range,
    };
    let asked = range.end - range.start;
    match answer.content_range.as_deref().map(parse_content_range) {
        Some(Some(given)) if given == *range && length.is_none_or(|length| length == asked) => {}
        Some(Some(given)) if given.start == range.start && given.end < range.end => {
            return Err(StoreErrorKind::TooShort);
        }
        Some(_) => return Err(unexpected("another range than was asked for")),
        // All of an object that is no longer than the range.
        None if range.start == 0 && length == Some(asked) => {}
        None => return Err(unexpected("a whole object in place of a range")),
    }
    Ok(Announced {
        etag,
        length: Some(asked),
        at_most: asked,
    })
}

/// Reads `bytes 0-4/9` (RFC 9110, section 14.4).
fn parse_content_range(text: &str) -> Option<Range<u64>> {
    let (range, _) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let first: u64 = first.parse().ok()?;
    Some(first..last.parse::<u64>().ok()?.checked_add(1)?)
}

fn broke_off(error: &(dyn std::error::Error + 'static)) -> StoreErrorKind {
    StoreErrorKind::Transport(last_words(error))
}

/// Reads a body of a known length into one piece of memory.
async fn gather(
    mut body: ByteStream,
    length: u64,
    regions: &Regions,
) -> Result<Bytes, StoreErrorKind> {
    let mut region = regions.take(usize::try_from(length).unwrap_or(usize::MAX));
    let mut filled = 0;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| broke_off(&error))?;
        let Some(room) = region.get_mut(filled..filled + chunk.len()) else {
            let fault = "more bytes than were announced";
            return Err(StoreErrorKind::UnexpectedAnswer(fault.to_owned()));
        };
        room.copy_from_slice(&chunk);
        filled += chunk.len();
    }
    match filled == region.len() {
        true => Ok(Bytes::from_owner(region)),
        false => Err(StoreErrorKind::Transport("the body ended early".to_owned())),
    }
}

/// Reads a body whose length nobody knows before its end.
async fn gather_to_end(mut body: ByteStream, at_most: u64) -> Result<Bytes, StoreErrorKind> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| broke_off(&error))?;
        if (bytes.len() + chunk.len()) as u64 > at_most {
            return Err(StoreErrorKind::TooLarge { at_most });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.into())
}

pub(super) fn to_timestamp(time: DateTime) -> Option<Timestamp> {
    Timestamp::from_second(time.secs()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_the_one_that_was_asked_for() {
        let answer = |length: i64, range: Option<&str>| {
            GetObjectOutput::builder()
                .e_tag("\"e\"")
                .content_length(length)
                .set_content_range(range.map(str::to_owned))
                .build()
        };
        let range = |range| Extent::Range(range);
        let length = |answer: &_, wanted| announced(answer, &wanted).map(|found| found.length);
        let right = answer(5, Some("bytes 5-9/20"));
        assert_eq!(length(&right, range(5..10)), Ok(Some(5)));
        assert_eq!(length(&right, range(5..20)), Err(StoreErrorKind::TooShort));
        for (answer, wanted) in [
            (&right, range(0..5)),
            (&answer(7, Some("bytes 5-9/20")), range(5..10)),
            (&answer(5, Some("bytes 5-/20")), range(5..10)),
            (
                &answer(5, Some("bytes 5-18446744073709551615/20")),
                range(5..10),
            ),
            (&answer(20, None), range(5..10)),
            (&answer(20, None), range(0..10)),
            (&answer(1_000_000_000_000, None), range(5..10)),
        ] {
            let found = length(answer, wanted);
            assert!(
                matches!(found, Err(StoreErrorKind::UnexpectedAnswer(_))),
                "{answer:?}"
            );
        }
        assert_eq!(length(&answer(10, None), range(0..10)), Ok(Some(10)));
        let whole = |at_most| Extent::Whole { at_most };
        assert_eq!(length(&answer(10, None), whole(10)), Ok(Some(10)));
        let too_large = StoreErrorKind::TooLarge { at_most: 9 };
        assert_eq!(length(&answer(10, None), whole(9)), Err(too_large));
    }
}
