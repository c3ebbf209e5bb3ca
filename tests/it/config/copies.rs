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

fn flag(name: &'static str, field: &'static str, value: &str) -> Flag {
    Flag {
        name,
        field,
        value: value.into(),
    }
}

/// Whoever names a copy need not say again how it is reached.
#[test]
fn a_copy_that_is_named_as_the_store_is_reached_as_the_copy() {
    let store = |url| flag("--store", "backup.store", url);
    let read = |flags: &[Flag]| job(THREE, &[], flags, Purpose::Read).store_options;
    let elsewhere = read(&[store("s3://elsewhere/team")]);
    assert_eq!(elsewhere.region.as_deref(), Some("eu-west-1"));
    assert_eq!(elsewhere.profile.as_deref(), Some("elsewhere"));
    assert_eq!(elsewhere.endpoint_url, None);
    assert_eq!(elsewhere.force_path_style, None);
    assert_eq!(elsewhere.request_timeout.as_secs(), 7);
    // What is said beside it counts.
    let region = flag("--region", "backup.s3.region", "eu-north-1");
    let url = "http://127.0.0.1:7";
    let endpoint = flag("--endpoint-url", "backup.s3.endpoint_url", url);
    let there = read(&[store("s3://elsewhere/team"), region, endpoint]);
    assert_eq!(there.region.as_deref(), Some("eu-north-1"));
    assert_eq!(there.endpoint_url.as_deref(), Some(url));
    assert_eq!(there.profile.as_deref(), Some("elsewhere"));
    // The first store is itself, although a copy on another server is called so too.
    let first = read(&[store("s3://backups/team")]);
    assert_eq!(first.endpoint_url.as_deref(), Some("http://127.0.0.1:9000"));
    assert_eq!(first.profile, None);
    // Another store is reached as the first one.
    let other = read(&[store("s3://other")]);
    assert_eq!(other.endpoint_url.as_deref(), Some("http://127.0.0.1:9000"));
    // In the environment, where the address for all stores stands as well.
    let world = World::new();
    let file = world.path("three.yaml");
    let named = THREE.replace("- {store: s3://backups/team, e", "- {store: s3://minio, e");
    std::fs::write(&file, named).unwrap();
    let variables = [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("OFFSITE_STORE", "s3://minio"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = load(Some(&file), &BTreeMap::from(variables), &[], Purpose::Read);
    let minio = config.unwrap().job.store_options;
    let url = "https://minio.example.com";
    assert_eq!(minio.endpoint_url.as_deref(), Some(url));
}

/// Nobody backs up to a copy of the same backup.
#[test]
fn a_copy_is_not_backed_up_to_beside_the_first_store() {
    let document = ("BACKUP_CONFIG_YAML".to_owned(), THREE.to_owned());
    let flags = [flag("--store", "backup.store", "s3://elsewhere/team")];
    let loaded = load(None, &BTreeMap::from([document]), &flags, Purpose::Backup);
    let error = loaded.unwrap_err().to_string();
    assert!(
        error.contains("`backup.copies[0].store` names the same store as `backup.store`"),
        "{error}"
    );
}
