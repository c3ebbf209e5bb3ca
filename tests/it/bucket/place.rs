//! A bucket with objects of all kinds in it, and a machine that backs it up.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use aws_credential_types::Credentials;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{StorageClass, Tag, Tagging};
use local_s3::LocalS3;
use serde_json::Value;

use crate::support::{BUCKET, PREFIX, World};

/// The bucket that is backed up.
pub(crate) const BUCKET_SOURCE: &str = "documents";

/// The name of the source.
pub(super) const NAME: &str = "documents";

/// Keys that no file can have, or that look like others.
pub(crate) const ODD_KEYS: [&str; 16] = [
    "../up",
    "./here",
    "/absolute",
    "a",
    "a ",
    "a//b",
    "a/b",
    "a/b/",
    "ends in a space ",
    "plus+and&amp;<xml>.pdf",
    "50%.jpg",
    "50%25.jpg",
    "\u{1}\u{7f}control\n.txt",
    "Grüße/日本語.jpg",
    "é decomposed: e\u{301}.jpg",
    "%long/0",
];

/// A world whose source is a bucket.
pub(crate) struct Documents {
    world: World,
    client: aws_sdk_s3::Client,
    runtime: tokio::runtime::Runtime,
}

impl Deref for Documents {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl DerefMut for Documents {
    fn deref_mut(&mut self) -> &mut World {
        &mut self.world
    }
}

impl Documents {
    pub(crate) fn new() -> Self {
        Self::on(super::server())
    }

    pub(crate) fn on(server: LocalS3) -> Self {
        let documents = Self {
            client: client(&server.endpoint()),
            runtime: tokio::runtime::Runtime::new().unwrap(),
            world: World::with_server(server),
        };
        documents.configure_bucket("");
        documents
    }

    /// Backs up the bucket with these settings besides its name, each with a comma before it.
    pub(crate) fn configure_bucket(&self, settings: &str) {
        self.configure(&format!(
            "backup:\n  s3: {{bucket: {BUCKET}, prefix: {PREFIX}}}\n  \
             sources: [{{name: {NAME}, bucket: {{name: {BUCKET_SOURCE}{settings}}}}}]\n"
        ));
    }

    /// Puts an object with nothing particular about it.
    pub(crate) fn put(&self, key: &str, contents: impl AsRef<[u8]>) {
        let body = contents.as_ref().to_vec();
        self.server.replace(BUCKET_SOURCE, key, body);
    }

    /// Puts an object with everything that an object can have, as a client does.
    pub(crate) fn put_with_all(&self, key: &str, contents: impl AsRef<[u8]>) {
        let put = self
            .client
            .put_object()
            .bucket(BUCKET_SOURCE)
            .key(key)
            .content_type("image/x-odd")
            .content_encoding("identity")
            .content_language("fr")
            .content_disposition("attachment; filename=\"x\"")
            .cache_control("max-age=60")
            .metadata("owner", "somebody")
            .metadata("empty", "")
            .tagging("team=web&purpose=a%20test")
            .storage_class(StorageClass::StandardIa)
            .body(ByteStream::from(contents.as_ref().to_vec()));
        self.runtime.block_on(put.send()).unwrap();
    }

    /// Puts an object as a client does, and returns the name of its version.
    pub(crate) fn put_version(&self, key: &str, contents: impl AsRef<[u8]>) -> String {
        let put = self.client.put_object().bucket(BUCKET_SOURCE).key(key);
        let put = put.body(ByteStream::from(contents.as_ref().to_vec()));
        let put = self.runtime.block_on(put.send()).unwrap();
        put.version_id.unwrap()
    }

    /// What a version has.
    pub(crate) fn version(&self, key: &str, version: &str) -> Vec<u8> {
        let get = self.client.get_object().bucket(BUCKET_SOURCE).key(key);
        let get = get.version_id(version);
        let read = async { get.send().await.unwrap().body.collect().await.unwrap() };
        self.runtime.block_on(read).to_vec()
    }

    /// Gives an object these tags, and no others.
    pub(crate) fn tag(&self, key: &str, tags: &[(&str, &str)]) {
        let tag = |(name, value): &(&str, &str)| Tag::builder().key(*name).value(*value).build();
        let tags = tags.iter().map(|pair| tag(pair).unwrap()).collect();
        let tagging = Tagging::builder().set_tag_set(Some(tags)).build().unwrap();
        let put = self.client.put_object_tagging().bucket(BUCKET_SOURCE);
        let put = put.key(key).tagging(tagging);
        self.runtime.block_on(put.send()).unwrap();
    }

