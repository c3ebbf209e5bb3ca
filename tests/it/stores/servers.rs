//! Servers, and stores in them.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use local_s3::LocalS3;
use offsite::store::open::open;
use offsite::store::url::StoreUrl;
use offsite::store::{Store, StoreOptions};

use super::Stand;

const BUCKET: &str = "stores";

/// For a server to listen, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

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
pub(super) async fn foreign(case: &'static str, url: String) -> Stand {
    let credentials = as_credentials("test", "test");
    create_bucket(&url, credentials.clone()).await;
    Stand {
        store: tried(case, url, credentials).await,
        server: None,
    }
}

/// Makes the bucket, unless it is there.
async fn create_bucket(url: &str, credentials: Credentials) {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .endpoint_url(url)
        .credentials_provider(credentials)
        .force_path_style(true)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    let client = aws_sdk_s3::Client::from_conf(config);
    let head = client.head_bucket().bucket(BUCKET).send();
    if head.await.is_err() {
        client.create_bucket().bucket(BUCKET).send().await.unwrap();
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

/// A versitygw server over a directory; its process ends with this value.
pub(super) struct VersityGw {
    child: Child,
    url: String,
    _directory: tempfile::TempDir,
}

impl VersityGw {
    /// Starts what `dev/setup test` has installed; `None` where it could not.
    pub(super) fn start() -> Option<Self> {
        let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin/versitygw");
        if !installed.exists() {
            return None;
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let directory = tempfile::tempdir().unwrap();
        let child = Command::new(installed)
            .args(["--port", &address.to_string(), "posix"])
            .arg(directory.path())
            .env("ROOT_ACCESS_KEY", "test")
            .env("ROOT_SECRET_KEY", "test")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self {
            child,
            url: format!("http://{address}"),
            _directory: directory,
        };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(begun.elapsed() < PATIENCE, "versitygw does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(server)
    }

    pub(super) fn url(&self) -> String {
        self.url.clone()
    }
}

impl Drop for VersityGw {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
