//! Every setting there is, asked for by name.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::copies::CopySettings;
use super::log_format::LogFormat;
use super::reader::{Placed, Section};
use super::value::Bytes;
use crate::events::{Files, Level};
use crate::format::codec::Codec;
use crate::format::owner::StoreOwner;
use crate::pass::job::Detect;
use crate::pass::policy::sessions::TagRule;
use crate::prices::Prices;
use crate::source::session::YearPattern;
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
    pub(super) region: Option<String>,
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
    pub(super) scan_threads: u64,
    pub(super) read_threads: u64,
}

/// An item of `backup.sources`, or `backup.defaults`.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// Where in the configuration it stands.
    pub(super) field: String,
    pub(super) name: Option<Placed<String>>,
    pub(super) directory: Option<Placed<String>>,
    /// Whether that is a directory of sessions.
    pub(super) has_sessions: bool,
    pub(super) sessions: Sessions,
    pub(super) include: Option<Placed<Vec<String>>>,
    pub(super) exclude: Option<Placed<Vec<String>>>,
    pub(super) detect: Option<Detect>,
    pub(super) one_file_system: Option<bool>,
    pub(super) xattrs: Option<bool>,
    pub(super) allow_empty: Option<bool>,
    pub(super) method: Option<SourceMethod>,
    pub(super) archive: Archive,
    pub(super) storage_class: Option<String>,
    pub(super) tags: Option<BTreeMap<String, String>>,
}

/// What can be said of an item of `backup.sources` that has sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    pub(super) year_pattern: Option<YearPattern>,
    pub(super) notes: Option<Placed<Vec<String>>>,
    pub(super) notes_key: Option<Placed<String>>,
    pub(super) tag_rules: Vec<TagRule>,
}

impl Sessions {
    fn read(section: &mut Section<'_>) -> Self {
        Self {
            year_pattern: section.parse("year_pattern", YearPattern::parse),
            notes: section.placed("notes"),
            notes_key: section.placed("notes_key"),
            tag_rules: section
                .list("tag_rules")
                .into_iter()
                .filter_map(tag_rule)
                .collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.year_pattern.is_none()
            && self.notes.is_none()
            && self.notes_key.is_none()
            && self.tag_rules.is_empty()
    }
}

fn tag_rule(mut section: Section<'_>) -> Option<TagRule> {
    let pattern = section.parse("pattern", |text| {
        let glob = globset::Glob::new(text);
        glob.map_err(|_| "a glob of session names, as in `M31*`")
    });
    let tags: Option<BTreeMap<String, String>> = section.get("tags");
    if pattern.is_none() {
        section.complain(
            "pattern",
            "is needed",
            "a glob of session names, as in `M31*`",
        );
    }
    if tags.is_none() {
        section.complain("tags", "is needed", "as in `{archive: fast}`");
    }
    section.finish();
    Some(TagRule {
        pattern: pattern?.compile_matcher(),
        tags: tags?,
    })
}

/// `method` of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SourceMethod {
    Files,
    Archive,
}

/// `archive` of a source.
#[derive(Debug, Default)]
pub(super) struct Archive {
    pub(super) compression: Option<Codec>,
    pub(super) level: Option<Placed<u64>>,
    pub(super) key: Option<Placed<String>>,
    pub(super) incremental: Option<bool>,
    pub(super) full_every: Option<Duration>,
}

impl Archive {
    fn read(mut section: Section<'_>) -> Self {
        let archive = Self {
            compression: section.parse("compression", |text| match text {
                "gzip" | "gz" => Ok(Codec::Gzip),
                "zstd" | "zst" => Ok(Codec::Zstd),
                "none" => Ok(Codec::None),
                _ => Err("one of gzip, zstd, none"),
            }),
            level: section.placed("level"),
            key: section.placed("key"),
            incremental: section.get("incremental"),
            full_every: section.get("full_every"),
        };
        section.finish();
        archive
    }
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
        defaults.finish();

        let mut prices = backup.section("prices");
        let table = Prices {
            as_of: prices.get("as_of").unwrap_or_default(),
            storage: prices.section("storage").numbers(),
            put_per_thousand: prices.section("put_per_thousand").numbers(),
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
            region: section.get("region"),
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
            scan_threads: section.get("scan_threads").unwrap_or(1),
            read_threads: section.get("read_threads").unwrap_or(1),
        };
        section.finish();
        limits
    }
}

impl Source {
    fn read(mut section: Section<'_>) -> Self {
        let name = section.placed("name");
        let (plain, of_sessions) = (section.placed("directory"), section.placed("sessions"));
        match (&plain, &of_sessions) {
            (None, None) => {
                section.complain("directory", "is missing", "name the directory to back up");
            }
            (Some(_), Some(_)) => section.complain(
                "sessions",
                "is given besides `directory`",
                "keep `sessions` if each directory in it is a session, else `directory`",
            ),
            _ => {}
        }
        let source = Self {
            name,
            has_sessions: of_sessions.is_some(),
            directory: of_sessions.or(plain),
            sessions: Sessions::read(&mut section),
            ..Self::options(&mut section)
        };
        if !source.has_sessions && !source.sessions.is_empty() {
            let hint = "`year_pattern`, `notes`, `notes_key` and `tag_rules` are for sources that name `sessions: <directory>`";
            section.complain("", "has settings of sessions and none", hint);
        }
        if source.has_sessions && source.method == Some(SourceMethod::Files) {
            section.complain("method", "must be archive", "sessions are always archived");
        }
        section.finish();
        source
    }

    /// What can stand in `backup.defaults` too.
    fn options(section: &mut Section<'_>) -> Self {
        Self {
            field: section.path().to_owned(),
            name: None,
            directory: None,
            has_sessions: false,
            sessions: Sessions::default(),
            include: section.placed("include"),
            exclude: section.placed("exclude"),
            detect: section.parse("detect", |text| match text {
                "metadata" => Ok(Detect::Metadata),
                "checksum" => Ok(Detect::Checksum),
                _ => Err("one of metadata, checksum"),
            }),
            one_file_system: section.get("one_file_system"),
            xattrs: section.get("xattrs"),
            allow_empty: section.get("allow_empty"),
            method: section.parse("method", |text| match text {
                "files" => Ok(SourceMethod::Files),
                "archive" => Ok(SourceMethod::Archive),
                _ => Err("one of files, archive"),
            }),
            archive: Archive::read(section.section("archive")),
            storage_class: storage_class(section),
            tags: section.get("tags"),
        }
    }
}

/// Classes whose objects can be read at once or after a restore request, from the S3 API
/// reference of PutObject. Some belong to other services, and S3-compatible stores have their own,
/// so that only the spelling is checked.
fn storage_class(section: &mut Section<'_>) -> Option<String> {
    section.parse("storage_class", |text| {
        let fits = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        match !text.is_empty() && text.bytes().all(fits) {
            true => Ok(text.to_owned()),
            false => Err("a storage class like STANDARD, STANDARD_IA or GLACIER_IR"),
        }
    })
}
