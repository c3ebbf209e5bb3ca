//! What `docs/FORMAT.md` does without offsite, run as it is written there.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use local_s3::Operation;
use serde_json::Value;

use crate::bucket::{BUCKET_SOURCE, Documents};
use crate::sources::without_privileges;
use crate::support::tree::{Tree, assert_same, read, set_mtime, settle};
use crate::support::{BUCKET, Output, PREFIX, SOURCE, World, aws_cli, finish, noise};

/// The commands of the page that follow a comment.
fn commands(comment: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/FORMAT.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, after) = page.split_once(&format!("<!-- {comment}")).unwrap();
    let (_, block) = after.split_once("```bash\n").unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

/// Runs commands in a directory of their own, where the AWS CLI finds the store.
fn bash(world: &World, commands: &str, variables: &[(&str, &OsStr)]) -> Output {
    let path = std::env::join_paths(
        [aws_cli().parent().unwrap().to_owned()]
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let work = world.path("work");
    let _ = fs::remove_dir_all(&work);
    fs::create_dir(&work).unwrap();
    let store = match directory(world) {
        Some(directory) => directory.display().to_string(),
        None => format!("s3://{BUCKET}/{}", PREFIX.trim_end_matches('/')),
    };
    let credentials = world.server.credentials();
    let output = Command::new("bash")
        .args(["-c", commands])
        .env("PATH", path.unwrap())
        .env("STORE", store)
        .envs(variables.iter().copied())
        .env("AWS_ENDPOINT_URL", world.server.endpoint())
        .env("AWS_ACCESS_KEY_ID", &credentials.access_key)
        .env("AWS_SECRET_ACCESS_KEY", &credentials.secret_key)
        .env("AWS_REGION", "us-east-1")
        .current_dir(&work)
        .output()
        .unwrap();
    finish(output)
}

/// Lets the store be in a directory from now on.
fn keep_in_a_directory(world: &mut World) {
    fs::create_dir(world.path("store")).unwrap();
    world.set("STORE", world.path("store").display());
}

/// Where the store is, if it is in a directory.
fn directory(world: &World) -> Option<PathBuf> {
    Some(world.path("store")).filter(|store| store.exists())
}

/// Restores a snapshot into a fresh directory.
fn restore(world: &World, snapshot: &str) -> (PathBuf, Output) {
    let to = world.path(&format!("by hand {snapshot}"));
    let variables = [
        ("SOURCE", OsStr::new(SOURCE)),
        ("SNAPSHOT", OsStr::new(snapshot)),
        ("TO", to.as_os_str()),
    ];
    let output = bash(world, &commands("restore by hand"), &variables);
    (to, output)
}

/// The entries of the snapshot that was restored last.
fn entries(world: &World) -> Vec<Value> {
    let lines = fs::read_to_string(world.path("work/entries.ndjson")).unwrap();
    let entry = |line| serde_json::from_str(line).unwrap();
    lines.lines().map(entry).collect()
}

/// The archives that the entries point into.
fn archives(entries: &[Value]) -> BTreeSet<&str> {
    let members = entries.iter().map(|entry| &entry["member"]);
    members.filter_map(|member| member["of"].as_str()).collect()
}

/// What comes back. Links get the time of their making, hard links become files of their own, owners
/// are ours.
fn simple(mut tree: Tree) -> Tree {
    for facts in tree.values_mut() {
        facts.linked_with = None;
        if facts.kind == "symlink" {
            facts.mtime_ns = 0;
        }
    }
    tree
}

#[track_caller]
fn assert_restored(expected: &Tree, world: &World, snapshot: &str) {
    let (to, output) = restore(world, snapshot);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    assert_same(&simple(expected.clone()), &simple(read(&to)));
}

/// Gives everything a time in whole seconds, which is what `touch` restores.
fn set_times(world: &World, seconds: i64) {
    for path in read(&world.data()).keys().rev() {
        set_mtime(&world.data().join(path), seconds, 0);
    }
    settle();
}

fn back_up(world: &World, seconds: i64) -> Tree {
    set_times(world, seconds);
    world.back_up();
    read(&world.data())
}

fn set_mode(world: &World, path: &str, mode: u32) {
    let mode = fs::Permissions::from_mode(mode);
    fs::set_permissions(world.data().join(path), mode).unwrap();
}

fn link(world: &World, of: &str, path: &str) {
    fs::hard_link(world.data().join(of), world.data().join(path)).unwrap();
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
    fs::create_dir(world.data().join("nothing in it")).unwrap();
    symlink("dir/Grüße", world.data().join("link")).unwrap();
    link(&world, "plain.txt", "dir/same");
    set_mode(&world, "script", 0o750);
    settle();
    world.back_up();
    world.write("plain.txt", "changed since\n");
    world.back_up();
    let now = back_up(&world, 1_700_000_000);
    assert_restored(&now, &world, &world.snapshots()[2]);
    assert_eq!(archives(&entries(&world)), BTreeSet::new());
}

/// A source with files of every kind that archives make a difference between.
fn archived_with(codec: &str) -> World {
    let mut world = World::new();
    world.set("DEFAULTS__METHOD", "archive");
    world.set("DEFAULTS__ARCHIVE__COMPRESSION", codec);
    world.set("MANIFEST__SEGMENT_ENTRIES", 5);
    world.write("a/first of all and empty", "");
    // More than a group, some of it after the large ones.
    for index in 0..6 {
        world.write(&format!("group/{index}"), noise(index, 250_000));
    }
    world.write(
        "group/text, 100% & more",
        "all work and no play ".repeat(9_000),
    );
    world.write("group/Grüße", "unicode\n");
    world.write("just alone", noise(10, 1 << 19));
    world.write("large/noise", noise(11, (5 << 20) + 123));
    world.write("large/text", "all work and no play\n".repeat(150_000));
    world.write("script", "#!/bin/sh\n");
    world.write("zz last and empty", "");
    set_mode(&world, "script", 0o4750);
    fs::create_dir(world.data().join("nothing in it")).unwrap();
    symlink("group/Grüße", world.data().join("link")).unwrap();
    link(&world, "group/3", "another name of a small one");
    link(&world, "large/noise", "x, another name of a large one");
    world
}

fn files_in_archives_are_cut_out(codec: &str, magic: Option<[u8; 4]>) {
    let world = archived_with(codec);
    let now = back_up(&world, 1_700_000_000);
    let requests = world.requests_of(|| assert_restored(&now, &world, &world.snapshots()[0]));

    // It was tried what was to be tried: files that share a range, in more than one group, and ranges
    // of several members.
    let entries = entries(&world);
    let files = entries.iter().filter(|entry| entry["type"] == "file");
    let files: Vec<_> = files.filter(|file| file["size"] != 0).collect();
    assert_eq!(files.len(), 14);
    assert_eq!(archives(&entries).len(), 1);
    let number = |file: &Value, field: &str| file["member"][field].as_u64().unwrap();
    let ranges: BTreeSet<_> = files.iter().map(|file| number(file, "offset")).collect();
    if let Some(magic) = magic {
        assert_eq!(ranges.len(), 6, "{files:#?}");
        let skips: BTreeSet<_> = files.iter().map(|file| number(file, "skip")).collect();
        assert!(skips.len() > ranges.len(), "{files:#?}");
        let text = files
            .iter()
            .find(|file| file["path"] == "large/text")
            .unwrap();
        assert_eq!(text["member"]["of"], world.objects()[0]["object"]);
        let object = world.full_key(world.objects()[0]["key"].as_str().unwrap());
        let object = world.server.object(BUCKET, &object).unwrap().bytes;
        let begin = usize::try_from(number(text, "offset")).unwrap();
        let end = begin + usize::try_from(number(text, "length")).unwrap();
        let members = object[begin..end]
            .windows(4)
            .filter(|bytes| *bytes == magic);
        assert_eq!(members.count(), 4);
    } else {
        assert_eq!(ranges.len(), 12, "{files:#?}");
    }
    // And each range was fetched once.
    let fetched = requests.iter().filter(|request| {
        let key = request.key.as_deref().unwrap_or_default();
        request.operation == Operation::GetObject && key.contains("archives/")
    });
    assert_eq!(fetched.count(), ranges.len());
}

#[test]
fn files_in_a_gzip_archive_are_cut_out() {
    files_in_archives_are_cut_out("gzip", Some([0x1f, 0x8b, 8, 0]));
}

#[test]
fn files_in_a_zstd_archive_are_cut_out() {
    files_in_archives_are_cut_out("zstd", Some([0x28, 0xb5, 0x2f, 0xfd]));
}

#[test]
fn files_in_an_archive_that_is_not_compressed_are_cut_out() {
    files_in_archives_are_cut_out("none", None);
}

#[test]
fn a_chain_of_archives_and_files_is_restored() {
    let mut world = World::new();
    world.set("DEFAULTS__METHOD", "archive");
    world.set("DEFAULTS__ARCHIVE__INCREMENTAL", true);
    for path in ["changes", "gone/with it", "moves", "only touched", "stays"] {
        world.write(path, path);
    }
    world.write("large", noise(1, 2 << 20));
    world.write("large that changes", noise(2, 2 << 20));
    let mut trees = vec![back_up(&world, 1_500_000_000)];

    world.write("changes", "in the second pass");
    world.write("large that changes", noise(3, 1 << 20));
    fs::remove_dir_all(world.data().join("gone")).unwrap();
    fs::rename(world.data().join("moves"), world.data().join("moved")).unwrap();
    set_mode(&world, "only touched", 0o600);
    link(&world, "stays", "stays, too");
    trees.push(back_up(&world, 1_600_000_000));

    world.write("new/in the third pass", noise(4, 100_000));
    world.write("gone", "comes back as a file");
    trees.push(back_up(&world, 1_700_000_000));

    // As files, of which the others know nothing.
    world.set("DEFAULTS__METHOD", "files");
    world.write("changes", "in the fourth pass");
    world.write("empty", "");
    trees.push(back_up(&world, 1_800_000_000));

    let snapshots = world.snapshots();
    let mut found = Vec::new();
    for (snapshot, tree) in snapshots.iter().zip(&trees) {
        assert_restored(tree, &world, snapshot);
        let entries = entries(&world);
        let objects = entries
            .iter()
            .filter(|entry| entry["type"] == "file" && entry["member"].is_null());
        found.push((archives(&entries).len(), objects.count()));
    }
    assert_eq!(found, [(1, 0), (2, 0), (3, 0), (3, 2)]);
}

#[test]
fn sessions_are_restored_from_their_archives() {
    let world = World::new();
    world.configure(&format!(
        "backup:\n  s3: {{bucket: {BUCKET}, prefix: {PREFIX}}}\n  sources:\n  \
         - name: {SOURCE}\n    sessions: {}\n",
        world.data().display()
    ));
    let [first, second, third] = ["M31_2020-01-02", "M 31 & 100%_2021-03-04", "NGC_20210506"];
    for (session, seed) in [(first, 1), (second, 2), (third, 3)] {
        world.write(&format!("{session}/light/1.fits"), noise(seed, 1_200_000));
        world.write(&format!("{session}/light/2.fits"), noise(10 + seed, 3000));
        world.write(&format!("{session}/notes.md"), format!("of {session}"));
        world.write(&format!("{session}/empty"), "");
    }
    let before = back_up(&world, 1_600_000_000);
    world.write(&format!("{second}/light/3.fits"), noise(20, 5000));
    fs::remove_dir_all(world.data().join(third)).unwrap();
    let mut now = back_up(&world, 1_700_000_000);

    let snapshots = world.snapshots();
    assert_restored(&before, &world, &snapshots[0]);
    let were = entries(&world);
    // A session that is gone stays as it was.
    let gone = before.iter().filter(|(path, _)| path.starts_with(third));
    now.extend(gone.map(|(path, facts)| (path.clone(), facts.clone())));
    assert_restored(&now, &world, &snapshots[1]);
    let are = entries(&world);
    // Notes are objects of their own.
    let keys = are.iter().filter_map(|entry| entry["key"].as_str());
    assert_eq!(keys.filter(|key| key.starts_with("sessions/")).count(), 3);
    let (were, are) = (archives(&were), archives(&are));
    assert_eq!((were.len(), are.len()), (3, 3));
    assert_eq!(were.intersection(&are).count(), 2);
}

#[test]
fn what_could_never_be_read_does_not_keep_the_rest() {
    for method in ["files", "archive"] {
        let mut world = World::new();
        world.set("DEFAULTS__METHOD", method);
        world.write("a", "readable");
        world.write("b", "not readable");
        world.write("c", "readable, too");
        set_mode(&world, "b", 0);
        set_times(&world, 1_700_000_000);
        assert_eq!(without_privileges(&world).code, 3);
        let mut expected = read(&world.data());
        expected.remove(Path::new("b"));
        assert_restored(&expected, &world, &world.snapshots()[0]);
    }
}

#[test]
fn what_is_damaged_is_not_taken_for_the_file() {
    let mut world = World::new();
    world.set("DEFAULTS__METHOD", "archive");
    world.set("DEFAULTS__ARCHIVE__COMPRESSION", "none");
    world.write("a", noise(1, 100_000));
    settle();
    world.back_up();
    let key = world.full_key(&world.key_like("archives/", ""));
    let length = world.server.object(BUCKET, &key).unwrap().bytes.len();
    world.server.corrupt(BUCKET, &key, length / 2);
    let (_, output) = restore(&world, &world.snapshots()[0]);
    assert_ne!(output.code, 0, "{output:?}");
    assert!(output.stderr.contains("did NOT match"), "{output:?}");
}

/// Extracts an archive over what is in a directory.
fn extracted(world: &World, archive: &str, to: &Path) -> Output {
    let variables = [("ARCHIVE", OsStr::new(archive)), ("TO", to.as_os_str())];
    bash(world, &commands("an archive by itself"), &variables)
}

/// Names that no file of a store can have, with and without the help of bash.
#[test]
fn a_store_in_a_directory_is_restored_with_zstd_and_jq() {
    let mut world = World::new();
    keep_in_a_directory(&mut world);
    world.set("MANIFEST__SEGMENT_ENTRIES", 5);
    let long = "x".repeat(255);
    world.write(&long, "its key is no path");
    world.write("dir/with space & 100%.txt", "awkward\n");
    world.write("-n", "an option?");
    world.write("empty", "");
    world.write("in parts", noise(1, 17 << 20));
    symlink("dir", world.data().join("link")).unwrap();
    let first = back_up(&world, 1_600_000_000);
    // As an archive, with what is in files of their own.
    world.set("DEFAULTS__METHOD", "archive");
    world.set("DEFAULTS__ARCHIVE__INCREMENTAL", true);
    world.write("later/1", noise(2, 600_000));
    world.write("later/2", "small");
    world.write("later/3", "also small");
    let second = back_up(&world, 1_700_000_000);
    let snapshots = world.snapshots();
    assert_restored(&first, &world, &snapshots[0]);
    assert_restored(&second, &world, &snapshots[1]);
    assert_eq!(archives(&entries(&world)).len(), 1);
    let hashed = fs::read_dir(world.path("store/%key")).unwrap().count();
    assert!(hashed >= 2, "{hashed}");
    assert!(world.server.requests().is_empty());

    let archive = read(&world.path("store"));
    let is_archive = |path: &&PathBuf| path.starts_with("archives") && path.extension().is_some();
    let archive = archive.keys().find(is_archive).unwrap();
    let to = world.path("extracted");
    fs::create_dir(&to).unwrap();
    let variables = [("ARCHIVE", archive.as_os_str()), ("TO", to.as_os_str())];
    let output = bash(&world, &commands("an archive in a directory"), &variables);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    assert_eq!(fs::read(to.join("later/2")).unwrap(), b"small");
}

#[test]
fn what_is_damaged_in_a_directory_is_not_taken_for_the_file() {
    let mut world = World::new();
    keep_in_a_directory(&mut world);
    world.write("a", noise(1, 100_000));
    let tree = back_up(&world, 1_700_000_000);
    let snapshot = world.snapshots().remove(0);
    assert_restored(&tree, &world, &snapshot);
    let file = read(&world.path("store"));
    let file = file
        .keys()
        .find(|path| path.starts_with("files") && path.ends_with("a"));
    fs::write(world.path("store").join(file.unwrap()), noise(2, 100_000)).unwrap();
    let (_, output) = restore(&world, &snapshot);
    assert_ne!(output.code, 0, "{output:?}");
    assert!(output.stderr.contains("did NOT match"), "{output:?}");
}

/// What the page says of archives without their manifest.
#[test]
fn a_full_archive_is_a_backup_by_itself_and_incremental_ones_lack_what_the_page_says() {
    let mut world = World::new();
    world.set("DEFAULTS__METHOD", "archive");
    world.set("DEFAULTS__ARCHIVE__INCREMENTAL", true);
    for path in ["changes", "gone", "only touched", "stays", "dir/in it"] {
        world.write(path, path);
    }
    world.write("large", noise(1, 2 << 20));
    symlink("stays", world.data().join("link")).unwrap();
    link(&world, "large", "large, too");
    set_mode(&world, "changes", 0o4711);
    settle();
    let archive = |world: &World| {
        let event = world.back_up().event("backup_archive_uploaded");
        event["key"].as_str().unwrap().to_owned()
    };
    let to = world.path("extracted");
    fs::create_dir(&to).unwrap();
    let full = archive(&world);
    let before = read(&world.data());
    let output = extracted(&world, &full, &to);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    assert_same(&before, &read(&to));

    world.write("changes", "has changed");
    fs::remove_file(world.data().join("gone")).unwrap();
    set_mode(&world, "only touched", 0o600);
    set_mode(&world, "dir", 0o700);
    link(&world, "stays", "stays, too");
    settle();
    let incremental = archive(&world);
    let mut expected = read(&world.data());
    for path in ["gone", "only touched"] {
        expected.insert(path.into(), before[Path::new(path)].clone());
    }
    expected.remove(Path::new("stays, too"));
    let output = extracted(&world, &incremental, &to);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    assert_same(&expected, &read(&to));

    fs::remove_dir_all(world.data().join("dir")).unwrap();
    world.write("dir", "a file now");
    settle();
    let output = extracted(&world, &archive(&world), &to);
    assert_eq!(output.code, 2, "{output:?}");
    assert!(to.join("dir").is_dir());
}

#[test]
fn holes_come_back_only_from_those_who_look_for_them() {
    let mut world = World::new();
    world.set("DEFAULTS__METHOD", "archive");
    let sparse = fs::File::create(world.data().join("sparse")).unwrap();
    sparse.set_len(4 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"island", 1 << 20).unwrap();
    settle();
    world.back_up();
    let archive = world.key_like("archives/", ".tar.gz");
    let command = commands("an archive by itself");
    let has_holes = |command: String| {
        let to = world.path("extracted");
        let _ = fs::remove_dir_all(&to);
        fs::create_dir(&to).unwrap();
        let variables = [("ARCHIVE", OsStr::new(&archive)), ("TO", to.as_os_str())];
        let output = bash(&world, &command, &variables);
        assert_eq!(output.code, 0, "{command}: {output:?}");
        assert_eq!(
            read(&to)[Path::new("sparse")].sha256,
            read(&world.data())[Path::new("sparse")].sha256
        );
        let metadata = fs::metadata(to.join("sparse")).unwrap();
        metadata.blocks() * 512 < metadata.len() / 2
    };
    assert!(!has_holes(command.clone()));
    assert!(!has_holes(command.replace("tar -xpz", "tar -xSpz")));
    assert!(has_holes(command.replace("tar -xpz", "bsdtar -xSpz")));
    let dug = format!("{command}\nfallocate --dig-holes \"$TO/sparse\"");
    assert!(has_holes(dug));
}

#[test]
fn a_snapshot_that_was_blocked_is_not_restored_by_hand() {
    let world = World::new();
    world.write("file", "contents");
    settle();
    world.back_up();
    let snapshot = world.snapshots().remove(0);
    let key = world.full_key(&format!("snapshots/{SOURCE}/{snapshot}.json"));
    let void = format!(
        "{{\"format\":1,\"state\":\"void\",\"generation\":2,\"by\":\"{snapshot}\",\"at\":\"2025-12-27T02:00:00Z\"}}"
    );
    world.server.replace(BUCKET, &key, void.into_bytes());
    assert!(world.snapshots().is_empty());
    let (_, output) = restore(&world, &snapshot);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stderr.contains("does not exist"), "{output:?}");
    let named = world.offsite(["restore", "--to", "x", "--snapshot", &snapshot]);
    assert_eq!(named.code, 10, "{named:?}");
}

