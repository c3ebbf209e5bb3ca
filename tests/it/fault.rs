//! What goes wrong between a pass and its store, and what comes of it: the right result, or the
//! right error, and never something half-visible.

use local_s3::{Fault, LocalS3, Operation};

use crate::support::tree::{self, assert_same, settle};
use crate::support::{BUCKET, Output, SOURCE, World, noise, uploads};

fn world() -> World {
    let mut world = World::new();
    world.set("S3__REQUEST_TIMEOUT", "1s");
    for index in 0..20 {
        world.write(&format!("dir/{index:02}"), format!("contents of {index}"));
    }
    settle();
    world
}

/// A pass during which `fault` strikes, which must succeed in spite of it.
fn survives(fault: Fault, times: usize) {
    let world = world();
    let struck = world.server.fault(fault);
    world.back_up();
    assert_eq!(
        struck.fired(),
        times,
        "the fault did not strike as it should"
    );
    assert_same(
        &tree::read(&world.data()),
        &tree::read(&world.restored_latest()),
    );
    assert_eq!(world.offsite(["verify", "--read"]).code, 0);
}

#[test]
fn throttling_is_waited_out() {
    let fault = Fault::on(Operation::PutObject)
        .key_contains("files/")
        .skip(3);
    survives(fault.times(6).status(503, "SlowDown"), 6);
}

#[test]
fn internal_errors_are_retried() {
    let fault = Fault::on(Operation::PutObject)
        .key_contains("files/")
        .times(4);
    survives(fault.status(500, "InternalError"), 4);
}

#[test]
fn conflicts_of_conditional_writes_are_retried() {
    let fault = Fault::on(Operation::PutObject)
        .key_contains("snapshots/")
        .times(1);
    survives(fault.status(409, "ConditionalRequestConflict"), 1);
}

#[test]
fn answers_that_do_not_come_are_not_waited_for_forever() {
    survives(
        Fault::on(Operation::PutObject)
            .key_contains("files/")
            .skip(2)
            .hang(),
        1,
    );
}

#[test]
fn a_connection_cut_before_an_upload_is_handled_does_not_matter() {
    let fault = Fault::on(Operation::PutObject)
        .key_contains("files/")
        .skip(1);
    survives(fault.times(3).drop_before(), 3);
}

#[test]
fn an_upload_whose_answer_is_lost_counts() {
    let fault = Fault::on(Operation::PutObject)
        .key_contains("files/")
        .skip(1);
    survives(fault.times(3).drop_after(), 3);
}

#[test]
fn a_commit_whose_answer_is_lost_counts() {
    survives(
        Fault::on(Operation::PutObject)
            .key_contains("snapshots/")
            .drop_after(),
        1,
    );
}

#[test]
fn a_lock_whose_answer_is_lost_is_held() {
    survives(
        Fault::on(Operation::PutObject)
            .key_contains("lock")
            .drop_after(),
        1,
    );
}

#[test]
fn an_upload_that_arrives_damaged_is_sent_again() {
    let fault = Fault::on(Operation::PutObject)
        .key_contains("files/")
        .skip(5);
    survives(fault.times(2).corrupt_upload(), 2);
}

#[test]
fn a_manifest_that_arrives_damaged_is_sent_again() {
    survives(
        Fault::on(Operation::PutObject)
            .key_contains("manifests/")
            .corrupt_upload(),
        1,
    );
}

fn large() -> World {
    let mut world = World::new();
    world.set("S3__REQUEST_TIMEOUT", "2s");
    world.write("large", noise(3, 20 << 20));
    settle();
    world
}

#[test]
fn parts_survive_what_whole_objects_survive() {
    for fault in [
        Fault::on(Operation::UploadPart).corrupt_upload(),
        Fault::on(Operation::UploadPart)
            .times(2)
            .status(503, "SlowDown"),
        Fault::on(Operation::UploadPart).drop_after(),
        Fault::on(Operation::CreateMultipartUpload).drop_before(),
        Fault::on(Operation::CompleteMultipartUpload).drop_before(),
        Fault::on(Operation::CompleteMultipartUpload).drop_after(),
    ] {
        let world = large();
        let struck = world.server.fault(fault);
        world.back_up();
        assert!(struck.fired() > 0);
        assert_same(
            &tree::read(&world.data()),
            &tree::read(&world.restored_latest()),
        );
        assert!(world.server.uploads(BUCKET).is_empty());
    }
}

