//! What has to be known to reach a store, besides its name.

use std::time::Duration;

use aws_credential_types::Credentials;

/// Bytes that pass a bandwidth limit at a time: small enough for an even flow.
pub(super) const PACE_BYTES: usize = 64 << 10;

/// The slowest transfer that is still worth waiting for, in bytes a second.
const SLOWEST_BYTES_PER_SECOND: u64 = 64 << 10;

/// How a store is reached. What a kind of store has no use for, it passes over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreOptions {
    /// Region; otherwise what the AWS environment says.
    pub region: Option<String>,
    /// URL of an S3-compatible store; otherwise what the AWS environment says.
    pub endpoint_url: Option<String>,
    /// Bucket in the path instead of the host name; by default with an endpoint of one's own.
    pub force_path_style: Option<bool>,
    /// Who asks; otherwise whoever the AWS environment says.
    pub credentials: Option<Credentials>,
    /// Profile of the AWS configuration files that says who asks, and the region unless it is given here.
    pub profile: Option<String>,
    /// Encryption at rest to ask for.
    pub encryption: Encryption,
    /// Bytes a second, up and down together.
    pub bandwidth_bytes_per_second: Option<u64>,
    /// How long the answer to a small request may take. S3 answers within a second; a body gets
    /// more time, by its size.
    pub request_timeout: Duration,
    /// Requests in flight at most; the slowest fair share of the bandwidth follows from it.
    pub concurrency: usize,
}

impl StoreOptions {
    /// The same, but for what was said of how something else is reached. Another profile brings its own region and
    /// credentials.
    #[must_use]
    pub fn but(self, profile: Option<&str>, region: Option<&str>, url: Option<&str>) -> Self {
        let own = match profile {
            Some(profile) => Self {
                profile: Some(profile.to_owned()),
                credentials: None,
                region: None,
                ..self
            },
            None => self,
        };
        Self {
            region: region.map(str::to_owned).or(own.region),
            endpoint_url: url.map(str::to_owned).or(own.endpoint_url),
            ..own
        }
    }

    /// Time for one attempt at moving so many bytes. Under a bandwidth limit everything waits until
    /// as much has gone as may be in flight before it.
    pub(super) fn timeout(&self, bytes: usize) -> Duration {
        let share = |rate: u64| rate / self.concurrency.max(1) as u64;
        let limited = self.bandwidth_bytes_per_second.map(share);
        let slowest = SLOWEST_BYTES_PER_SECOND.min(limited.unwrap_or(u64::MAX));
        let bytes = match limited {
            Some(_) => bytes.max(PACE_BYTES),
            None => bytes,
        };
        self.request_timeout + Duration::from_secs(bytes as u64 / slowest.max(1))
    }

    /// How long credentials are asked for where nobody gives them: a minute, unless requests may take
    /// another time than by default. An agent that restarts is back within seconds, throttling is over
    /// within a minute, and a lease lasts two.
    pub(super) fn credentials_patience(&self) -> Duration {
        self.request_timeout * 2
    }
}

/// Encryption at rest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Encryption {
    /// Whatever the bucket does by default.
    #[default]
    Bucket,
    /// SSE-S3.
    Aes256,
    /// SSE-KMS with a key, or with the account's own for S3.
    Kms {
        /// Id, alias or ARN of the key.
        key_id: Option<String>,
    },
}
