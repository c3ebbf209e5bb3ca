//! What a store is called: `s3://bucket/prefix`, or the path of a directory.
//!
//! Nothing in a URL is percent-decoded, as in the AWS CLI: the prefix is written as it is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::format::keys::PREFIX_MAX_BYTES;

/// The name of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// In a bucket.
    S3(BucketUrl),
    /// In a directory.
    Directory(PathBuf),
}

/// The name of a store in a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BucketUrl {
    pub(super) bucket: String,
    /// Put before every key: empty, or ending in `/`.
    pub(super) prefix: String,
}

/// Why something does not name a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadStore {
    /// It is neither a URL with a scheme that is known nor a path that is clearly one.
    #[error(
        "must start with `s3://`, or be the path of a directory, which starts with `/`, `./` or `../`"
    )]
    Kind,
    /// The bucket cannot be one.
    #[error("is not a bucket name")]
    Bucket,
    /// The prefix leaves too little for keys.
    #[error("is longer than {PREFIX_MAX_BYTES} bytes")]
    Prefix,
    /// There is a prefix, and no bucket.
    #[error("is of no use: the store is the directory `{0}`")]
    PrefixOfDirectory(String),
}

impl BadStore {
    /// What will do instead.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Kind => "for example `s3://my-backups/team/` or `/backups/team`",
            Self::Bucket => {
                "3 to 63 lower-case letters, digits, `.` and `-`, without s3:// and prefix; or the ARN or alias of an access point"
            }
            Self::Prefix => "keys need the rest of S3's 1,024 bytes",
            Self::PrefixOfDirectory(_) => {
                "leave it out, or name the whole directory as `backup.store`"
            }
        }
    }
}

impl BucketUrl {
    /// The bucket.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// What every key begins with: empty, or ending in `/`.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl Default for StoreUrl {
    /// Names none.
    fn default() -> Self {
        Self::S3(BucketUrl::default())
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
            (true, ..=PREFIX_MAX_BYTES) => Ok(Self::S3(BucketUrl {
                bucket: bucket.to_owned(),
                prefix,
            })),
            _ => Err(BadStore::Prefix),
        }
    }

    /// The same with another bucket or prefix. A bucket takes the place of a directory.
    ///
    /// # Errors
    /// Either cannot be what it is meant to be.
    pub fn with(&self, bucket: Option<&str>, prefix: Option<&str>) -> Result<Self, BadStore> {
        match (self, bucket, prefix) {
            (Self::S3(url), ..) => {
                Self::s3(bucket.unwrap_or(&url.bucket), prefix.unwrap_or(&url.prefix))
            }
            (Self::Directory(_), Some(bucket), prefix) => {
                Self::s3(bucket, prefix.unwrap_or_default())
            }
            (Self::Directory(path), None, Some(_)) => {
                Err(BadStore::PrefixOfDirectory(path.display().to_string()))
            }
            (Self::Directory(_), None, None) => Ok(self.clone()),
        }
    }

    /// The directory, where the store is in one.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::S3(_) => None,
            Self::Directory(path) => Some(path),
        }
    }
}

impl FromStr for StoreUrl {
    type Err = BadStore;

    fn from_str(text: &str) -> Result<Self, BadStore> {
        if matches!(text, "." | "..") || ["/", "./", "../"].iter().any(|way| text.starts_with(way))
        {
            // Without a slash at the end, and with one where there is nothing else.
            return Ok(Self::Directory(Path::new(text).components().collect()));
        }
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
        match self {
            Self::S3(url) => url.fmt(f),
            Self::Directory(path) => path.display().fmt(f),
        }
    }
}

impl fmt::Display for BucketUrl {
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
        for (text, path) in [
            ("/backups/media", "/backups/media"),
            ("/backups//media/", "/backups/media"),
            ("/", "/"),
            ("./here", "./here"),
            ("..", ".."),
        ] {
            let url = StoreUrl::Directory(path.into());
            assert_eq!(text.parse(), Ok(url.clone()), "{text}");
            assert_eq!(url.to_string().parse(), Ok(url), "{text}");
        }
        for (text, problem) in [
            ("", BadStore::Kind),
            ("backups", BadStore::Kind),
            ("backups/media", BadStore::Kind),
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
