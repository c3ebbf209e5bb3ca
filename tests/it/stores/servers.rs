//! Servers, and stores in them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use local_s3::LocalS3;
use offsite::store::open::open;
use offsite::store::url::StoreUrl;
use offsite::store::{Store, StoreOptions};

use super::Stand;
use super::foreign::{Foreign, KEY};

const BUCKET: &str = "stores";

/// A server of its own for each case, which may make it fail.
pub(super) async fn local_s3(case: &'static str) -> Stand {
    let server = LocalS3::builder().bucket(BUCKET).start().unwrap();
    let keys = server.credentials();
    let credentials = as_credentials(&keys.access_key, &keys.secret_key);
    let store = tried(case, server.endpoint(), credentials).await;
    Stand {
        store,
        server: Some(server),
    }
}

/// A directory of its own for each case.
pub(super) async fn directory(folder: &Path, case: &'static str) -> Stand {
    let path = folder.join(case.replace("::", "-"));
    std::fs::create_dir(&path).unwrap();
    let url: StoreUrl = path.to_str().unwrap().parse().unwrap();
    Stand {
        store: open(&url, &StoreOptions::default()).await,
        server: None,
    }
}

/// A server that is nobody's here, with a bucket for all cases, and a prefix for each.
pub(super) async fn foreign(case: &'static str, server: &Foreign) -> Stand {
    server.create_bucket(BUCKET).await;
    Stand {
        store: tried(case, server.url.clone(), as_credentials(KEY, KEY)).await,
        server: None,
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

/// A store that relies on what its server can do. That is tried beside it, as it leaves an object.
async fn tried(case: &str, endpoint_url: String, credentials: Credentials) -> Arc<dyn Store> {
    let beside = open_at("tried", endpoint_url.clone(), credentials.clone()).await;
    let store = open_at(case, endpoint_url, credentials).await;
    store.rely_on(beside.try_out().await.unwrap());
    store
}

fn as_credentials(access_key: &str, secret_key: &str) -> Credentials {
    Credentials::new(access_key, secret_key, None, None, "test")
}
