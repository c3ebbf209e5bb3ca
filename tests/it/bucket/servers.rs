//! Buckets on servers that nobody here wrote: what is copied, put again, verified and restored there.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::StorageClass;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::place::copy_key;
use super::restore::files;
use super::{BUCKET_SOURCE, ODD_KEYS, longest_key};
use crate::stores::foreign::{Foreign, KEY};
use crate::support::{BUCKET, Output, PREFIX, World};

/// The object that is replaced when its copy is asked for.
const RACING: &str = "patients/7/racing.jpg";

/// A key that can only be listed in an encoding.
const CONTROL: &str = "\u{1}\u{7f}control\n.txt";

/// What a server does otherwise than S3.
#[derive(Default)]
struct Differences {
    /// Keys that it does not take.
    refuses: &'static [&'static str],
    /// It forgets the storage class of what is put.
    has_no_classes: bool,
    /// It copies another version than the one that was asked for.
    ignores_conditions_of_sources: bool,
}

/// What an object has besides its bytes.
#[derive(Debug, PartialEq)]
struct Described {
    content_type: Option<String>,
    content_encoding: Option<String>,
    content_language: Option<String>,
    content_disposition: Option<String>,
    cache_control: Option<String>,
    metadata: BTreeMap<String, String>,
    class: Option<String>,
    tags: BTreeMap<String, String>,
}

struct Site {
    world: World,
    client: Client,
    runtime: Runtime,
    /// Set, it replaces [`RACING`] before its next copy.
    races: Arc<AtomicBool>,
}

impl Site {
    fn new(server: &Foreign) -> Self {
        let runtime = Runtime::new().unwrap();
        for bucket in [BUCKET, BUCKET_SOURCE] {
            runtime.block_on(server.create_bucket(bucket));
        }
        let races = Arc::new(AtomicBool::new(false));
        let mut world = World::new();
        world.env("AWS_ENDPOINT_URL", proxy(server, Arc::clone(&races)));
        world.env("AWS_ACCESS_KEY_ID", KEY);
        world.env("AWS_SECRET_ACCESS_KEY", KEY);
        world.configure(&format!(
            "backup:\n  s3: {{bucket: {BUCKET}, prefix: {PREFIX}}}\n  \
             sources: [{{name: documents, bucket: {{name: {BUCKET_SOURCE}}}}}]\n"
        ));
        Self {
            world,
            client: server.client(),
            runtime,
            races,
        }
    }

    fn put(&self, key: &str, contents: &str) {
        self.runtime.block_on(put(&self.client, key, contents));
    }

    fn put_with_all(&self, key: &str, contents: &str) {
        let put = self.client.put_object().bucket(BUCKET_SOURCE).key(key);
        let put = put
            .content_type("image/x-odd")
            .content_language("fr")
            .content_disposition("attachment; filename=\"x\"")
            .cache_control("max-age=60")
            .metadata("owner", "somebody")
            .tagging("team=web&purpose=a%20test")
            .storage_class(StorageClass::StandardIa)
            .body(ByteStream::from(contents.as_bytes().to_vec()));
        self.runtime.block_on(put.send()).unwrap();
    }

    fn get(&self, bucket: &str, key: &str) -> Vec<u8> {
        let get = self.client.get_object().bucket(bucket).key(key);
        let read = async { get.send().await.unwrap().body.collect().await.unwrap() };
        self.runtime.block_on(read).to_vec()
    }

    fn delete(&self, key: &str) {
        let delete = self.client.delete_object().bucket(BUCKET_SOURCE).key(key);
        self.runtime.block_on(delete.send()).unwrap();
    }

    fn described(&self, bucket: &str, key: &str) -> Described {
        let head = self.client.head_object().bucket(bucket).key(key);
        let head = self.runtime.block_on(head.send()).unwrap();
        let tags = self.client.get_object_tagging().bucket(bucket).key(key);
        let tags = self.runtime.block_on(tags.send()).unwrap().tag_set;
        Described {
            content_type: head.content_type,
            content_encoding: head.content_encoding,
            content_language: head.content_language,
            content_disposition: head.content_disposition,
            cache_control: head.cache_control,
            metadata: head.metadata.unwrap_or_default().into_iter().collect(),
            class: head.storage_class.map(|class| class.as_str().to_owned()),
            tags: tags.into_iter().map(|tag| (tag.key, tag.value)).collect(),
        }
    }