    pub(crate) fn put_odd_keys(&self) {
        for key in ODD_KEYS {
            self.put(key, format!("contents of {key}"));
        }
        self.put(&longest_key(), "contents of the longest key");
    }

    /// Puts an object from within a hook, as somebody else does.
    pub(crate) fn replacer(&self) -> impl Fn(&str, &str) + Send + Sync + 'static {
        let put = self.by_somebody_else();
        move |key, contents| put(key.to_owned(), Some(contents.to_owned()))
    }

    /// Deletes one.
    pub(crate) fn remover(&self) -> impl Fn(&str) + Send + Sync + 'static {
        let put = self.by_somebody_else();
        move |key| put(key.to_owned(), None)
    }

    fn by_somebody_else(&self) -> impl Fn(String, Option<String>) + Send + Sync + 'static {
        let endpoint = self.server.endpoint();
        move |key, contents| {
            let endpoint = endpoint.clone();
            let request = async move {
                let client = client(&endpoint);
                match contents {
                    Some(contents) => {
                        let body = ByteStream::from(contents.into_bytes());
                        let put = client.put_object().bucket(BUCKET_SOURCE).key(key);
                        put.body(body).send().await.map(drop).unwrap();
                    }
                    None => {
                        let delete = client.delete_object().bucket(BUCKET_SOURCE).key(key);
                        delete.send().await.map(drop).unwrap();
                    }
                }
            };
            let thread = std::thread::spawn(|| {
                tokio::runtime::Runtime::new().unwrap().block_on(request);
            });
            thread.join().unwrap();
        }
    }

    /// What lies in the bucket, markers aside.
    pub(crate) fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        self.contents_of(BUCKET_SOURCE)
    }

    pub(crate) fn contents_of(&self, bucket: &str) -> BTreeMap<String, Vec<u8>> {
        let keys = self.server.keys(bucket).into_iter();
        let contents = keys.map(|key| {
            let object = self.server.object(bucket, &key).unwrap();
            (key, object.bytes.to_vec())
        });
        contents
            .filter(|(key, bytes)| !(bytes.is_empty() && key.ends_with('/')))
            .collect()
    }

    /// The entries of the latest snapshot, by key.
    pub(crate) fn entries(&self) -> BTreeMap<String, Value> {
        let output = self.offsite(["ls", "latest", "--source", NAME, "--json"]);
        assert_eq!(output.code, 0, "{output:?}");
        let entries: Vec<Value> = serde_json::from_str(&output.stdout).unwrap();
        let named = |entry: Value| (entry["name"].as_str().unwrap().to_owned(), entry);
        entries.into_iter().map(named).collect()
    }

    /// What the store has for the entries of the latest snapshot, by key of the source.
    pub(crate) fn copies(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = self.entries().into_iter();
        let copies = entries.map(|(name, entry)| {
            let key = copy_key(&name, &entry);
            let copy = self.server.object(BUCKET, &self.full_key(&key));
            let copy = copy.unwrap_or_else(|| panic!("no {key} for {name}"));
            (name, copy.bytes.to_vec())
        });
        copies.collect()
    }

    /// The key of the copy of an object, under the prefix of the store.
    pub(crate) fn copy_of(&self, name: &str) -> String {
        copy_key(name, &self.entries()[name])
    }
}

fn client(endpoint: &str) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .force_path_style(true)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

/// Where docs/FORMAT.md says that a copy is.
pub(crate) fn copy_key(name: &str, entry: &Value) -> String {
    match entry["key"].as_str() {
        Some(key) => key.to_owned(),
        None => {
            let pass = entry["pass"].as_str().unwrap();
            let category = entry["object"]["category"].as_str().unwrap();
            let key = format!("copies/{NAME}/{pass}/{category}/{name}");
            match key.len() {
                ..=900 => key,
                _ => {
                    use sha2::{Digest as _, Sha256};
                    let digest = hex::encode(Sha256::digest(name));
                    format!("copies/{NAME}/{pass}/%long/{digest}")
                }
            }
        }
    }
}

/// As long as S3 allows.
pub(crate) fn longest_key() -> String {
    let mut key = "deep/".repeat(200);
    key.push_str(&"x".repeat(1024 - key.len() - 4));
    key.push_str(".pdf");
    assert_eq!(key.len(), 1024);
    key
}
