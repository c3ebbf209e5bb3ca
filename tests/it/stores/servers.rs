//! Servers, and stores in them.

use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use local_s3::LocalS3;
use offsite::store::open::{StoreUrl, open};
use offsite::store::{Store, StoreOptions};

use super::Stand;

const BUCKET: &str = "stores";

/// A server of its own for each case, which may make it fail.
pub(super) async fn local_s3(case: &'static str) -> Stand {
    let server = LocalS3::builder().bucket(BUCKET).start().unwrap();
    let keys = server.credentials();
    let credentials = as_credentials(&keys.access_key, &keys.secret_key);
    let store = open_at(case, server.endpoint(), credentials).await;
    Stand {
        store,
        server: Some(server),
    }
}

async fn open_at(case: &str, endpoint_url: String, credentials: Credentials) -> Arc<dyn Store> {
    let url = StoreUrl::s3(BUCKET, case).unwrap();
    let options = StoreOptions {
        region: Some("us-east-1".to_owned()),
        endpoint_url: Some(endpoint_url),
        credentials: Some(credentials),
        request_timeout: Duration::from_secs(30),
        concurrency: 8,
        ..StoreOptions::default()
    };
    open(&url, &options).await
}

fn as_credentials(access_key: &str, secret_key: &str) -> Credentials {
    Credentials::new(access_key, secret_key, None, None, "test")
}
