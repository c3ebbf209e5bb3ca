//! What a bucket says of an object: the metadata of an entry that is one.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::entry::{Kind, Metadata};
use super::location::ETag;

/// What a listing says of an object, and what nothing but a request for it alone does, where that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectMetadata {
    /// The bucket's name for this version of its bytes, which counts under its own key alone.
    pub etag: ETag,
    /// When it was written, by the bucket's clock, in whole seconds.
    pub last_modified: Timestamp,
    /// What it was backed up as.
    pub category: String,
    /// Its storage class, where it is not STANDARD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The name of the version that was copied, where the bucket keeps versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What its tags come to, where a pass has looked at them; the copy has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags_sha256: Option<String>,
    /// What else it has, where its copy cannot have it: of an object that was read, not copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<ObjectHeaders>,
}

impl ObjectMetadata {
    /// What of it every entry has: its kind, its length and its time.
    #[must_use]
    pub fn common(&self, size: u64) -> Metadata {
        let mtime_ns = i64::try_from(self.last_modified.as_nanosecond());
        Metadata {
            kind: Kind::Object,
            size,
            mtime_ns: mtime_ns.unwrap_or_default(),
            ..Metadata::NOTHING
        }
    }

    /// Whether it is the version that was recorded as `then`, with the same tags where they were looked at now.
    #[must_use]
    pub fn likeness(&self, then: &Self) -> Likeness {
        if self.etag != then.etag {
            return Likeness::Other;
        }
        match (&self.tags_sha256, then.known_tags()) {
            (None, _) => Likeness::Same,
            (Some(now), Some(then)) if *now == then => Likeness::Same,
            (Some(_), Some(_)) => Likeness::Other,
            (Some(_), None) => Likeness::Unknown,
        }
    }

    /// What the tags of its copy come to, as far as that was recorded.
    fn known_tags(&self) -> Option<String> {
        let of_headers = |headers: &ObjectHeaders| tags_sha256(&headers.tags);
        (self.tags_sha256.clone()).or_else(|| self.headers.as_ref().map(of_headers))
    }
}

/// Whether an object is what was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likeness {
    /// It is.
    Same,
    /// It is not.
    Other,
    /// Its bytes are; of the rest less was recorded than is looked at now.
    Unknown,
}

/// SHA-256, in hex, of tags as a JSON object without spaces, in order of their keys.
#[must_use]
pub fn tags_sha256(tags: &BTreeMap<String, String>) -> String {
    let text = serde_json::to_vec(tags).expect("texts are plain data");
    hex::encode(Sha256::digest(text))
}

/// What an object has besides its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ObjectHeaders {
    /// `Content-Type`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// `Content-Encoding`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    /// `Content-Language`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_language: Option<String>,
    /// `Content-Disposition`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_disposition: Option<String>,
    /// `Cache-Control`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<String>,
    /// `Expires`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// User metadata, `x-amz-meta-…`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Tags.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(tags: Option<&str>) -> ObjectMetadata {
        ObjectMetadata {
            etag: ETag("e".to_owned()),
            last_modified: Timestamp::UNIX_EPOCH,
            category: "other".to_owned(),
            class: None,
            version: None,
            tags_sha256: tags.map(str::to_owned),
            headers: None,
        }
    }

    #[test]
    fn tags_count_where_they_are_looked_at() {
        let (none, one, other) = (object(None), object(Some("1")), object(Some("2")));
        assert_eq!(one.likeness(&one), Likeness::Same);
        assert_eq!(one.likeness(&other), Likeness::Other);
        assert_eq!(one.likeness(&none), Likeness::Unknown);
        assert_eq!(none.likeness(&one), Likeness::Same);
        let put_again = ObjectMetadata {
            etag: ETag("f".to_owned()),
            ..object(None)
        };
        assert_eq!(put_again.likeness(&none), Likeness::Other);
        // What was read has them in full.
        let tags = BTreeMap::from([("team".to_owned(), "web".to_owned())]);
        let read = ObjectMetadata {
            headers: Some(ObjectHeaders {
                tags: tags.clone(),
                ..ObjectHeaders::default()
            }),
            ..object(None)
        };
        assert_eq!(
            object(Some(&tags_sha256(&tags))).likeness(&read),
            Likeness::Same
        );
        assert_eq!(one.likeness(&read), Likeness::Other);
    }

    #[test]
    fn the_digest_of_tags_is_that_of_their_json() {
        let tags = [("team", "web"), ("purpose", "a test")];
        let tags = tags.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let json = br#"{"purpose":"a test","team":"web"}"#;
        assert_eq!(
            tags_sha256(&BTreeMap::from(tags)),
            hex::encode(Sha256::digest(json))
        );
    }
}
