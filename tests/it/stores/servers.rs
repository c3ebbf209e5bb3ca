//! Servers, and stores in them.

use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use local_s3::LocalS3;
use offsite::store::s3::{S3Settings, S3Store};

use super::Stand;

const BUCKET: &str = "stores";

/// A server of its own for each case, which may make it fail.
pub(super) async fn local_s3(case: &'static str) -> Stand {
    let server = LocalS3::builder().bucket(BUCKET).start().unwrap();
    let keys = server.credentials();
    let credentials = as_credentials(&keys.access_key, &keys.secret_key);
    let settings = settings(case, server.endpoint(), credentials);
    Stand {
        store: Arc::new(S3Store::connect(settings).await),
        server: Some(server),
    }
}

fn settings(case: &str, endpoint_url: String, credentials: Credentials) -> S3Settings {
    S3Settings {
        bucket: BUCKET.to_owned(),
        prefix: format!("{case}/"),
        region: Some("us-east-1".to_owned()),
        endpoint_url: Some(endpoint_url),
        credentials: Some(credentials),
        request_timeout: Duration::from_secs(30),
        concurrency: 8,
        ..S3Settings::default()
    }
}

fn as_credentials(access_key: &str, secret_key: &str) -> Credentials {
    Credentials::new(access_key, secret_key, None, None, "test")
}
