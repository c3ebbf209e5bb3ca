//! `ls`.

use super::{objects, segments_read, two_sources, world};

/// The names of a tree with their indent, without the columns before them.
fn tree(text: &str) -> Vec<String> {
    let name = |line: &str| line.split_once(':').unwrap().1[6..].to_owned();
    text.lines().map(name).collect()
}

#[test]
fn a_snapshot_is_a_tree() {
    let (world, snapshots) = world();
    let output = world.offsite(["ls", &snapshots[0]]);
    assert_eq!(output.code, 0, "{output:?}");
    let shown = tree(&output.stdout);
    let expected = [
        "data/",
        "  docs/",
        "    a.txt",
        "    b.txt",
        "  steady/",
        "    00",
    ];
    assert_eq!(shown[..6], expected, "{output:?}");
    assert_eq!(shown.len(), 2 + 2 + 1 + 20);
    let file = output.stdout.lines().nth(2).unwrap();
    assert!(file.starts_with("-0644 "), "{file}");
    assert!(file.contains("        1 B 2"), "{file}");
    // Another name for it.
    assert_eq!(world.offsite(["list", &snapshots[0]]).stdout, output.stdout);
}

#[test]
fn one_directory_of_a_snapshot_is_read_and_not_the_others() {
    let (world, snapshots) = world();
    let absolute = world.data().join("docs").display().to_string();
    for typed in ["docs", "./docs//", &absolute] {
        world.server.clear_requests();
        let output = world.offsite(["ls", &snapshots[1], typed]);
        assert_eq!(tree(&output.stdout), ["docs/", "  a.txt", "  b.txt"]);
        assert_eq!(segments_read(&world), 1, "{typed}");
        let listed = world.offsite(["list", &snapshots[1], typed]);
        assert_eq!(listed.stdout, output.stdout);
    }
    world.server.clear_requests();
    let output = world.offsite(["ls", "latest", "steady/07"]);
    assert_eq!(tree(&output.stdout), ["steady/07"]);
    assert_eq!(segments_read(&world), 1);
}

#[test]
fn what_is_not_there_is_named() {
    let (world, _) = world();
    for (args, said) in [
        (
            &["ls", "latest", "doc"][..],
            "there is no `doc` in snapshot",
        ),
        (
            &["ls", "latest", "/elsewhere/docs"],
            "there is no `/elsewhere",
        ),
        (&["ls", "latest", "--path", "*.pdf"], "matches"),
        (&["ls", "2001"], "there is no snapshot `2001`"),
    ] {
        let output = world.offsite(args);
        assert_eq!(output.code, 10, "{args:?}: {output:?}");
        assert!(output.stderr.contains(said), "{args:?}: {output:?}");
    }
    let output = world.offsite(["ls", "latest", "../x"]);
    assert_eq!(output.code, 2, "{output:?}");
    let output = world.offsite(["ls", "latest", "doc", "--json"]);
    assert_eq!((output.code, &*output.stdout), (10, "[]\n"));
}

#[test]
fn what_matches_is_listed_by_its_path() {
    let world = two_sources();
    let output = world.offsite(["ls", "latest", "--path", "only*"]);
    assert_eq!(tree(&output.stdout), ["one/only-one", "two/only-two"]);
    let output = world.offsite(["ls", "latest", "--path", "only*", "--source", "two"]);
    assert_eq!(tree(&output.stdout), ["only-two"]);
    let output = world.offsite(["ls", "latest", "only-one", "--json"]);
    let found = objects(&output);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["source"], "one");
    assert_eq!(found[0]["path"], "only-one");
    assert_eq!(found[0]["type"], "file");
}
