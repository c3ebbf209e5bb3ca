//! `backup.copies`: what is parsed, and what is refused.

use std::collections::BTreeMap;

use offsite::config::{Flag, Job, Purpose, load};
use offsite::store::{CopyJob, Encryption};

use super::{effective, problems, setting};
use crate::support::World;

/// What comes of a document and of flags.
fn job(document: &str, variables: &[(&str, &str)], flags: &[Flag], purpose: Purpose) -> Job {
    let document = ("BACKUP_CONFIG_YAML", document);
    let environment: BTreeMap<_, _> = [document]
        .iter()
        .chain(variables)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let config = load(None, &environment, flags, purpose);
    config.unwrap_or_else(|error| panic!("{error}")).job
}

const THREE: &str = "
backup:
  store: s3://backups/team
  s3: {encryption: AES256, request_timeout: 7s, endpoint_url: 'http://127.0.0.1:9000', force_path_style: false}
  sources: [{directory: /data}]
  limits: {bandwidth: 1MiB, concurrency: 5}
  copies:
    - {store: s3://elsewhere/team, region: eu-west-1, profile: elsewhere, required: true}
    - {store: s3://backups/team, endpoint_url: 'https://minio.example.com'}
    - store: /mnt/backups
";

#[test]
fn each_copy_is_reached_in_its_own_way_within_the_limits_of_all() {
    let job = job(THREE, &[], &[], Purpose::Backup);
    let required = |copy: &CopyJob| (copy.store.to_string(), copy.required);
    assert_eq!(
        job.pass.copies.iter().map(required).collect::<Vec<_>>(),
        [
            ("s3://elsewhere/team/".to_owned(), true),
            ("s3://backups/team/".to_owned(), false),
            ("/mnt/backups".to_owned(), false),
        ]
    );
    let [first, second, third] = [0, 1, 2].map(|index| &job.pass.copies[index].options);
    assert_eq!(first.region.as_deref(), Some("eu-west-1"));
    assert_eq!(first.profile.as_deref(), Some("elsewhere"));
    assert_eq!(first.endpoint_url, None);
    let url = "https://minio.example.com";
    assert_eq!(second.endpoint_url.as_deref(), Some(url));
    assert_eq!((&second.region, &second.profile), (&None, &None));
    for options in [first, second, third] {
        assert_eq!(options.request_timeout.as_secs(), 7);
        assert_eq!(options.bandwidth_bytes_per_second, Some(1 << 20));
        assert_eq!(options.concurrency, 5);
        // A key of KMS belongs to one region and account.
        assert_eq!(options.encryption, Encryption::Bucket);
        assert_eq!(options.force_path_style, None);
    }
    assert_eq!(job.store_options.profile, None);
}

#[test]
fn a_copy_without_an_endpoint_is_where_the_environment_says() {
    let variables = [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:2"),
    ];
    let job = job(THREE, &variables, &[], Purpose::Backup);
    let endpoint = |index: usize| job.pass.copies[index].options.endpoint_url.as_deref();
    assert_eq!(endpoint(0), Some("http://127.0.0.1:2"));
    assert_eq!(endpoint(1), Some("https://minio.example.com"));
}

#[test]
fn copies_are_shown() {
    let world = World::new();
    world.configure(THREE);
    let config = effective(&world, &[]);
    let copy = |field: &str| setting(&config, &format!("backup.copies[0].{field}")).0;
    assert_eq!(copy("store"), "s3://elsewhere/team");
    assert_eq!(copy("region"), "eu-west-1");
    assert_eq!(copy("profile"), "elsewhere");
    assert_eq!(copy("required"), true);
}

#[test]
fn what_is_wrong_with_copies_is_said_by_field() {
    let world = World::new();
    world.configure(
        "
backup:
  store: s3://backups/team
  sources: [{directory: /data}]
  copies:
    - {region: eu-west-1}
    - {store: s3://Backups}
    - {store: backups/media}
    - {store: s3://one, endpoint_url: 'minio:9000', profile: '', regoin: x}
    - {store: s3://two, required: perhaps}
    - {store: /mnt/backups, region: eu-west-1, profile: x}
    - {store: s3://backups//team/}
    - {store: s3://two}
    - {store: /mnt/./backups/}
    - {store: /mnt/backups/below}
    - {store: /mnt}
    - {store: /data/backups}
    - s3://just-text
",
    );
    let field = "backup.copies";
    assert_eq!(
        problems(&world.offsite(["run"])),
        [
            format!("{field}[12] must be a mapping, not \"s3://just-text\""),
            format!("{field}[0].store is missing"),
            format!("{field}[3].regoin is not a setting"),
            format!("{field}[4].required must be true or false, not \"perhaps\""),
            format!("{field}[1].store is not a bucket name"),
            format!(
                "{field}[2].store must start with `s3://`, or be the path of a directory, which starts with `/`, `./` or `../`"
            ),
            format!("{field}[3].endpoint_url must be a URL that starts with http:// or https://"),
            format!("{field}[3].profile is empty"),
            format!("{field}[5].region is of no use: the copy is in the directory `/mnt/backups`"),
            format!("{field}[5].profile is of no use: the copy is in the directory `/mnt/backups`"),
            format!("{field}[6].store names the same store as `backup.store`"),
            format!("{field}[7].store names the same store as `{field}[4].store`"),
            format!("{field}[8].store names the same store as `{field}[5].store`"),
            format!("{field}[9].store lies in `{field}[5].store`"),
            format!("{field}[10].store holds `{field}[5].store`"),
            format!(
                "backup.sources[0].directory holds the store: `{field}[11].store`, `/data/backups`, lies in what the source `data` backs up"
            ),
        ]
    );
}

/// When the first store is gone, its copy is named in its place, and the file may still name both.
#[test]
fn a_copy_is_read_by_naming_it_as_the_store() {
    let world = World::new();
    world.configure(THREE);
    let url = ["--store", "/mnt/backups"];
    let config = effective(&world, &url);
    assert_eq!(setting(&config, "backup.store").0, "/mnt/backups");
    // But what is copied is elsewhere than what is backed up.
    let run = world.offsite(["run"].iter().chain(&url));
    assert_eq!(
        problems(&run),
        ["backup.copies[2].store names the same store as `backup.store`"]
    );
    // One file that names a store twice is wrong for everybody.
    world.configure("backup: {store: /mnt/backups, copies: [{store: /mnt/backups}]}");
    assert_eq!(problems(&world.offsite(["list"])).len(), 1);
}