    fn entries(&self) -> BTreeMap<String, Value> {
        let output = self
            .world
            .offsite(["ls", "latest", "--source", "documents", "--json"]);
        assert_eq!(output.code, 0, "{output:?}");
        let entries: Vec<Value> = serde_json::from_str(&output.stdout).unwrap();
        let named = |entry: Value| (entry["name"].as_str().unwrap().to_owned(), entry);
        entries.into_iter().map(named).collect()
    }

    /// The key of the copy of an object.
    fn copy_of(&self, name: &str, entry: &Value) -> String {
        self.world.full_key(&copy_key(name, entry))
    }

    fn assert_copied(&self, expected: &BTreeMap<String, String>) {
        let entries = self.entries();
        let keys: BTreeSet<_> = entries.keys().collect();
        assert_eq!(keys, expected.keys().collect());
        for (name, entry) in &entries {
            let copy = self.get(BUCKET, &self.copy_of(name, entry));
            assert_eq!(copy, expected[name].as_bytes(), "{name}");
        }
    }

    fn assert_verified(&self) {
        for read in [&["verify"][..], &["verify", "--read"]] {
            let output = self.world.offsite(read);
            assert_eq!(output.code, 0, "{read:?}: {output:?}");
        }
    }
}

/// Puts an object with a tag: `S3Mock` answers with nothing at all when it is asked for the tags of one without.
async fn put(client: &Client, key: &str, contents: &str) {
    let put = client.put_object().bucket(BUCKET_SOURCE).key(key);
    let body = ByteStream::from(contents.as_bytes().to_vec());
    let put = put.tagging("kind=plain").body(body).send().await;
    put.unwrap_or_else(|error| panic!("{key}: {error:?}"));
}

/// A way to a server on which something can happen just before a copy.
fn proxy(server: &Foreign, races: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    let client = server.client();
    std::thread::spawn(move || {
        for incoming in listener.incoming() {
            let (near, far) = (incoming.unwrap(), TcpStream::connect(&address).unwrap());
            let back = (far.try_clone().unwrap(), near.try_clone().unwrap());
            let (races, client) = (Arc::clone(&races), client.clone());
            std::thread::spawn(move || forward(back.0, back.1, |_| ()));
            std::thread::spawn(move || {
                forward(near, far, |bytes| {
                    let text = String::from_utf8_lossy(bytes);
                    let is_copy = text.contains("x-amz-copy-source:") && text.contains(RACING);
                    if is_copy && races.swap(false, Ordering::SeqCst) {
                        let replace = put(&client, RACING, "replaced meanwhile");
                        Runtime::new().unwrap().block_on(replace);
                    }
                });
            });
        }
    });
    url
}

/// Forwards what comes, after a look at it, until the end.
fn forward(mut from: TcpStream, mut to: TcpStream, look: impl Fn(&[u8])) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        look(&buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}

fn copied(output: &Output) -> usize {
    output.events_named("object_copied").len()
}