/// After a pass that failed: no snapshot of it, and everything there was is still there.
fn assert_untouched(world: &World, before: &tree::Tree, snapshots: &[String]) {
    world.server.clear_faults();
    assert_eq!(world.snapshots(), snapshots);
    assert_same(before, &tree::read(&world.restored(&snapshots[0])));
    assert_eq!(world.offsite(["verify", "--read"]).code, 0);
    // The lock was given back, so the next pass need not wait.
    world.back_up();
    assert_same(
        &tree::read(&world.data()),
        &tree::read(&world.restored_latest()),
    );
}

fn changed_world() -> (World, tree::Tree, Vec<String>) {
    let world = world();
    world.back_up();
    let before = tree::read(&world.data());
    for index in 0..10 {
        world.write(
            &format!("dir/{index:02}"),
            format!("other contents of {index}"),
        );
    }
    world.write("new", "new");
    settle();
    let snapshots = world.snapshots();
    (world, before, snapshots)
}

#[test]
fn permissions_refused_in_mid_pass_end_it() {
    let (world, before, snapshots) = changed_world();
    let fault = Fault::on(Operation::PutObject)
        .key_contains("files/")
        .skip(4);
    world
        .server
        .fault(fault.always().status(403, "AccessDenied"));
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 12, "{output:?}");
    assert!(!output.events_named("file_upload_failed").is_empty());
    assert!(
        output.event("backup_failed")["hint"]
            .as_str()
            .unwrap()
            .contains("s3:PutObject")
    );
    assert_untouched(&world, &before, &snapshots);
}

#[test]
fn a_commit_that_is_refused_is_no_commit() {
    let (world, before, snapshots) = changed_world();
    let fault = Fault::on(Operation::PutObject).key_contains("snapshots/");
    world
        .server
        .fault(fault.always().status(403, "AccessDenied"));
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 12, "{output:?}");
    assert!(output.events_named("snapshot_committed").is_empty());
    assert_untouched(&world, &before, &snapshots);
}

#[test]
fn a_manifest_that_is_refused_is_no_commit() {
    let (world, before, snapshots) = changed_world();
    let fault = Fault::on(Operation::PutObject).key_contains("manifests/");
    world
        .server
        .fault(fault.always().status(400, "InvalidRequest"));
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert_untouched(&world, &before, &snapshots);
}

#[test]
fn a_file_the_store_does_not_take_keeps_its_last_version() {
    let (world, before, _) = changed_world();
    let fault = Fault::on(Operation::PutObject)
        .key_contains("dir/03")
        .always();
    world.server.fault(fault.status(400, "InvalidRequest"));
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 3, "{output:?}");
    assert_eq!(output.event("file_upload_failed")["path"], "dir/03");
    let committed = output.event("snapshot_committed");
    assert_eq!(
        (&committed["complete"], &committed["failed"]),
        (&false.into(), &1.into())
    );

    world.server.clear_faults();
    let id = world.snapshots().pop().unwrap();
    let target = world.path("out");
    let restore = [
        "restore",
        "--to",
        target.to_str().unwrap(),
        "--source",
        SOURCE,
        "--snapshot",
        &id,
    ];
    let restored = world.offsite(restore);
    assert_eq!(restored.code, 0, "{restored:?}");
    assert!(
        restored.stderr.contains("1 entry in an earlier state"),
        "{restored:?}"
    );
    let old = std::path::Path::new("dir/03");
    assert_eq!(tree::read(&target)[old], before[old]);

    // The next pass captures it, and only it.
    let requests = world.requests_of(|| {
        world.back_up();
    });
    assert_eq!(uploads(&requests), ["dir/03"]);
    assert_same(
        &tree::read(&world.data()),
        &tree::read(&world.restored_latest()),
    );
}

#[test]
fn a_download_that_arrives_damaged_is_fetched_again() {
    let world = world();
    world.back_up();
    let id = world.snapshots().pop().unwrap();
    for fault in [
        Fault::on(Operation::GetObject)
            .key_contains("files/")
            .corrupt_download(),
        Fault::on(Operation::GetObject)
            .key_contains("files/")
            .cut_download(),
        Fault::on(Operation::GetObject)
            .key_contains("files/")
            .truncate_download(5),
        Fault::on(Operation::GetObject)
            .key_contains("manifests/")
            .cut_download(),
        Fault::on(Operation::GetObject)
            .key_contains("files/")
            .times(2)
            .status(503, "SlowDown"),
    ] {
        let struck = world.server.fault(fault);
        assert_same(
            &tree::read(&world.data()),
            &tree::read(&world.restored(&id)),
        );
        assert!(struck.fired() > 0);
    }
}

