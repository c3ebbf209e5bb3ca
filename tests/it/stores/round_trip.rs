//! The program's whole round trip on servers that nobody here wrote: a first pass, a change, a pass that is killed
//! and continued, looks at what is there, and restores.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::foreign::{Foreign, KEY};
use crate::support::tree::{self, Tree, assert_same, settle};
use crate::support::{BUCKET, PREFIX, World, noise};

/// What is backed up: one source as files, one as archives.
const SOURCES: [&str; 2] = ["files", "archive"];

/// For a pass to begin an upload, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn world(server: &Foreign) -> World {
    let mut world = World::new();
    world.env("AWS_ENDPOINT_URL", &server.url);
    world.env("AWS_ACCESS_KEY_ID", KEY);
    world.env("AWS_SECRET_ACCESS_KEY", KEY);
    let data = world.data();
    let data = data.display();
    world.configure(&format!(
        "backup:\n  s3: {{bucket: {BUCKET}, prefix: {PREFIX}}}\n  sources:\n    \
         - {{name: files, directory: {data}/files}}\n    \
         - {{name: archive, directory: {data}/archive, method: archive, archive: {{incremental: true}}}}\n"
    ));
    world
}

fn fill(world: &World) {
    for source in SOURCES {
        for index in 0..30 {
            let name = format!("{source}/many/{index:02}");
            world.write(&name, format!("{source} {index}"));
        }
        world.write(&format!("{source}/empty"), "");
        world.write(&format!("{source}/a name  with blanks & more+%20?#"), "1");
        world.write(&format!("{source}/ünïcödé/{}", "n".repeat(180)), "2");
        // One that is sent in parts, and one that is not.
        world.write(&format!("{source}/large"), noise(1, 20 << 20));
        world.write(&format!("{source}/medium"), noise(2, 3 << 20));
    }
    settle();
}

fn change(world: &World) {
    for source in SOURCES {
        world.write(&format!("{source}/many/07"), "another one");
        world.write(&format!("{source}/added/large"), noise(3, 40 << 20));
        std::fs::remove_file(world.data().join(source).join("medium")).unwrap();
    }
    settle();
}

fn contents(world: &World) -> [Tree; 2] {
    SOURCES.map(|source| tree::read(&world.data().join(source)))
}

/// Runs a pass until it has begun to send a file in parts, and is killed in the middle of that.
async fn killed_while_it_sends_parts(world: &World, server: &Foreign) {
    let client = server.client();
    let mut child = world.spawn(["run"]);
    let begun = Instant::now();
    while !has_open_upload(&client).await {
        assert!(begun.elapsed() < PATIENCE, "no upload is begun");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // At its pace, the file takes five seconds.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let ended = child.try_wait().unwrap();
    assert!(ended.is_none(), "it ended before it was killed: {ended:?}");
    child.kill().unwrap();
    child.wait().unwrap();
}

async fn has_open_upload(client: &aws_sdk_s3::Client) -> bool {
    let listed = client.list_multipart_uploads().bucket(BUCKET).send().await;
    let listed = listed.unwrap();
    let mut keys = listed.uploads().iter().filter_map(|upload| upload.key());
    keys.any(|key| key.ends_with("/added/large"))
}

fn report(world: &World, args: &[&str]) -> Value {
    let output = world.offsite(args);
    assert_eq!(output.code, 0, "{args:?}: {output:?}");
    serde_json::from_str(&output.stdout).unwrap()
}

fn assert_restored(world: &World, source: &str, snapshot: &str, expected: &Tree) {
    let to = world.path(&format!("{source}-{snapshot}"));
    let to_text = to.to_str().unwrap();
    let args = [
        "restore",
        "--source",
        source,
        "--snapshot",
        snapshot,
        "--to",
        to_text,
    ];
    let output = world.offsite(args);
    assert_eq!(output.code, 0, "{output:?}");
    assert_same(expected, &tree::read(&to));
}

/// Goes through all of it; `checksum_of_parts` is what the first pass finds out that the server keeps.
async fn round_trip(server: &Foreign, checksum_of_parts: Value) {
    server.create_bucket(BUCKET).await;
    let mut world = world(server);
    fill(&world);
    let first = contents(&world);
    world.back_up();
    let lock = server
        .client()
        .get_object()
        .bucket(BUCKET)
        .key(format!("{PREFIX}lock"));
    let lock = lock.send().await.unwrap().body.collect().await.unwrap();
    let lock: Value = serde_json::from_slice(&lock.to_vec()).unwrap();
    assert_eq!(lock["server"]["checksum_of_parts"], checksum_of_parts);

    change(&world);
    let second = contents(&world);
    world.set("LIMITS__BANDWIDTH", 8 << 20);
    killed_while_it_sends_parts(&world, server).await;
    world.unset("OFFSITE_LIMITS__BANDWIDTH");
    let unlocked = world.offsite(["unlock", "--force"]);
    assert_eq!(unlocked.code, 0, "{unlocked:?}");
    world.back_up();

    for read in [&["verify", "--json"][..], &["verify", "--read", "--json"]] {
        let reports = report(&world, read);
        let reports = reports.as_array().unwrap();
        assert_eq!(reports.len(), SOURCES.len());
        for report in reports {
            assert_eq!(report["findings"], json!([]), "{report}");
        }
    }
    for (index, source) in SOURCES.into_iter().enumerate() {
        let listed = report(&world, &["list", "--source", source, "--json"]);
        let listed = listed.as_array().unwrap();
        assert_eq!(listed.len(), 2, "{listed:?}");
        for (snapshot, expected) in listed.iter().zip([&first, &second]) {
            let id = snapshot["id"].as_str().unwrap();
            assert_restored(&world, source, id, &expected[index]);
        }
    }
    // What is unchanged is not sent again.
    let nothing = world.back_up();
    for source in nothing.events_named("source_completed") {
        assert_eq!(source["bytes_uploaded"], 0, "{source}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_moto() {
    round_trip(&Foreign::moto(), json!("sha256")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_versitygw() {
    if let Some(server) = Foreign::versitygw() {
        round_trip(&server, json!("crc64nvme")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_s3mock() {
    if let Some(server) = Foreign::s3mock() {
        round_trip(&server, json!("crc64nvme")).await;
    }
}
