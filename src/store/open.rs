//! Opening a store: the one place that knows which kinds there are. Above it nobody asks.

use std::sync::Arc;

use super::directory::DirectoryStore;
use super::s3::S3Store;
use super::url::StoreUrl;
use super::{Store, StoreOptions};

/// Makes ready to talk to a store; sends nothing yet.
pub async fn open(url: &StoreUrl, options: &StoreOptions) -> Arc<dyn Store> {
    match url {
        StoreUrl::S3(url) => Arc::new(S3Store::connect(url.clone(), options.clone()).await),
        StoreUrl::Directory(path) => Arc::new(DirectoryStore::at(path)),
    }
}