#[test]
fn a_download_that_stands_still_is_fetched_again() {
    for bandwidth in ["0", "1GB"] {
        let mut world = world();
        world.back_up();
        let id = world.snapshots().pop().unwrap();
        world.set("LIMITS__BANDWIDTH", bandwidth);
        let stalled = [("dir/03", 0), ("dir/04", 5)].map(|(file, bytes)| {
            let fault = Fault::on(Operation::GetObject).key_contains(file);
            world.server.fault(fault.stall_download(bytes))
        });
        assert_same(
            &tree::read(&world.data()),
            &tree::read(&world.restored(&id)),
        );
        assert!(stalled.iter().all(|fault| fault.fired() == 1));
    }
}

#[test]
fn what_stays_damaged_is_named_and_not_restored() {
    let world = world();
    world.back_up();
    let key = world.key_like("files/", "dir/07");
    world.server.corrupt(BUCKET, &world.full_key(&key), 3);
    let target = world.path("out");
    let to = target.to_str().unwrap();
    let output = world.offsite(["restore", "--to", to, "--source", SOURCE]);
    assert_eq!(output.code, 3, "{output:?}");
    assert!(output.stderr.contains("dir/07"), "{output:?}");
    assert!(output.stderr.contains("SHA-256"), "{output:?}");
    let mut expected = tree::read(&world.data());
    expected.remove(std::path::Path::new("dir/07"));
    assert_same(&expected, &tree::read(&target));
}

/// Runs a restore into a file system of a few hundred kilobytes, and lists what is in it then.
fn into_a_small_disk(world: &World) -> (Output, String) {
    let disk = world.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=300k tmpfs {disk} || exit 99
         {offsite} restore --to {disk}/out --source {SOURCE}
         code=$?; find {disk} -type f -printf '%f %s\\n' | sort > {listing}; exit $code",
        disk = disk.display(),
        offsite = env!("CARGO_BIN_EXE_offsite"),
        listing = world.path("listing").display(),
    );
    let mut unshare = std::process::Command::new("unshare");
    unshare.args(["--mount", "--map-root-user", "sh", "-c", &script]);
    let command = world.command([""; 0]);
    unshare.env_clear().current_dir(world.home.path());
    unshare.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let output = crate::support::finish(unshare.output().unwrap());
    (
        output,
        std::fs::read_to_string(world.path("listing")).unwrap(),
    )
}

#[test]
fn a_full_disk_ends_a_restore_and_leaves_no_half_files() {
    let world = World::new();
    for index in 0..20 {
        world.write(&format!("{index:02}"), noise(index, 50_000));
    }
    settle();
    world.back_up();
    let (output, listing) = into_a_small_disk(&world);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stderr.contains("No space left"), "{output:?}");
    // But for the record that says that there is more to come.
    let (marks, files): (Vec<_>, Vec<_>) = listing
        .lines()
        .partition(|line| line.starts_with("restore.json "));
    let whole = files.iter().all(|line| line.ends_with(" 50000"));
    assert!(whole && !files.is_empty() && marks.len() == 1, "{listing}");
}

#[test]
fn a_store_that_is_not_there_is_an_error_that_says_so() {
    let mut world = World::new();
    world.write("x", "x");
    world.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 1, "{output:?}");
    let failed = output.event("backup_failed");
    assert!(
        failed["error"].as_str().unwrap().contains("no answer"),
        "{failed}"
    );
    assert!(
        failed["hint"].as_str().unwrap().contains("endpoint_url"),
        "{failed}"
    );
}

#[test]
fn wrong_credentials_and_wrong_buckets_have_their_own_exit_codes() {
    let mut world = World::new();
    world.write("x", "x");
    world.env("AWS_SECRET_ACCESS_KEY", "wrong");
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 12, "{output:?}");
    world.env("AWS_ACCESS_KEY_ID", "");
    world.env("AWS_SECRET_ACCESS_KEY", "");
    world.env("AWS_EC2_METADATA_DISABLED", "true");
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 12, "{output:?}");
    let hint = &output.event("backup_failed")["hint"];
    assert!(hint.as_str().unwrap().contains("role"), "{hint}");

    let world = World::with_server(LocalS3::builder().bucket("other").start().unwrap());
    world.write("x", "x");
    for command in [["run"], ["list"], ["status"], ["verify"], ["unlock"]] {
        let output = world.offsite(command);
        assert_eq!(output.code, 10, "{command:?}: {output:?}");
    }
}
