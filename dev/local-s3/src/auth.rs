//! Who may use the server: one access key and its secret.
//!
//! Signatures are verified by s3s. They are not judged by age: the clock of this server can be
//! moved by hours, and clients sign with the time that the server's `Date` header tells them.

use async_trait::async_trait;
use s3s::auth::{S3Auth, SecretKey};
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::{S3Result, s3_error};
use std::sync::Arc;

/// An access key and its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The access key id.
    pub access_key: String,
    /// The secret access key.
    pub secret_key: String,
}

impl Default for Credentials {
    fn default() -> Self {
        Self {
            access_key: "test".to_owned(),
            secret_key: "test".to_owned(),
        }
    }
}

#[async_trait]
impl S3Auth for Credentials {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == self.access_key {
            return Ok(SecretKey::from(self.secret_key.as_str()));
        }
        Err(s3_error!(
            InvalidAccessKeyId,
            "The AWS Access Key Id you provided does not exist in our records."
        ))
    }
}

/// A configuration of s3s under which a signature's age does not matter.
pub(crate) fn ageless_signatures() -> Arc<StaticConfigProvider> {
    let mut config = S3Config::default();
    config.presigned_url_max_skew_time_secs = u32::MAX;
    Arc::new(StaticConfigProvider::new(Arc::new(config)))
}
