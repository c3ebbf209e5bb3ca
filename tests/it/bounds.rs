//! A store that has grown hostile or was filled by something else: whatever is read is bounded by what
//! was recorded of it, or by what offsite ever writes; nothing is waited for without end.

use std::io::Write as _;
use std::time::Duration;

use local_s3::{Answer, Fault, HookAction, Operation, RequestInfo};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::tree::{self, assert_same, settle};
use crate::support::{BUCKET, Output, SOURCE, World, finish};

/// Enough for a pass over a few files in a debug build, and far less than what is offered.
const MOST_MIB: u64 = 160;

const IN_TIME: Duration = Duration::from_secs(120);

fn world() -> World {
    let mut world = World::new();
    world.set("S3__REQUEST_TIMEOUT", "2s");
    for index in 0..6 {
        world.write(&format!("dir/{index:02}"), format!("contents of {index}"));
    }
    settle();
    world
}

fn measured(world: &World, args: &[&str]) -> Output {
    let (output, mib) = world.offsite_measured(IN_TIME, args);
    assert!(mib < MOST_MIB, "{args:?}: {mib} MiB");
    assert!(!output.stderr.contains("panicked"), "{output:?}");
    assert!([0, 1, 3, 4].contains(&output.code), "{args:?}: {output:?}");
    output
}

/// As large as memory, or said to be.
fn oversized(world: &World, key: &str, command: &[&str]) -> [Output; 2] {
    let full_key = world.full_key(key);
    let kept = world.server.object(BUCKET, &full_key).unwrap().bytes;
    world
        .server
        .replace(BUCKET, &full_key, vec![b' '; 300 << 20]);
    let large = measured(world, command);
    world.server.replace(BUCKET, &full_key, kept);
    let get = Fault::on(Operation::GetObject).key_contains(key);
    let length = "1000000000000";
    world
        .server
        .fault(get.always().header("content-length", length));
    let claimed = measured(world, command);
    world.server.clear_faults();
    [large, claimed]
}

#[test]
fn a_lock_that_is_huge_is_not_read() {
    let world = world();
    world.back_up();
    for command in [&["run"], &["unlock"]] {
        for output in oversized(&world, "lock", command) {
            assert_eq!(output.code, 1, "{output:?}");
            let text = format!("{}{}", output.stdout, output.stderr);
            assert!(text.contains("is larger than"), "{text}");
        }
    }
    world.back_up();
}

