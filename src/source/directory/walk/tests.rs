use super::*;
use crate::source::filter::Filter;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

fn options(threads: usize) -> WalkOptions {
    WalkOptions {
        filter: Filter::default(),
        one_file_system: false,
        threads,
    }
}

fn start(root: &Path, options: WalkOptions) -> Walk {
    let root = Arc::new(Root::open(root).unwrap());
    let stat = Stat::of(&*root).unwrap();
    Walk::start(root, stat, options).unwrap()
}

fn paths(root: &Path, options: WalkOptions) -> Vec<String> {
    start(root, options)
        .map(|item| match item {
            Item::Found(found) => found.name.to_string(),
            other => format!("{other:?}"),
        })
        .collect()
}

fn tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for sub in ["b", "b/deep/er", "a-dir", "a", "empty", "z"] {
        std::fs::create_dir_all(root.join(sub)).unwrap();
    }
    for file in ["b/1", "b/2", "b/deep/er/x", "a/y", "a.txt", "top", "z/last"] {
        std::fs::write(root.join(file), file).unwrap();
    }
    symlink("..", root.join("b/up")).unwrap();
    std::fs::write(root.join(std::ffi::OsStr::from_bytes(b"latin\xe9")), "").unwrap();
    dir
}

#[test]
fn items_come_in_the_order_of_manifests_whatever_the_threads() {
    let dir = tree();
    let expected = [
        ".",
        "a",
        "a/y",
        "a-dir",
        "a.txt",
        "b",
        "b/1",
        "b/2",
        "b/deep",
        "b/deep/er",
        "b/deep/er/x",
        "b/up",
        "empty",
        "latin\u{fffd}",
        "top",
        "z",
        "z/last",
    ];
    for threads in [0, 1, 2, 8] {
        assert_eq!(paths(dir.path(), options(threads)), expected, "{threads}");
    }
}

#[test]
fn large_directories_come_in_order_too() {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..3000 {
        let sub = dir.path().join(format!("{:04}", number % 20));
        std::fs::create_dir_all(&sub).unwrap();
        std::fs::write(sub.join(number.to_string()), "").unwrap();
        std::fs::write(dir.path().join(format!("f{number}")), "").unwrap();
    }
    let alone = paths(dir.path(), options(0));
    assert_eq!(alone.len(), 6021);
    assert!(alone.is_sorted_by_key(|path| EntryPath::parse(path.as_bytes()).unwrap()));
    for _ in 0..20 {
        assert_eq!(paths(dir.path(), options(4)), alone);
    }
}

#[test]
fn what_is_left_out_is_not_entered() {
    let dir = tree();
    let filter = Filter::new(&[], &["b".to_owned(), "a*".to_owned()]).unwrap();
    let options = WalkOptions {
        filter,
        ..options(2)
    };
    assert_eq!(
        paths(dir.path(), options),
        [".", "empty", "latin\u{fffd}", "top", "z", "z/last"]
    );
}

#[test]
fn a_root_that_is_missing_or_a_file_is_an_error() {
    let dir = tree();
    let open = |path: &str| Root::open(&dir.path().join(path)).err();
    assert_eq!(open("missing"), Some(Errno::NOENT));
    assert_eq!(open("top"), Some(Errno::NOTDIR));
}

#[test]
fn a_walk_may_be_dropped_halfway() {
    let dir = tree();
    let mut walk = start(dir.path(), options(4));
    assert!(walk.next().is_some() && walk.next().is_some());
}
