//! The restore in `docs/FORMAT.md` that needs no offsite, run as it is written there.

use std::path::Path;
use std::process::Command;

use crate::support::tree::{self, set_mtime, settle};
use crate::support::{BUCKET, PREFIX, SOURCE, World, aws_cli, finish, noise};

fn script() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/FORMAT.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, after) = page.split_once("<!-- restore by hand").unwrap();
    let (_, block) = after.split_once("```bash\n").unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

#[test]
fn a_snapshot_can_be_restored_with_aws_zstd_and_jq() {
    let mut world = World::new();
    world.set("MANIFEST__SEGMENT_ENTRIES", 5);
    world.write("plain.txt", "plain\n");
    world.write("dir/with space & 100%.txt", "awkward\n");
    world.write("dir/Grüße", "unicode\n");
    world.write("empty", "");
    world.write("script", "#!/bin/sh\n");
    world.write("in parts", noise(1, 17 << 20));
    std::fs::create_dir(world.data().join("nothing in it")).unwrap();
    std::os::unix::fs::symlink("dir/Grüße", world.data().join("link")).unwrap();
    std::fs::hard_link(
        world.data().join("plain.txt"),
        world.data().join("dir/same"),
    )
    .unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o750);
    std::fs::set_permissions(world.data().join("script"), mode).unwrap();
    settle();
    world.back_up();
    world.write("plain.txt", "changed since\n");
    world.back_up();
    // Whole seconds, which is what `touch` restores.
    for path in tree::read(&world.data()).keys().rev() {
        set_mtime(&world.data().join(path), 1_700_000_000, 0);
    }
    settle();
    world.back_up();

    let path = std::env::join_paths(
        [aws_cli().parent().unwrap().to_owned()]
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let work = world.path("work");
    std::fs::create_dir(&work).unwrap();
    let to = world.path("by hand");
    let output = Command::new("bash")
        .args(["-c", &script()])
        .env("PATH", path.unwrap())
        .env(
            "STORE",
            format!("s3://{BUCKET}/{}", PREFIX.trim_end_matches('/')),
        )
        .env("SOURCE", SOURCE)
        .env("SNAPSHOT", world.snapshots().pop().unwrap())
        .env("TO", &to)
        .env("AWS_ENDPOINT_URL", world.server.endpoint())
        .env("AWS_ACCESS_KEY_ID", &world.server.credentials().access_key)
        .env(
            "AWS_SECRET_ACCESS_KEY",
            &world.server.credentials().secret_key,
        )
        .env("AWS_REGION", "us-east-1")
        .current_dir(&work)
        .output()
        .unwrap();
    let output = finish(output);
    assert_eq!(output.code, 0, "{output:?}");

    // Links get the time of their making, hard links become files of their own, owners are ours.
    let simple = |root: &Path| {
        let mut tree = tree::read(root);
        for facts in tree.values_mut() {
            facts.linked_with = None;
            if facts.kind == "symlink" {
                facts.mtime_ns = 0;
            }
        }
        tree
    };
    tree::assert_same(&simple(&world.data()), &simple(&to));
}