/// Goes through all of it.
fn scenario(server: &Foreign, differences: &Differences) {
    let site = Site::new(server);
    let mut expected = BTreeMap::new();
    let longest = longest_key();
    let plain = [
        RACING,
        "patients/7/images/2025-01-02/scan 1.png",
        "patients/7/documents/letter.pdf",
        "filemaker-import/images-bulk-dump/1000.jpg",
        "exports/2025.json",
    ];
    let odd = ODD_KEYS.iter().copied().chain([&*longest]);
    for key in plain.into_iter().chain(odd) {
        if differences.refuses.contains(&key) {
            continue;
        }
        let contents = format!("contents of {key}");
        site.put(key, &contents);
        expected.insert(key.to_owned(), contents);
    }
    site.put_with_all("with all.jpg", "with all");
    expected.insert("with all.jpg".to_owned(), "with all".to_owned());

    // A first pass, on which an object is replaced between its listing and its copy.
    site.races.store(true, Ordering::SeqCst);
    let first = site.world.back_up();
    assert!(!site.races.load(Ordering::SeqCst), "nothing was replaced");
    assert_eq!(copied(&first), expected.len(), "{first:?}");
    expected.insert(RACING.to_owned(), "replaced meanwhile".to_owned());
    site.assert_copied(&expected);
    let original = site.described(BUCKET_SOURCE, "with all.jpg");
    let entry = site.entries()["with all.jpg"].clone();
    let copy = site.described(BUCKET, &site.copy_of("with all.jpg", &entry));
    assert_eq!(copy, original);
    assert_eq!(copy.tags.len(), 2);
    let has_class = copy.class.as_deref() == Some("STANDARD_IA");
    assert_eq!(has_class, !differences.has_no_classes, "{copy:?}");

    // Nothing has changed since, but that a server that does not look at versions has copied one that was not listed.
    let again = usize::from(differences.ignores_conditions_of_sources);
    assert_eq!(copied(&site.world.back_up()), again);
    assert_eq!(copied(&site.world.back_up()), 0);
    site.put("exports/2025.json", "another one");
    expected.insert("exports/2025.json".to_owned(), "another one".to_owned());
    site.delete("patients/7/documents/letter.pdf");
    expected.remove("patients/7/documents/letter.pdf");
    assert_eq!(copied(&site.world.back_up()), 1);
    site.assert_copied(&expected);
    site.assert_verified();

    restored_as_files(&site, &expected);
    restored_in_place(&site, &expected, &original);
}

fn restored_as_files(site: &Site, expected: &BTreeMap<String, String>) {
    let to = site.world.path("restored");
    let to_text = to.to_str().unwrap();
    let output = site
        .world
        .offsite(["restore", "--source", "documents", "--to", to_text]);
    assert_eq!(output.code, 0, "{output:?}");
    let mut contents: Vec<_> = files(&to).into_values().collect();
    assert_eq!(contents.len(), expected.len());
    contents.sort();
    let mut all: Vec<_> = expected
        .values()
        .map(|text| text.as_bytes().to_vec())
        .collect();
    all.sort();
    assert_eq!(contents, all);
}

/// None of these servers looks at the conditions of copies: they are found out, and their users have to say so.
fn restored_in_place(site: &Site, expected: &BTreeMap<String, String>, original: &Described) {
    site.delete("with all.jpg");
    site.put("exports/2025.json", "a mistake");
    let restore = [
        "restore",
        "--source",
        "documents",
        "--in-place",
        "--overwrite",
    ];
    let refused = site.world.offsite(restore);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("--unconditional"), "{refused:?}");
    let restored = site
        .world
        .offsite(restore.iter().chain(&["--unconditional"]));
    assert_eq!(restored.code, 0, "{restored:?}");
    for (key, contents) in expected {
        assert_eq!(site.get(BUCKET_SOURCE, key), contents.as_bytes(), "{key}");
    }
    assert_eq!(&site.described(BUCKET_SOURCE, "with all.jpg"), original);
}

#[test]
fn on_moto() {
    let differences = Differences {
        refuses: &[CONTROL],
        ignores_conditions_of_sources: true,
        ..Differences::default()
    };
    scenario(&Foreign::moto(), &differences);
}

#[test]
fn on_versitygw() {
    let Some(server) = Foreign::versitygw() else {
        return;
    };
    // It keeps objects as files, and lists control characters as something else.
    let differences = Differences {
        refuses: &["../up", "./here", "/absolute", "a", "a//b", "a/b/", CONTROL],
        has_no_classes: true,
        ..Differences::default()
    };
    scenario(&server, &differences);
}

#[test]
fn on_s3mock() {
    let Some(server) = Foreign::s3mock() else {
        return;
    };
    scenario(&server, &Differences::default());
}