#[test]
fn objects_of_a_bucket_are_restored_by_copies_of_its_server() {
    let world = Documents::new();
    for key in [
        "a.jpg",
        "x//b c.pdf",
        "50%25.jpg",
        "Grüße/日本語.jpg",
        "../up",
    ] {
        world.put(key, format!("contents of {key}"));
    }
    world.put_with_all("with all.jpg", "contents");
    world.back_up();
    let before = world.contents();
    let original = world.server.object(BUCKET_SOURCE, "with all.jpg").unwrap();
    for key in world.server.keys(BUCKET_SOURCE) {
        world.server.remove(BUCKET_SOURCE, &key);
    }
    world.put("a.jpg", "something else");
    let snapshot = world.snapshots().pop().unwrap();
    let variables = [
        ("SOURCE", OsStr::new("documents")),
        ("SNAPSHOT", OsStr::new(&snapshot)),
        ("TO", OsStr::new(BUCKET_SOURCE)),
    ];
    let output = bash(&world, &commands("objects by hand"), &variables);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(
        output.stderr.contains("a.jpg was not restored"),
        "{output:?}"
    );
    assert_eq!(
        output.stderr.matches("was not restored").count(),
        1,
        "{output:?}"
    );
    let mut expected = before;
    expected.insert("a.jpg".to_owned(), b"something else".to_vec());
    assert_eq!(world.contents(), expected);
    let back = world.server.object(BUCKET_SOURCE, "with all.jpg").unwrap();
    assert_eq!(back.attributes, original.attributes);
}
