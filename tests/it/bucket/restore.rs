//! Objects restored as files.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Documents, ODD_KEYS};
use crate::support::{BUCKET, noise};

/// The files below a directory, by their paths.
pub(super) fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            found.insert(name.to_owned(), std::fs::read(&path).unwrap());
        }
    }
    found
}

fn restored(world: &Documents, more: &[&str]) -> (crate::support::Output, std::path::PathBuf) {
    let to = world.path("restored");
    let mut args = vec!["restore", "--source", "documents", "--to"];
    args.push(to.to_str().unwrap());
    args.extend(more);
    (world.offsite(&args), to)
}

#[test]
fn every_object_comes_back_as_a_file_whatever_its_key() {
    let world = Documents::new();
    world.put_odd_keys();
    world.put("large.pdf", noise(7, (20 << 20) + 1));
    world.put("docs", "an object");
    world.put("docs-1", "between the two");
    world.put("docs/inner.pdf", "an object below its name");
    world.back_up();
    let (output, to) = restored(&world, &[]);
    assert_eq!(output.code, 0, "{output:?}");
    let files = files(&to);
    let mut contents: Vec<_> = world.contents().into_values().collect();
    let mut came_back: Vec<_> = files.values().cloned().collect();
    contents.sort();
    came_back.sort();
    assert!(contents == came_back);
    assert_eq!(files.len(), world.contents().len());
    for (key, bytes) in world.contents() {
        let is_plain = !key.contains("//")
            && !key.starts_with('/')
            && !key.contains('%')
            && !key.contains("..")
            && key.len() < 250
            && !key.starts_with("docs/")
            && !key.starts_with("a/")
            && !key.starts_with("./");
        assert!(!is_plain || files.get(&key) == Some(&bytes), "{key}");
    }
    assert_eq!(files["docs"], b"an object");
    assert_eq!(files["docs%2F/inner.pdf"], b"an object below its name");
    assert!(ODD_KEYS.contains(&"a//b"));
    assert!(
        output.stderr.contains("note: `a//b` becomes `a%2F/%2F/b`"),
        "{}",
        output.stderr
    );
    let metadata = std::fs::metadata(to.join("docs")).unwrap();
    let modified = world.entries()["docs"]["object"]["last_modified"]
        .as_str()
        .unwrap()
        .parse::<jiff::Timestamp>()
        .unwrap();
    assert_eq!(metadata.mtime(), modified.as_second());
    assert_eq!(metadata.mode() & 0o7777, 0o644);
    for directory in ["", "docs%2F"] {
        let mode = std::fs::metadata(to.join(directory)).unwrap().mode();
        assert_eq!(mode & 0o755, 0o755, "{directory}");
    }

    // What is there is left alone, and what differs is not written over unless that is asked for.
    let requests = world.requests_of(|| {
        assert_eq!(restored(&world, &[]).0.code, 0);
    });
    let reads = |request: &&local_s3::LoggedRequest| {
        let key = request.key.as_deref().unwrap_or_default();
        key.contains("/copies/")
    };
    assert_eq!(requests.iter().filter(reads).count(), 0, "{requests:#?}");
    std::fs::write(to.join("docs"), "something else").unwrap();
    std::fs::write(to.join("mine"), "unknown").unwrap();
    let (refused, _) = restored(&world, &[]);
    assert_ne!(refused.code, 0, "{refused:?}");
    assert_eq!(std::fs::read(to.join("docs")).unwrap(), b"something else");
    let (output, _) = restored(&world, &["--overwrite"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(std::fs::read(to.join("docs")).unwrap(), b"an object");
    assert_eq!(std::fs::read(to.join("mine")).unwrap(), b"unknown");
}

#[test]
fn keys_are_chosen_by_what_they_are_and_not_by_their_paths() {
    let world = Documents::new();
    for key in ["a//b.jpg", "a//c.pdf", "b.jpg", "b.jpg/below"] {
        world.put(key, key);
    }
    world.back_up();
    let (output, to) = restored(&world, &["--path", "a//b.jpg"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(files(&to).into_keys().collect::<Vec<_>>(), ["a/%2F/b.jpg"]);
    // A name is the same whether or not the other object is restored as well.
    std::fs::remove_dir_all(&to).unwrap();
    let (output, to) = restored(&world, &["--path", "b.jpg/below"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(
        files(&to).into_keys().collect::<Vec<_>>(),
        ["b.jpg%2F/below"]
    );
}

#[test]
fn a_category_can_be_restored_alone() {
    let world = Documents::new();
    for key in ["a.jpg", "a.jpg/b.PNG", "c.pdf", "d"] {
        world.put(key, key);
    }
    world.back_up();
    let (output, to) = restored(&world, &["--category", "images"]);
    assert_eq!(output.code, 0, "{output:?}");
    let expected = ["a.jpg", "a.jpg%2F/b.PNG"];
    assert_eq!(files(&to).into_keys().collect::<Vec<_>>(), expected);
    let (output, _) = restored(&world, &["--category", "images", "--path", "*.pdf"]);
    assert_eq!(output.code, 10, "{output:?}");
    assert!(output.stderr.contains("matches"), "{output:?}");
    let (output, _) = restored(&world, &["--category", "images", "--delete"]);
    assert_eq!(output.code, 2, "{output:?}");
}

#[test]
fn what_is_only_for_trees_is_refused() {
    let world = Documents::new();
    world.put("a.jpg", "a");
    world.back_up();
    for flag in ["--replace", "--delete"] {
        let (output, to) = restored(&world, &[flag]);
        assert_eq!(output.code, 2, "{output:?}");
        assert!(
            output.stderr.contains("documents is a bucket"),
            "{output:?}"
        );
        assert!(!to.exists());
    }
    assert_eq!(world.contents().len(), 1);
}

#[test]
fn a_copy_that_is_damaged_is_named_and_not_restored() {
    let world = Documents::new();
    world.put("a.jpg", "a");
    world.put("b.jpg", "contents");
    world.back_up();
    let key = world.full_key(&world.copy_of("b.jpg"));
    world.server.corrupt(BUCKET, &key, 3);
    let (tested, to) = restored(&world, &["--test"]);
    assert_eq!(tested.code, 4, "{tested:?}");
    let (output, _) = restored(&world, &[]);
    assert_eq!(output.code, 3, "{output:?}");
    let said = "checksum that the store has vouched for";
    assert!(output.stderr.contains(said), "{output:?}");
    assert_eq!(files(&to).into_keys().collect::<Vec<_>>(), ["a.jpg"]);
}
