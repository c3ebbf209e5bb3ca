//! Every setting there is, asked for by name.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::log_format::LogFormat;
use super::reader::{Placed, Section};
use super::source::{Source, storage_class};
use super::value::Bytes;
use crate::events::{Files, Level};
use crate::format::owner::StoreOwner;
use crate::prices::Prices;
use crate::store::Encryption;

/// The merged configuration.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) store: Option<Placed<String>>,
    pub(super) store_owner: Option<StoreOwner>,
    pub(super) s3: S3,
    pub(super) copies: Vec<CopySettings>,
    pub(super) sources: Vec<Source>,
    pub(super) defaults: Source,
    pub(super) incremental: bool,
    pub(super) stop_on_failure: bool,
    pub(super) archive: bool,
    pub(super) full: bool,
    pub(super) lock_ttl: Option<Placed<Duration>>,
    pub(super) lock_wait: Duration,
    pub(super) retry_for: Duration,
    pub(super) incomplete: Incomplete,
    pub(super) limits: Limits,
    pub(super) prices: Prices,
    pub(super) segment_entries: Option<Placed<u64>>,
    pub(super) checkpoint_entries: u64,
    pub(super) checkpoint_interval: Duration,
    pub(super) manifest_file: Option<PathBuf>,
    pub(super) log_level: Level,
    pub(super) log_files: Files,
    pub(super) log_format: LogFormat,
    pub(super) metrics: Metrics,
}

/// `backup.s3`.
#[derive(Debug)]
pub(super) struct S3 {
    pub(super) bucket: Option<Placed<String>>,
    pub(super) prefix: Option<Placed<String>>,
    pub(super) region: Option<Placed<String>>,
    pub(super) endpoint_url: Option<Placed<String>>,
    pub(super) force_path_style: Option<bool>,
    pub(super) request_timeout: Option<Placed<Duration>>,
    pub(super) encryption: Encryption,
    pub(super) storage_class: Option<String>,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) include_dirs: Option<Placed<Vec<String>>>,
    pub(super) interval: Option<Duration>,
}

/// `backup.limits`.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) concurrency: Option<Placed<u64>>,
    pub(super) memory: Option<Placed<Bytes>>,
    pub(super) bandwidth: Option<u64>,
    pub(super) copy_whole: Option<Placed<Bytes>>,
    pub(super) scan_threads: u64,
    pub(super) read_threads: u64,
}

/// What the process exits with after a pass that lacks some entries because they could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incomplete {
    /// 3.
    Fail,
    /// 0.
    Succeed,
}

impl std::str::FromStr for Incomplete {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "fail" => Ok(Self::Fail),
            "succeed" => Ok(Self::Succeed),
            _ => Err("one of fail, succeed"),
        }
    }
}

/// Whether `backup_completed` carries metrics for CloudWatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metrics {
    /// Under ECS.
    Auto,
    /// Always, in the Embedded Metric Format.
    Emf,
    /// Never.
    None,
}

impl std::str::FromStr for Metrics {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "auto" => Ok(Self::Auto),
            "emf" => Ok(Self::Emf),
            "none" => Ok(Self::None),
            _ => Err("one of auto, emf, none"),
        }
    }
}

