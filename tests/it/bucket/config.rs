//! What a configuration may say of a bucket.

use super::Documents;

fn problem(sources: &str) -> String {
    let world = Documents::new();
    world.configure(&format!(
        "backup:\n  s3: {{bucket: backups, prefix: team/}}\n  sources: [{sources}]\n"
    ));
    let output = world.offsite(["config"]);
    assert_eq!(output.code, 2, "{output:?}");
    output.stderr
}

#[test]
fn each_mistake_is_named_with_its_field() {
    for (source, message) in [
        (
            "{name: x, bucket: {}}",
            "`backup.sources[0].bucket.name` is missing",
        ),
        (
            "{name: x, bucket: documents}",
            "`backup.sources[0].bucket` must be a mapping",
        ),
        (
            "{name: x, bucket: {name: X}}",
            "`backup.sources[0].bucket.name` is not a bucket name",
        ),
        (
            "{name: x, bucket: {name: docs, nam: y}}",
            "`backup.sources[0].bucket.nam` is not a setting",
        ),
        (
            "{name: x, bucket: {name: docs, only: [pictures]}}",
            "`backup.sources[0].bucket.only` has no category `pictures`",
        ),
        (
            "{name: x, bucket: {name: docs, categories: {other: [x]}}}",
            "`backup.sources[0].bucket.categories.other` cannot be defined",
        ),
        (
            "{name: x, bucket: {name: docs, categories: {a: [pdf], b: [.PDF]}}}",
            "`backup.sources[0].bucket.categories.b` has `.PDF`, which is in `a` already",
        ),
        (
            "{name: x, bucket: {name: docs, categories: {A b: [pdf]}}}",
            "is no name of a category",
        ),
        (
            "{name: x, bucket: {name: docs, tags: some}}",
            "`backup.sources[0].bucket.tags` must be one of keep, check, ignore",
        ),
        (
            "{name: x, bucket: {name: docs}, directory: /data}",
            "`backup.sources[0].bucket` is given besides `directory`",
        ),
        (
            "{name: x, bucket: {name: docs}, method: archive}",
            "`backup.sources[0].method` has no effect on a bucket",
        ),
        (
            "{name: x, bucket: {name: backups, prefix: team/x}}",
            "lies in the store that `backup.store` names",
        ),
        (
            "{name: x, bucket: {name: docs}}, {name: y, bucket: {name: docs, prefix: a}}",
            "lies in `s3://docs/`",
        ),
    ] {
        let found = problem(source);
        assert!(found.contains(message), "{source}: {found}");
    }
}

#[test]
fn a_source_that_is_given_no_name_is_called_after_its_bucket() {
    let world = Documents::new();
    world.configure(
        "backup:\n  s3: {bucket: backups, prefix: team/}\n  \
         sources: [{bucket: {name: documents, prefix: a b/c}}]\n",
    );
    world.put("a b/c/x.jpg", "x");
    world.put("a b/cx.jpg", "not in it");
    let output = world.back_up();
    let committed = output.event("snapshot_committed");
    assert_eq!(committed["source"], "documents-a_b-c");
    assert_eq!(committed["files"], 1);
}

#[test]
fn what_is_left_out_by_name_is_not_copied() {
    let world = Documents::new();
    world.configure(
        "backup:\n  s3: {bucket: backups, prefix: team/}\n  \
         sources: [{name: documents, bucket: {name: documents}, include: ['*.jpg', 'deep/**'], exclude: ['tmp/', 'x*']}]\n",
    );
    for key in [
        "a.jpg",
        "b.pdf",
        "deep/c.pdf",
        "tmp/d.jpg",
        "x.jpg",
        "y/tmp/e.jpg",
        "tmp",
    ] {
        world.put(key, "x");
    }
    world.back_up();
    let keys: Vec<_> = world.entries().into_keys().collect();
    assert_eq!(keys, ["a.jpg", "deep/c.pdf"]);
}
