//! What a store is called: `s3://bucket/prefix`.
//!
//! Nothing in it is percent-decoded, as in the AWS CLI: the prefix is written as it is.

use std::fmt;
use std::str::FromStr;

use crate::format::keys::PREFIX_MAX_BYTES;

/// The name of a store. The default names none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreUrl {
    pub(super) bucket: String,
    /// Put before every key: empty, or ending in `/`.
    pub(super) prefix: String,
}

/// Why something does not name a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadStore {
    /// It is not a URL with a scheme that is known.
    #[error("must start with `s3://`, the only kind of store that is known as yet")]
    Kind,
    /// The bucket cannot be one.
    #[error("is not a bucket name")]
    Bucket,
    /// The prefix leaves too little for keys.
    #[error("is longer than {PREFIX_MAX_BYTES} bytes")]
    Prefix,
}

impl BadStore {
    /// What will do instead.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Kind => "for example `s3://my-backups/team/`",
            Self::Bucket => {
                "3 to 63 lower-case letters, digits, `.` and `-`, without s3:// and prefix; or the ARN or alias of an access point"
            }
            Self::Prefix => "keys need the rest of S3's 1,024 bytes",
        }
    }
}

impl StoreUrl {
    /// A bucket and what all keys in it begin with.
    ///
    /// # Errors
    /// Either cannot be what it is meant to be.
    pub fn s3(bucket: &str, prefix: &str) -> Result<Self, BadStore> {
        let prefix = normal_prefix(prefix);
        match (is_bucket(bucket), prefix.len()) {
            (false, _) => Err(BadStore::Bucket),
            (true, ..=PREFIX_MAX_BYTES) => Ok(Self {
                bucket: bucket.to_owned(),
                prefix,
            }),
            _ => Err(BadStore::Prefix),
        }
    }

    /// The same with another bucket or prefix.
    ///
    /// # Errors
    /// Either cannot be what it is meant to be.
    pub fn with(&self, bucket: Option<&str>, prefix: Option<&str>) -> Result<Self, BadStore> {
        Self::s3(
            bucket.unwrap_or(&self.bucket),
            prefix.unwrap_or(&self.prefix),
        )
    }
}

impl FromStr for StoreUrl {
    type Err = BadStore;

    fn from_str(text: &str) -> Result<Self, BadStore> {
        let place = text.strip_prefix("s3://").ok_or(BadStore::Kind)?;
        // The ARN of an access point ends in its name, after a slash or a colon.
        let end_of_arn = match place.starts_with("arn:") {
            true => place
                .find("accesspoint")
                .map_or(0, |at| at + "accesspoint/".len()),
            false => 0,
        };
        let name = place.get(end_of_arn..).unwrap_or_default();
        let end = end_of_arn + name.find('/').unwrap_or(name.len());
        let (bucket, prefix) = place.split_at_checked(end).unwrap_or((place, ""));
        Self::s3(bucket, prefix)
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

/// Names of general purpose buckets, from the S3 user guide, "Bucket naming rules"; ARNs are left
/// to the SDK.
fn is_bucket(name: &str) -> bool {
    let fits =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
    name.starts_with("arn:") || ((3..=63).contains(&name.len()) && name.bytes().all(fits))
}

/// Without a slash at the beginning, which S3 would take for an empty folder, and with one at the
/// end.
fn normal_prefix(prefix: &str) -> String {
    match prefix.trim_matches('/') {
        "" => String::new(),
        prefix => format!("{prefix}/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_its_url() {
        let arn = "arn:aws:s3:us-east-1:123456789012:accesspoint/mine";
        for (text, bucket, prefix) in [
            ("s3://backups", "backups", ""),
            ("s3://backups/", "backups", ""),
            ("s3://backups/team", "backups", "team/"),
            ("s3://backups//a b/%41/", "backups", "a b/%41/"),
            (&format!("s3://{arn}"), arn, ""),
            (&format!("s3://{arn}/team/x"), arn, "team/x/"),
        ] {
            let url = StoreUrl::s3(bucket, prefix).unwrap();
            assert_eq!(text.parse(), Ok(url.clone()), "{text}");
            assert_eq!(url.to_string().parse(), Ok(url), "{text}");
        }
        for (text, problem) in [
            ("", BadStore::Kind),
            ("backups", BadStore::Kind),
            ("/backups/media", BadStore::Kind),
            ("gs://backups/team", BadStore::Kind),
            ("s3://", BadStore::Bucket),
            ("s3:///team", BadStore::Bucket),
            ("s3://Backups/team", BadStore::Bucket),
            (
                &format!("s3://backups/{}", "x".repeat(124)),
                BadStore::Prefix,
            ),
        ] {
            assert_eq!(text.parse::<StoreUrl>(), Err(problem), "{text}");
        }
    }
}
