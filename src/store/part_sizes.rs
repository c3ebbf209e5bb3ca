//! How long the parts of an object are: one schedule for everything that is sent in parts.
//!
//! Parts cost requests, and memory while they are filled and sent. S3 takes 10,000 parts of 5 GiB at most
//! (S3 user guide, "Amazon S3 multipart upload limits").

/// Parts are at least this large: enough to make the request negligible, small enough for several
/// to be in flight within the memory budget.
pub const PART_BYTES: usize = 8 << 20;

/// Contents whose length is known and not above this are sent whole, in one request, and their store keeps a SHA-256
/// of them. Parts would cost more requests and save no time; S3 itself asks for parts of 5 MiB or more.
pub const WHOLE_BYTES: u64 = 16 << 20;

/// Parts of an object of known length grow up to this before there are more than [`PARTS`]: half the
/// requests, which cost money and time, and still several in flight.
const LARGE_PART_BYTES: u64 = 16 << 20;

/// Parts that an object of known length should not exceed as long as they can be larger within reason.
const PARTS: u64 = 128;

/// S3 takes no more parts than this in one upload; longer objects get longer parts.
const MOST_PARTS: u64 = 10_000;

/// A part of a stream is no more than this share of what came before it, so that memory stays small
/// beside what is sent; 10,000 such parts hold 5 TiB.
const STREAM_SHARE: u64 = 1000;

/// No part of a stream is longer. It is filled while another one is sent, so this counts twice.
const LONGEST_STREAM_PART_BYTES: u64 = 1 << 30;

/// What is known of an object's length before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// So many bytes, unless it changes meanwhile.
    Known(u64),
    /// It ends when it ends.
    Unknown,
}

impl Length {
    /// Length in bytes of the part that follows `sent` bytes; the last one may be shorter.
    #[must_use]
    pub fn part_bytes(self, sent: u64) -> usize {
        // In whole MiB, and with room for no remainder to need one part more.
        let whole = |bytes: u64| bytes.next_multiple_of(1 << 20);
        let bytes = match self {
            Self::Known(size) => {
                let among = |parts| whole(size.div_ceil(parts));
                let reasonable = among(PARTS).clamp(PART_BYTES as u64, LARGE_PART_BYTES);
                among(MOST_PARTS).max(reasonable)
            }
            Self::Unknown => {
                whole(sent / STREAM_SHARE).clamp(PART_BYTES as u64, LONGEST_STREAM_PART_BYTES)
            }
        };
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// Requests that sending an object takes which turns out to have `size` bytes: one, or a beginning,
    /// the parts and an end.
    #[must_use]
    pub fn requests(self, size: u64) -> u64 {
        if size < self.part_bytes(0) as u64 {
            return 1;
        }
        let (mut parts, mut sent) = (0, 0);
        while sent < size {
            sent += self.part_bytes(sent) as u64;
            parts += 1;
        }
        2 + parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIB: u64 = 1 << 40;

    #[test]
    fn ten_thousand_parts_hold_the_largest_object() {
        for size in [0, 1, 1 << 20, 160 << 30, TIB, 5 * TIB] {
            let part = Length::Known(size).part_bytes(0) as u64;
            assert!(part * MOST_PARTS >= size && part <= 5 << 30, "{size}");
            assert_eq!(part % (1 << 20), 0);
        }
        let mut sent = 0;
        for _ in 0..MOST_PARTS {
            let part = Length::Unknown.part_bytes(sent) as u64;
            assert!(part <= (sent / 1000 + (1 << 20)).clamp(8 << 20, 1 << 30));
            sent += part;
        }
        assert!(sent >= 5 * TIB, "{sent}");
    }

    #[test]
    fn parts_are_short_while_there_are_few() {
        for length in [Length::Known(1 << 30), Length::Unknown] {
            assert_eq!(length.part_bytes(0), 8 << 20);
        }
        assert_eq!(Length::Known(2 << 30).part_bytes(0), 16 << 20);
        assert_eq!(Length::Known(100 << 30).part_bytes(0), 16 << 20);
        assert_eq!(Length::Unknown.part_bytes(8000 << 20), 8 << 20);
        assert_eq!(Length::Unknown.part_bytes(100 << 30), 103 << 20);
    }

    #[test]
    fn requests_are_those_of_the_parts() {
        assert_eq!(Length::Unknown.requests(0), 1);
        assert_eq!(Length::Unknown.requests((8 << 20) - 1), 1);
        assert_eq!(Length::Unknown.requests(8 << 20), 3);
        assert_eq!(Length::Unknown.requests((8 << 20) + 1), 4);
        assert_eq!(Length::Known(17 << 20).requests(17 << 20), 5);
    }
}