#[test]
fn a_status_that_is_huge_is_replaced() {
    let world = world();
    world.back_up();
    let key = world.full_key("status.json");
    world.server.replace(BUCKET, &key, vec![b' '; 300 << 20]);
    let output = measured(&world, &["run"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(world.server.object(BUCKET, &key).unwrap().bytes.len() < 10_000);
    assert_eq!(world.offsite(["status"]).code, 0);
}

#[test]
fn records_that_are_huge_are_not_read() {
    let world = world();
    world.back_up();
    let commit = world.key_like("snapshots/", ".json");
    let pass = world.key_like("passes/", ".json");
    for command in [&["list", "latest"][..], &["verify"], &["run"]] {
        for output in oversized(&world, &commit, command) {
            assert_ne!(output.code, 0, "{command:?}: {output:?}");
            let text = format!("{}{}", output.stdout, output.stderr);
            assert!(text.contains("is larger than"), "{text}");
        }
    }
    oversized(&world, &pass, &["status", "--history"]);
    world.back_up();
}

#[test]
fn a_segment_that_is_larger_than_recorded_is_damaged() {
    let world = world();
    world.back_up();
    let segment = world.segment_key("manifests/");
    for output in oversized(&world, &segment, &["verify"]) {
        assert_eq!(output.code, 4, "{output:?}");
        assert!(output.stderr.contains("is larger than"), "{output:?}");
    }
    for output in oversized(&world, &segment, &["run"]) {
        assert_eq!(output.code, 0, "{output:?}");
    }
}

#[test]
fn contents_that_claim_to_be_huge_are_not_taken_in() {
    let world = world();
    world.back_up();
    let file = world.key_like("files/", "dir/03");
    let target = world.path("out");
    let restore = [
        "restore",
        "--source",
        SOURCE,
        "--to",
        target.to_str().unwrap(),
    ];
    let [_, claimed] = oversized(&world, &file, &restore);
    assert_eq!(claimed.code, 3, "{claimed:?}");
    assert!(claimed.stderr.contains("dir/03"), "{claimed:?}");
}

/// A zstd frame, with checksum, of what is written into it.
fn frame(write: impl FnOnce(&mut dyn std::io::Write)) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    write(&mut encoder);
    encoder.finish().unwrap()
}

/// Puts another segment in the place of the only one, with a commit record that vouches for it.
fn vouch_for(world: &World, segment: &[u8], lines_bytes: Option<u64>) {
    let key = world.full_key(&world.segment_key("manifests/"));
    world.server.replace(BUCKET, &key, segment.to_vec());
    let commit = world.full_key(&world.key_like("snapshots/", ".json"));
    let bytes = world.server.object(BUCKET, &commit).unwrap().bytes;
    let mut record: Value = serde_json::from_slice(&bytes).unwrap();
    let reference = &mut record["segments"][0];
    reference["sha256"] = hex::encode(Sha256::digest(segment)).into();
    reference["size"] = segment.len().into();
    if let Some(bytes) = lines_bytes {
        reference["lines_bytes"] = bytes.into();
    }
    let bytes = serde_json::to_vec(&record).unwrap();
    world.server.replace(BUCKET, &commit, bytes);
}

fn lines(world: &World) -> Vec<u8> {
    let key = world.full_key(&world.segment_key("manifests/"));
    let segment = world.server.object(BUCKET, &key).unwrap().bytes;
    zstd::decode_all(&*segment).unwrap()
}

#[test]
fn a_segment_with_a_line_of_three_gigabytes_takes_no_memory() {
    let world = world();
    world.back_up();
    let lines = lines(&world);
    let length = 3 << 30;
    let bomb = frame(|out| {
        out.write_all(&lines).unwrap();
        let block = vec![b'a'; 1 << 20];
        for _ in 0..length >> 20 {
            out.write_all(&block).unwrap();
        }
    });
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());
    vouch_for(&world, &bomb, Some(length + lines.len() as u64));
    let verified = measured(&world, &["verify"]);
    assert_eq!(verified.code, 4, "{verified:?}");
    assert!(
        verified.stderr.contains("line 11 is longer than"),
        "{verified:?}"
    );
    measured(&world, &["list", "latest"]);
    assert_eq!(measured(&world, &["run"]).code, 0);
}

#[test]
fn a_segment_that_decompresses_to_more_than_was_recorded_is_damaged() {
    let world = world();
    world.back_up();
    let mut lines = lines(&world);
    let last = lines.split_inclusive(|b| *b == b'\n').next_back().unwrap();
    let last = String::from_utf8(last.to_vec()).unwrap();
    for more in ["dir/06", "dir/07"] {
        lines.extend(last.replace("dir/05", more).into_bytes());
    }
    vouch_for(&world, &frame(|out| out.write_all(&lines).unwrap()), None);
    let verified = measured(&world, &["verify"]);
    assert_eq!(verified.code, 4, "{verified:?}");
    assert!(verified.stderr.contains("more than the"), "{verified:?}");
}

#[test]
fn a_range_at_the_end_of_all_numbers_is_read_no_further() {
    let mut world = world();
    world.set("DEFAULTS__METHOD", "archive");
    world.set("DEFAULTS__ARCHIVE__COMPRESSION", "none");
    world.back_up();
    let lines = String::from_utf8(lines(&world)).unwrap();
    let (before, rest) = lines.split_once("\"offset\":").unwrap();
    let (_, after) = rest.split_once(',').unwrap();
    let lines = format!("{before}\"offset\":{},{after}", u64::MAX - 1);
    let segment = frame(|out| out.write_all(lines.as_bytes()).unwrap());
    vouch_for(&world, &segment, Some(lines.len() as u64));
    let target = world.path("out");
    let restore = [
        "restore",
        "--source",
        SOURCE,
        "--to",
        target.to_str().unwrap(),
    ];
    let output = measured(&world, &restore);
    assert_eq!(output.code, 3, "{output:?}");
    let output = measured(&world, &["verify"]);
    assert_eq!(output.code, 4, "{output:?}");
}

