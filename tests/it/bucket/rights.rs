//! The rights that docs/BUCKETS.md lists are those that passes, `verify` and restores need, and no others.
//!
//! What S3 asks for each request is from the Service Authorization Reference and from the pages of the S3 API about
//! `CopyObject` and `UploadPartCopy`.

use std::collections::BTreeSet;

use local_s3::{Fault, LoggedRequest, Operation};
use serde_json::Value;

use super::{BUCKET_SOURCE, Documents};
use crate::support::{BUCKET, PREFIX, noise};

/// Where a further store is, beside the first one.
const FURTHER: &str = "further/";

/// A right: what may be done, and with what.
type Right = (String, String);

/// The lists of rights in the documentation, in their order, with the names that the tests have.
fn documented() -> [BTreeSet<Right>; 4] {
    let page = include_str!("../../../docs/BUCKETS.md");
    let (_, section) = page.split_once("\n## Rights\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let blocks = section.split("```json\n").skip(1);
    let lists: Vec<_> = blocks
        .map(|block| rights_of(block.split_once("```").unwrap().0))
        .collect();
    lists
        .try_into()
        .expect("two lists for a pass and two for a restore")
}

fn rights_of(policy: &str) -> BTreeSet<Right> {
    let policy = policy
        .replace("our-backups/team/", &format!("{BUCKET}/{PREFIX}"))
        .replace("our-backups", BUCKET)
        .replace("our-documents", BUCKET_SOURCE);
    let statements: Vec<Value> = serde_json::from_str(&policy).unwrap();
    let mut rights = BTreeSet::new();
    for statement in statements {
        assert_eq!(statement["Effect"], "Allow");
        let resource = statement["Resource"].as_str().unwrap();
        let actions = match &statement["Action"] {
            Value::Array(actions) => actions.clone(),
            action => vec![action.clone()],
        };
        for action in actions {
            rights.insert((action.as_str().unwrap().to_owned(), resource.to_owned()));
        }
    }
    rights
}

/// What S3 asks of whoever sends a request.
fn asked(request: &LoggedRequest) -> Vec<Right> {
    let bucket = request.bucket.as_deref().unwrap();
    let whole = format!("arn:aws:s3:::{bucket}");
    let object = format!("{whole}/{}", request.key.as_deref().unwrap_or_default());
    let right = |action: &str, on: &str| (format!("s3:{action}"), on.to_owned());
    let source = || {
        let source = request.header("x-amz-copy-source").unwrap();
        let source = percent_encoding::percent_decode_str(source).decode_utf8();
        let source = source.unwrap();
        format!("arn:aws:s3:::{}", source.trim_start_matches('/'))
    };
    let tagged = || request.header("x-amz-tagging").is_some();
    let mut rights = Vec::new();
    match request.operation {
        Operation::ListObjectsV2 => rights.push(right("ListBucket", &whole)),
        Operation::ListMultipartUploads => {
            rights.push(right("ListBucketMultipartUploads", &whole));
        }
        Operation::GetObject | Operation::HeadObject => rights.push(right("GetObject", &object)),
        Operation::GetObjectTagging => rights.push(right("GetObjectTagging", &object)),
        Operation::AbortMultipartUpload => rights.push(right("AbortMultipartUpload", &object)),
        Operation::PutObject | Operation::CreateMultipartUpload => {
            rights.push(right("PutObject", &object));
            if tagged() {
                rights.push(right("PutObjectTagging", &object));
            }
        }
        Operation::UploadPart | Operation::CompleteMultipartUpload => {
            rights.push(right("PutObject", &object));
        }
        Operation::UploadPartCopy => {
            rights.push(right("GetObject", &source()));
            rights.push(right("PutObject", &object));
        }
        Operation::CopyObject => {
            rights.push(right("GetObject", &source()));
            rights.push(right("PutObject", &object));
            let copies_tags = request.header("x-amz-tagging-directive") != Some("REPLACE");
            if copies_tags {
                rights.push(right("GetObjectTagging", &source()));
            }
            if copies_tags || tagged() {
                rights.push(right("PutObjectTagging", &object));
            }
        }
        other => panic!("{} takes rights that nobody has", other.name()),
    }
    assert!(!request.query.contains("versionId"), "{}", request.query);
    for header in ["x-amz-acl", "x-amz-object-lock-mode", "x-amz-grant-read"] {
        assert_eq!(request.header(header), None);
    }
    rights
}

/// The rights that requests took of those that there are.
///
/// # Panics
///
/// If one took another.
fn taken(requests: &[LoggedRequest], rights: &BTreeSet<Right>) -> BTreeSet<Right> {
    let mut taken = BTreeSet::new();
    for request in requests {
        for (action, on) in asked(request) {
            let covers = |right: &&Right| {
                let is_on = match right.1.strip_suffix('*') {
                    Some(start) => on.starts_with(start),
                    None => right.1 == on,
                };
                right.0 == action && is_on
            };
            let right = rights.iter().find(covers);
            let right = right.unwrap_or_else(|| panic!("no right to {action} on {on}"));
            taken.insert(right.clone());
        }
    }
    taken
}

/// Objects that go at once and in parts, with all that objects can have.
fn documents() -> Documents {
    let mut world = Documents::new();
    world.set("LIMITS__COPY_WHOLE", "5MiB");
    world.put_odd_keys();
    world.put_with_all("small.jpg", "contents");
    world.put_with_all("large.pdf", noise(3, (12 << 20) + 5));
    world
}

fn without_tags(rights: &BTreeSet<Right>) -> BTreeSet<Right> {
    let others = rights
        .iter()
        .filter(|(action, _)| !action.ends_with("Tagging"));
    others.cloned().collect()
}

/// A first pass, an unchanged one, one that fails in an upload, one that goes on, and `verify`.
fn passes(world: &Documents) -> Vec<LoggedRequest> {
    let mut requests = world.requests_of(|| {
        world.back_up();
        world.back_up();
    });
    world.put_with_all("failing.pdf", noise(4, (12 << 20) + 5));
    requests.extend(world.requests_of(|| {
        refused_parts(world, &["run"]);
        world.back_up();
        for args in [&["verify"][..], &["verify", "--read"]] {
            let verified = world.offsite(args);
            assert_eq!(verified.code, 0, "{verified:?}");
        }
    }));
    requests
}

/// Runs a command while no part can be copied.
fn refused_parts(world: &Documents, args: &[&str]) {
    let refused = Fault::on(Operation::UploadPartCopy).status(403, "AccessDenied");
    world.server.fault(refused.always());
    assert_ne!(world.offsite(args).code, 0);
    world.server.clear_faults();
}

#[test]
fn a_pass_and_verify_take_the_documented_rights_and_no_others() {
    let [bucket, store, ..] = documented();
    let rights = &bucket | &store;
    let world = documents();
    assert_eq!(taken(&passes(&world), &rights), rights);
}

#[test]
fn without_tags_neither_reading_nor_writing_them_is_needed() {
    let [bucket, store, ..] = documented();
    let rights = without_tags(&(&bucket | &store));
    let world = documents();
    world.configure_bucket(", tags: ignore");
    assert_eq!(taken(&passes(&world), &rights), rights);
}

#[test]
fn a_restore_into_the_bucket_takes_the_documented_rights_and_no_others() {
    let [.., store, bucket] = documented();
    let rights = &store | &bucket;
    let world = documents();
    world.back_up();
    let restore = ["restore", "--source", "documents", "--in-place"];
    for key in world.server.keys(BUCKET_SOURCE) {
        assert!(world.server.remove(BUCKET_SOURCE, &key));
    }
    let mut requests = world.requests_of(|| {
        refused_parts(&world, &restore);
        let restored = world.offsite(restore);
        assert_eq!(restored.code, 0, "{restored:?}");
    });
    world.put_with_all("small.jpg", "ruined");
    requests.extend(world.requests_of(|| {
        let replaced = world.offsite([&restore[..], &["--overwrite"]].concat());
        assert_eq!(replaced.code, 0, "{replaced:?}");
    }));
    assert_eq!(taken(&requests, &rights), rights);
}

#[test]
fn a_restore_into_a_directory_only_lists_and_reads_the_store() {
    let [_, store, ..] = documented();
    let reads = ["s3:ListBucket", "s3:GetObject"];
    let rights: BTreeSet<_> = store
        .into_iter()
        .filter(|(action, _)| reads.contains(&action.as_str()))
        .collect();
    let world = documents();
    world.back_up();
    let requests = world.requests_of(|| {
        let to = world.path("restored");
        let to = to.to_str().unwrap();
        let restored = world.offsite(["restore", "--source", "documents", "--to", to]);
        assert!([0, 3].contains(&restored.code), "{restored:?}");
    });
    assert_eq!(taken(&requests, &rights), rights);
}

#[test]
fn a_further_store_takes_the_tags_of_copies_besides() {
    let [bucket, store, ..] = documented();
    let mut rights = &bucket | &store;
    rights.insert(("s3:GetObjectTagging".to_owned(), objects_below(PREFIX)));
    let there = [
        "GetObject",
        "PutObject",
        "AbortMultipartUpload",
        "PutObjectTagging",
    ];
    rights.extend(there.map(|action| (format!("s3:{action}"), objects_below(FURTHER))));
    let world = documents();
    world.configure(&format!(
        "backup:\n  s3: {{bucket: {BUCKET}, prefix: {PREFIX}}}\n  \
         copies: [{{store: 's3://{BUCKET}/{FURTHER}'}}]\n  \
         sources: [{{name: documents, bucket: {{name: {BUCKET_SOURCE}}}}}]\n"
    ));
    let requests = world.requests_of(|| {
        let output = world.back_up();
        assert_eq!(output.event("snapshot_copied")["source"], "documents");
    });
    let taken = taken(&requests, &rights);
    for (action, on) in [("GetObjectTagging", PREFIX), ("PutObjectTagging", FURTHER)] {
        let right = (format!("s3:{action}"), objects_below(on));
        assert!(taken.contains(&right), "{right:?}");
    }
}

/// As Terraform gives them: objects below the prefix, and a condition on what is listed.
#[test]
fn with_a_prefix_nothing_beside_it_is_asked_for() {
    let everything = format!("arn:aws:s3:::{BUCKET_SOURCE}/*");
    let below = format!("arn:aws:s3:::{BUCKET_SOURCE}/uploads/*");
    let narrow = |(action, on): Right| match on == everything {
        true => (action, below.clone()),
        false => (action, on),
    };
    let rights = documented().into_iter().flatten().map(narrow).collect();
    let world = Documents::new();
    world.configure_bucket(", prefix: uploads/");
    world.put("beside.jpg", "beside");
    world.put_with_all("uploads/in.jpg", "in");
    let requests = world.requests_of(|| {
        world.back_up();
        world.server.remove(BUCKET_SOURCE, "uploads/in.jpg");
        let restored = world.offsite(["restore", "--source", "documents", "--in-place"]);
        assert_eq!(restored.code, 0, "{restored:?}");
    });
    taken(&requests, &rights);
    let listings: Vec<_> = requests
        .iter()
        .filter(|request| request.operation == Operation::ListObjectsV2)
        .filter(|request| request.bucket.as_deref() == Some(BUCKET_SOURCE))
        .map(|request| request.query_value("prefix"))
        .collect();
    assert!(listings.len() >= 2, "{listings:?}");
    let is_below = |prefix: &Option<String>| {
        let prefix = prefix.as_deref().unwrap_or_default();
        prefix.starts_with("uploads/")
    };
    assert!(listings.iter().all(is_below), "{listings:?}");
}

fn objects_below(prefix: &str) -> String {
    format!("arn:aws:s3:::{BUCKET}/{prefix}*")
}
