//! The variables of the Media Backup System.

use serde_json::Value;

use super::{effective, problems, setting, sources};
use crate::support::tree::{self, assert_same, settle};
use crate::support::{BUCKET, World};

/// A machine that has the variables, and no configuration of offsite.
fn world() -> World {
    let mut world = World::new();
    std::fs::remove_file(world.path("backup_config.yaml")).unwrap();
    std::fs::create_dir(world.path("backups")).unwrap();
    world.env("BACKUP_DIR", "./backups");
    world.env("MEDIA_DIR", "./data");
    world.env("BACKUP_RETENTION_DAYS", 30);
    world.env("ENABLE_S3_UPLOAD", "false");
    world.env("AWS_S3_BUCKET", BUCKET);
    world
}

fn notices(events: &crate::support::Output) -> Vec<String> {
    let notices = events.events_named("notice").into_iter();
    notices
        .map(|notice| notice["message"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_media_backup_systems_variables_are_enough_for_a_backup() {
    let world = world();
    world.write("avatars/1.png", "a picture");
    settle();
    for _ in 0..2 {
        assert!(notices(&world.back_up()).is_empty());
    }
    let to = world.path("restored");
    let restored = world.offsite(["restore", "--to", to.to_str().unwrap(), "--source", "media"]);
    assert_eq!(restored.code, 0, "{restored:?}");
    assert_same(&tree::read(&world.data()), &tree::read(&to));
    let config = effective(&world, &[]);
    assert_eq!(
        setting(&config, "backup.store"),
        (&"./backups".into(), "environment variable BACKUP_DIR")
    );
    assert_eq!(
        setting(&config, "backup.sources[0].name"),
        (&"media".into(), "environment variable MEDIA_DIR")
    );
    // The bucket alone says nothing.
    assert!(!config.to_string().contains("backup.copies"), "{config}");
    assert!(world.server.requests().is_empty());
}

#[test]
fn an_upload_to_s3_is_a_required_copy() {
    let mut world = world();
    let copies = |world: &World| {
        let config = effective(world, &[]);
        let settings = config["settings"].as_array().unwrap().iter();
        let settings = settings.filter(|shown| shown["field"].as_str().unwrap().contains("copies"));
        let shown = |shown: &Value| {
            assert_eq!(shown["origin"], "environment variable AWS_S3_BUCKET");
            (shown["field"].to_string(), shown["value"].to_string())
        };
        settings.map(shown).collect::<Vec<_>>()
    };
    for yes in ["true", "TRUE", "yes", "1"] {
        world.env("ENABLE_S3_UPLOAD", yes);
        let expected = [
            ("backup.copies[0].required", "true"),
            ("backup.copies[0].store", "\"s3://backups/\""),
        ];
        let expected = expected.map(|(field, value)| (format!("\"{field}\""), value.to_owned()));
        assert_eq!(copies(&world), expected, "{yes}");
    }
    for no in ["", "no", "False"] {
        world.env("ENABLE_S3_UPLOAD", no);
        assert_eq!(copies(&world), [], "{no}");
    }
}

#[test]
fn what_is_wrong_with_the_media_backup_systems_variables_is_said_by_name() {
    let mut world = world();
    world.env("BACKUP_RETENTION_DAYS", "a month");
    world.env("ENABLE_S3_UPLOAD", "true");
    world.env("AWS_S3_BUCKET", "");
    assert_eq!(
        problems(&world.offsite(["run"])),
        [
            "ENABLE_S3_UPLOAD asks for a copy in S3, and AWS_S3_BUCKET names no bucket",
            "BACKUP_RETENTION_DAYS must be a whole number of days, 1 or more",
        ]
    );
    world.env("BACKUP_RETENTION_DAYS", "");
    world.env("ENABLE_S3_UPLOAD", "if possible");
    assert_eq!(
        problems(&world.offsite(["run"])),
        ["ENABLE_S3_UPLOAD must be true or false"]
    );
    world.env("ENABLE_S3_UPLOAD", "true");
    world.env("AWS_S3_BUCKET", "s3://backups");
    assert_eq!(
        problems(&world.offsite(["run"])),
        ["backup.copies[0].store is not a bucket name"]
    );
    // Whichever of the two won, a copy would silently not be made.
    world.env("AWS_S3_BUCKET", BUCKET);
    world.configure("backup: {copies: [{store: /mnt/backups}]}");
    assert_eq!(
        problems(&world.offsite(["run"])),
        ["ENABLE_S3_UPLOAD asks for a copy in S3, and the configuration has `backup.copies`"]
    );
}

#[test]
fn a_directory_of_backups_may_be_named_without_a_dot() {
    let mut world = world();
    for (written, store) in [
        ("backups/media", "./backups/media"),
        ("../backups", "../backups"),
        ("/mnt/backups", "/mnt/backups"),
        ("./backups", "./backups"),
    ] {
        world.env("BACKUP_DIR", written);
        let config = effective(&world, &[]);
        assert_eq!(setting(&config, "backup.store").0, store);
    }
}

/// Other programs have such variables too.
#[test]
fn a_media_directory_counts_where_nothing_else_says_what_to_back_up() {
    let mut world = world();
    let media = world.data().display().to_string();
    let only = |world: &World, args: &[&str], expected: (&str, &str)| {
        assert_eq!(sources(&effective(world, args)), [expected]);
    };
    only(&world, &[], ("media", &media));
    only(&world, &["--dirs", "/other"], ("other", "/other"));
    only(&world, &["--dirs", "data"], ("media", &media));
    world.configure(&format!("backup: {{s3: {{include_dirs: [{media}]}}}}"));
    let config = effective(&world, &[]);
    let [(name, directory)] = sources(&config)[..] else {
        panic!("{config}")
    };
    assert!(name != "media" && directory == media, "{config}");
    world.configure("backup: {sources: [{name: docs, directory: /docs}]}");
    only(&world, &[], ("docs", "/docs"));
    world.configure("backup: {sources: [], s3: {prefix: ''}}");
    only(&world, &[], ("media", &media));
    world.set("S3__INCLUDE_DIRS", "/logs");
    only(&world, &[], ("logs", "/logs"));
}