impl Settings {
    pub(super) fn read(mut root: Section<'_>) -> Self {
        let mut backup = root.section("backup");
        root.finish();

        let mut log = backup.section("log");
        let log_level = log.parse("level", str::parse).unwrap_or(Level::Info);
        let log_files = log.parse("files", str::parse).unwrap_or_default();
        let log_format = log.parse("format", str::parse).unwrap_or(LogFormat::Auto);
        let metrics = log.parse("metrics", str::parse).unwrap_or(Metrics::Auto);
        log.finish();

        let mut lock = backup.section("lock");
        let lock_ttl = lock.placed("ttl_seconds");
        let lock_wait = lock.get("wait").unwrap_or_default();
        lock.finish();

        let mut retry = backup.section("retry");
        let retry_for = retry.get("for").unwrap_or_default();
        retry.finish();
        let incomplete = backup.parse("incomplete", str::parse);

        let mut manifest = backup.section("manifest");
        let segment_entries = manifest.placed("segment_entries");
        let checkpoint_entries = manifest.get("checkpoint_entries").unwrap_or(1);
        let checkpoint_interval = manifest.get("checkpoint_seconds").unwrap_or_default();
        manifest.finish();

        let mut defaults = backup.section("defaults");
        let mut source = Source::options(&mut defaults);
        "backup.defaults".clone_into(&mut source.field);
        backup.point_to(
            defaults.finish(),
            "it belongs to sources: put it below `backup.defaults` for all of them, or into one of `backup.sources`",
        );

        let mut prices = backup.section("prices");
        let table = Prices {
            as_of: prices.get("as_of").unwrap_or_default(),
            storage: prices.section("storage").numbers(),
            put_per_thousand: prices.section("put_per_thousand").numbers(),
            get_per_thousand: prices.section("get_per_thousand").numbers(),
            retrieval: prices.section("retrieval").numbers(),
            egress: prices.get("egress"),
        };
        prices.finish();

        let settings = Self {
            store: backup.placed("store"),
            store_owner: backup.parse("store_owner", str::parse),
            s3: S3::read(backup.section("s3")),
            copies: backup
                .list("copies")
                .into_iter()
                .map(CopySettings::read)
                .collect(),
            sources: backup
                .list("sources")
                .into_iter()
                .map(Source::read)
                .collect(),
            defaults: source,
            incremental: backup.get("incremental").unwrap_or(true),
            stop_on_failure: backup.get("stop_on_failure").unwrap_or_default(),
            archive: backup.get("archive").unwrap_or(false),
            full: backup.get("full").unwrap_or(false),
            lock_ttl,
            lock_wait,
            retry_for,
            incomplete: incomplete.unwrap_or(Incomplete::Fail),
            limits: Limits::read(backup.section("limits")),
            prices: table,
            segment_entries,
            checkpoint_entries,
            checkpoint_interval,
            manifest_file: backup.get::<String>("manifest_file").map(PathBuf::from),
            log_level,
            log_files,
            log_format,
            metrics,
        };
        backup.finish();
        settings
    }
}

impl S3 {
    fn read(mut section: Section<'_>) -> Self {
        let bucket = section.placed("bucket");
        let key_id = section.get::<String>("kms_key_id");
        let encryption = section.parse("encryption", |text| match text {
            "bucket" => Ok(Encryption::Bucket),
            "AES256" => Ok(Encryption::Aes256),
            "aws:kms" => Ok(Encryption::Kms {
                key_id: key_id.clone(),
            }),
            _ => Err("one of bucket, AES256, aws:kms"),
        });
        let encryption = encryption.unwrap_or_default();
        if key_id.is_some() && !matches!(encryption, Encryption::Kms { .. }) {
            section.complain(
                "kms_key_id",
                "has no effect",
                "set `encryption: aws:kms` as well",
            );
        }
        let s3 = Self {
            bucket,
            prefix: section.placed("prefix"),
            region: section.placed("region"),
            endpoint_url: section.placed("endpoint_url"),
            force_path_style: section.get("force_path_style"),
            request_timeout: section.placed("request_timeout"),
            encryption,
            storage_class: storage_class(&mut section),
            tags: section.get("tags").unwrap_or_default(),
            include_dirs: section.placed("include_dirs"),
            interval: section.get("interval_seconds"),
        };
        section.finish();
        s3
    }
}

impl Limits {
    fn read(mut section: Section<'_>) -> Self {
        let limits = Self {
            concurrency: section.placed("concurrency"),
            memory: section.placed("memory"),
            bandwidth: section.get("bandwidth").map(|Bytes(bytes)| bytes),
            copy_whole: section.placed("copy_whole"),
            scan_threads: section.get("scan_threads").unwrap_or(1),
            read_threads: section.get("read_threads").unwrap_or(1),
        };
        section.finish();
        limits
    }
}

/// An item of `backup.copies`.
#[derive(Debug)]
pub(super) struct CopySettings {
    pub(super) store: Option<Placed<String>>,
    pub(super) region: Option<Placed<String>>,
    pub(super) endpoint_url: Option<Placed<String>>,
    pub(super) profile: Option<Placed<String>>,
    pub(super) required: bool,
}

impl CopySettings {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let copy = Self {
            store: section.placed("store"),
            region: section.placed("region"),
            endpoint_url: section.placed("endpoint_url"),
            profile: section.placed("profile"),
            required: section.get("required").unwrap_or_default(),
        };
        if copy.store.is_none() {
            let hint = "name where the copy goes: s3://BUCKET/PREFIX or /A/DIRECTORY";
            section.complain("store", "is missing", hint);
        }
        section.finish();
        copy
    }
}