#[test]
fn a_window_as_large_as_memory_is_refused() {
    let world = world();
    world.back_up();
    let lines = lines(&world);
    let mut encoder = zstd::Encoder::new(Vec::new(), 19).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(&lines).unwrap();
    // So that the frame has to say how large its window is.
    encoder.flush().unwrap();
    vouch_for(&world, &encoder.finish().unwrap(), None);
    let verified = measured(&world, &["verify"]);
    assert_eq!(verified.code, 4, "{verified:?}");
}

#[test]
fn a_lock_that_nests_without_end_is_an_error() {
    let world = world();
    world.back_up();
    world
        .server
        .replace(BUCKET, &world.full_key("lock"), vec![b'['; 1 << 20]);
    let output = measured(&world, &["run"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output.event("backup_failed")["error"]
            .as_str()
            .unwrap()
            .contains("lease")
    );
}

#[test]
fn an_error_as_large_as_memory_is_not_taken_in() {
    let world = world();
    world.back_up();
    for (operation, status) in [
        (Operation::GetObject, 500),
        (Operation::PutObject, 500),
        (Operation::ListObjectsV2, 200),
    ] {
        let page = Answer::new(status).body(vec![b'<'; 400 << 20]);
        let struck = world.server.fault(Fault::on(operation).answer(page));
        world.server.remove(BUCKET, &world.full_key("status.json"));
        assert_eq!(measured(&world, &["run"]).code, 0);
        assert_eq!(struck.fired(), 1);
    }
}

/// A page of a listing that goes on; `page` is its number.
type Page = fn(page: usize, request: &RequestInfo) -> String;

fn pages(root: &'static str, page: Page) -> impl Fn(&RequestInfo) -> Answer + Send + Sync {
    let next = std::sync::atomic::AtomicUsize::new(0);
    move |request| {
        let number = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let prefix = request.query_value("prefix").unwrap_or_default();
        let inner = page(number, request);
        Answer::new(200)
            .header("content-type", "application/xml")
            .body(format!(
                "<?xml version=\"1.0\"?><{root}><Prefix>{prefix}</Prefix>{inner}\
             <IsTruncated>true</IsTruncated></{root}>"
            ))
    }
}

/// Keys as long as they may be, none of them before.
fn long_keys(page: usize, prefix: &str) -> impl Iterator<Item = String> {
    let length = 1000 - prefix.len();
    (0..1000).map(move |at| format!("{prefix}{:0length$}", page * 1000 + at))
}

#[test]
fn listings_of_uploads_end() {
    let all: [Page; 4] = [
        |_, _| String::new(),
        |_, _| {
            "<NextKeyMarker>k</NextKeyMarker><NextUploadIdMarker>u</NextUploadIdMarker>".to_owned()
        },
        |page, _| {
            let upload = "<Upload><Key>team/files/data/x</Key><UploadId>u</UploadId></Upload>";
            format!(
                "{upload}<NextKeyMarker>k{page}</NextKeyMarker><NextUploadIdMarker>u</NextUploadIdMarker>"
            )
        },
        |page, request| {
            let prefix = request.query_value("prefix").unwrap();
            let uploads = long_keys(page, &prefix)
                .map(|key| format!("<Upload><Key>{key}</Key><UploadId>u</UploadId></Upload>"));
            let uploads: String = uploads.collect();
            format!(
                "{uploads}<NextKeyMarker>k{page}</NextKeyMarker><NextUploadIdMarker>u</NextUploadIdMarker>"
            )
        },
    ];
    for page in all {
        let world = world();
        let commit = Fault::on(Operation::PutObject).key_contains("snapshots/");
        world.server.fault(commit.status(400, "InvalidRequest"));
        assert_eq!(world.offsite(["run"]).code, 1);
        let list = Fault::on(Operation::ListMultipartUploads).always();
        let struck = world
            .server
            .fault(list.answer_by(pages("ListMultipartUploadsResult", page)));
        let output = measured(&world, &["run"]);
        assert_eq!(output.code, 0, "{output:?}");
        assert!(struck.fired() < 1000, "{}", struck.fired());
        let notice = output.event("notice")["message"].to_string();
        assert!(notice.contains("uploads"), "{notice}");
    }
}

/// An object in a listing.
fn listed(key: &str) -> String {
    format!("<Contents><Key>{key}</Key><Size>1</Size><ETag>e</ETag></Contents>")
}

#[test]
fn listings_of_objects_end() {
    let all: [Page; 5] = [
        |_, _| String::new(),
        |_, _| "<NextContinuationToken>t</NextContinuationToken>".to_owned(),
        |page, _| format!("<NextContinuationToken>{page}</NextContinuationToken>"),
        |page, request| {
            let prefix = request.query_value("prefix").unwrap();
            let contents = listed(&format!("{prefix}a"));
            format!("{contents}<NextContinuationToken>{page}</NextContinuationToken>")
        },
        |page, request| {
            let prefix = request.query_value("prefix").unwrap();
            let contents: String = long_keys(page, &prefix).map(|key| listed(&key)).collect();
            format!("{contents}<NextContinuationToken>{page}</NextContinuationToken>")
        },
    ];
    for page in all {
        let world = world();
        world.back_up();
        let list = Fault::on(Operation::ListObjectsV2).always();
        let struck = world
            .server
            .fault(list.answer_by(pages("ListBucketResult", page)));
        let output = measured(&world, &["list", "--source", SOURCE]);
        assert_eq!(output.code, 1, "{output:?}");
        assert!(output.stderr.contains("unexpected answer"), "{output:?}");
        assert!(struck.fired() < 1000, "{}", struck.fired());
    }
}

/// A pass that is killed before it has stored its first whole segment.
fn killed_with_a_checkpoint() -> (World, String) {
    let mut world = world();
    world.set("MANIFEST__CHECKPOINT_ENTRIES", 2);
    world.set("LIMITS__CONCURRENCY", 1);
    let pid = std::sync::Arc::new(std::sync::OnceLock::<Pid>::new());
    let target = std::sync::Arc::clone(&pid);
    world.server.on_request(move |request| {
        let key = request.key.as_deref().unwrap_or_default();
        let file = key.rsplit('/').next().unwrap_or_default();
        let is_segment = key.contains("/manifests/") && file.matches('-').count() == 1;
        if request.operation != Operation::PutObject || !is_segment {
            return HookAction::Proceed;
        }
        kill_process(*target.wait(), Signal::KILL).unwrap();
        HookAction::DropBefore
    });
    let child = world.spawn(["run"]);
    pid.set(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap())
        .unwrap();
    assert_eq!(finish(child.wait_with_output().unwrap()).code, -9);
    world.server.clear_hook();
    world.expire_leases();
    let keys = world.keys();
    let mut checkpoints = keys.into_iter().filter(|key| key.starts_with("manifests/"));
    let last = checkpoints.next_back().unwrap();
    (world, last)
}

fn assert_continues(world: &World) {
    let output = measured(world, &["run"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_same(
        &tree::read(&world.data()),
        &tree::read(&world.restored_latest()),
    );
    let verified = world.offsite(["verify", "--read"]);
    assert_eq!(verified.code, 0, "{verified:?}");
}

#[test]
fn a_checkpoint_that_was_changed_is_not_trusted() {
    let (world, key) = killed_with_a_checkpoint();
    let key = world.full_key(&key);
    let bytes = world.server.object(BUCKET, &key).unwrap().bytes;
    let text = String::from_utf8(zstd::decode_all(&*bytes).unwrap()).unwrap();
    // A file's digest becomes another one.
    let at = text.rfind("\"sha256\":\"").unwrap() + 10;
    let digit = if text.as_bytes()[at] == b'0' {
        "1"
    } else {
        "0"
    };
    let text = format!("{}{digit}{}", &text[..at], &text[at + 1..]);
    let changed = frame(|out| out.write_all(text.as_bytes()).unwrap());
    world.server.replace(BUCKET, &key, changed);
    assert_continues(&world);
}

#[test]
fn a_checkpoint_that_is_huge_is_passed_over() {
    let (world, key) = killed_with_a_checkpoint();
    world
        .server
        .replace(BUCKET, &world.full_key(&key), vec![b' '; 300 << 20]);
    assert_continues(&world);
}
