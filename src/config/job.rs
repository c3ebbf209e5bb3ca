//! From settings to a job: everything checked that can be checked without touching anything.

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use figment::value::Tag;

use super::Purpose;
use super::reader::{Findings, Placed};
use super::settings::{LogFormat, Metrics, Settings, Source, SourceMethod};
use super::value::Bytes;
use crate::archive::template::KeyTemplate;
use crate::backup::sessions::Choice;
use crate::backup::{ArchiveOptions, DirectorySource, Limits, Method, SessionOptions};
use crate::events::Level;
use crate::manifest::archive::Codec;
use crate::manifest::keys::{PREFIX_MAX_BYTES, SourceName};
use crate::manifest::path::EntryPath;
use crate::prices::Prices;
use crate::run::Pass;
use crate::source::filter::{Filter, Globs};
use crate::store::Placement;
use crate::store::s3::S3Settings;

/// What the program is to do, valid.
#[derive(Debug)]
pub struct Job {
    /// Where backups go.
    pub store: S3Settings,
    /// What a pass does.
    pub pass: Pass,
    /// Time from the start of one pass to the start of the next, in a loop.
    pub interval: Option<Duration>,
    /// What storage costs.
    pub prices: Prices,
    /// Where a copy of each pass's manifest goes.
    pub manifest_file: Option<PathBuf>,
    /// Least level of events.
    pub log_level: Level,
    /// How events are written.
    pub log_format: LogFormat,
    /// Whether there are metrics in the events.
    pub metrics: Metrics,
}

/// The shortest lease: a renewal every third of it must be able to meet a slow answer.
const SHORTEST_TTL: Duration = Duration::from_secs(3);

/// The longest lease: a pass that dies blocks the next one for so long.
const LONGEST_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// More requests at once than this help nobody, and each may take a file descriptor.
const MOST_REQUESTS: u64 = 4096;

/// The most entries in a segment: some 700 MB in memory.
const MOST_SEGMENT_ENTRIES: u64 = 16 << 20;

/// The shortest time to wait for an answer.
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(1);

impl Job {
    /// Checks settings. What is wrong goes to `findings`, and the job is of no use then.
    pub(super) fn check(settings: Settings, findings: &Findings, purpose: Purpose) -> Self {
        let store = store(&settings, findings);
        let sources = sources(&settings, findings, purpose);
        let ttl = settings.lock_ttl.as_ref().map_or(SHORTEST_TTL, |ttl| {
            if !(SHORTEST_TTL..=LONGEST_TTL).contains(&ttl.value) {
                complain(
                    findings,
                    ttl,
                    "must be 3 seconds or more, and a day or less",
                    "120 is a good value",
                );
            }
            ttl.value
        });
        Self {
            pass: Pass {
                sources,
                limits: limits(&settings, findings),
                lock_ttl: ttl,
                lock_wait: settings.lock_wait,
            },
            store,
            interval: settings.s3.interval.filter(|interval| !interval.is_zero()),
            prices: settings.prices,
            manifest_file: settings.manifest_file,
            log_level: settings.log_level,
            log_format: settings.log_format,
            metrics: settings.metrics,
        }
    }
}

fn complain<T>(findings: &Findings, placed: &Placed<T>, message: &str, hint: &str) {
    let hint = Some(hint.to_owned());
    findings.problem(placed.tag, &placed.field, message.to_owned(), hint);
}

fn store(settings: &Settings, findings: &Findings) -> S3Settings {
    let s3 = &settings.s3;
    let bucket = match &s3.bucket {
        Some(bucket) => {
            if !is_bucket(&bucket.value) {
                complain(
                    findings,
                    bucket,
                    "is not a bucket name",
                    "3 to 63 lower-case letters, digits, `.` and `-`, without s3:// and prefix; or the ARN or alias of an access point",
                );
            }
            bucket.value.clone()
        }
        None => {
            findings.problem(
                Tag::Default,
                "backup.s3.bucket",
                "is missing".to_owned(),
                Some(
                    "set it in the file, as OFFSITE_S3__BUCKET in the environment, or with --bucket"
                        .to_owned(),
                ),
            );
            String::new()
        }
    };
    let prefix = s3.prefix.as_ref().map_or(String::new(), |prefix| {
        let normal = normal_prefix(&prefix.value);
        if normal.len() > PREFIX_MAX_BYTES {
            let message = format!("is longer than {PREFIX_MAX_BYTES} bytes");
            complain(
                findings,
                prefix,
                &message,
                "keys need the rest of S3's 1,024 bytes",
            );
        }
        normal
    });
    if let Some(url) = &s3.endpoint_url {
        let scheme = url.value.split_once("://").map(|(scheme, _)| scheme);
        if !matches!(scheme, Some("http" | "https")) {
            let message = "must be a URL that starts with http:// or https://";
            complain(findings, url, message, "for AWS itself, leave it out");
        }
    }
    let request_timeout = s3
        .request_timeout
        .as_ref()
        .map_or(SHORTEST_TIMEOUT, |timeout| {
            if timeout.value < SHORTEST_TIMEOUT {
                complain(
                    findings,
                    timeout,
                    "must be 1 second or more",
                    "30s is a good value",
                );
            }
            timeout.value
        });
    S3Settings {
        request_timeout,
        bucket,
        prefix,
        region: s3.region.clone(),
        endpoint_url: s3.endpoint_url.as_ref().map(|url| url.value.clone()),
        force_path_style: s3.force_path_style,
        encryption: s3.encryption.clone(),
        bandwidth_bytes_per_second: settings.limits.bandwidth.filter(|rate| *rate > 0),
        concurrency: usize::try_from(settings.limits.concurrency.as_ref().map_or(1, |c| c.value))
            .unwrap_or(usize::MAX),
    }
}

/// Names of general purpose buckets, from the S3 user guide, "Bucket naming rules"; ARNs are left
/// to the SDK.
fn is_bucket(name: &str) -> bool {
    let fits =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
    name.starts_with("arn:") || ((3..=63).contains(&name.len()) && name.bytes().all(fits))
}

/// Without a slash at the beginning, which S3 would take for an empty folder, and with one at the
/// end.
fn normal_prefix(prefix: &str) -> String {
    match prefix.trim_matches('/') {
        "" => String::new(),
        prefix => format!("{prefix}/"),
    }
}

fn limits(settings: &Settings, findings: &Findings) -> Limits {
    let up_to = |most: u64, placed: &Option<Placed<u64>>, hint: &str| {
        let Some(placed) = placed else { return 1 };
        if !(1..=most).contains(&placed.value) {
            let message = format!("must be 1 or more, and {most} or less");
            complain(findings, placed, &message, hint);
        }
        placed.value.clamp(1, most)
    };
    let limits = &settings.limits;
    let memory = limits.memory.as_ref().map_or(0, |memory| {
        let Bytes(bytes) = memory.value;
        if bytes < 16 << 20 {
            let message = "must be 16MiB or more";
            complain(
                findings,
                memory,
                message,
                "the largest file sent whole is that large",
            );
        }
        bytes
    });
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Limits {
        concurrency: size(up_to(
            MOST_REQUESTS,
            &limits.concurrency,
            "64 is a good value",
        )),
        memory_bytes: size(memory),
        scan_threads: size(limits.scan_threads.min(256)),
        read_threads: size(limits.read_threads.clamp(1, 256)),
        segment_entries: up_to(
            MOST_SEGMENT_ENTRIES,
            &settings.segment_entries,
            "131072 is a good value",
        ),
        checkpoint_entries: settings.checkpoint_entries.max(1),
        checkpoint_interval: settings.checkpoint_interval,
    }
}

/// A source and where it stands in the configuration.
struct Listed {
    source: DirectorySource,
    tag: Tag,
    field: String,
}

fn sources(settings: &Settings, findings: &Findings, purpose: Purpose) -> Vec<DirectorySource> {
    let configured = settings.sources.iter().filter_map(|source| {
        let directory = source.directory.as_ref()?;
        let name = source.name.as_ref();
        let parsed = name.map(|name| match SourceName::parse(&name.value) {
            Ok(parsed) => parsed,
            Err(error) => {
                complain(
                    findings,
                    name,
                    &format!("is no source name: {error}"),
                    "rename it",
                );
                SourceName::of_directory(&directory.value)
            }
        });
        let name = parsed.unwrap_or_else(|| SourceName::of_directory(&directory.value));
        Some(listed(settings, findings, source, name, directory))
    });
    let configured: Vec<Listed> = configured.collect();
    let none = Source::default();
    let dirs = settings.s3.include_dirs.as_ref();
    let named = dirs.map(|dirs| {
        dirs.value.iter().enumerate().map(|(index, directory)| {
            let directory = Placed {
                value: directory.clone(),
                tag: dirs.tag,
                field: format!("{}[{index}]", dirs.field),
            };
            let name = SourceName::of_directory(&directory.value);
            listed(settings, findings, &none, name, &directory)
        })
    });
    let named: Vec<Listed> = named.into_iter().flatten().collect();

    let all: Vec<Listed> = match dirs.is_some_and(|dirs| findings.is_flag(dirs.tag)) {
        // --dirs picks what is backed up; what is configured for one of them stays so.
        true => named
            .into_iter()
            .map(|named| {
                let same = |listed: &&Listed| listed.source.directory == named.source.directory;
                match configured.iter().find(same) {
                    Some(listed) => Listed {
                        source: listed.source.clone(),
                        ..named
                    },
                    None => named,
                }
            })
            .collect(),
        false => configured.into_iter().chain(named).collect(),
    };
    if all.is_empty() && purpose == Purpose::Backup {
        findings.problem(
            dirs.map_or(Tag::Default, |dirs| dirs.tag),
            "backup.s3.include_dirs",
            "names nothing to back up".to_owned(),
            Some("list directories there, or in `backup.sources`, or give --dirs".to_owned()),
        );
    }
    check_apart(&all, findings);
    all.into_iter().map(|listed| listed.source).collect()
}

fn listed(
    settings: &Settings,
    findings: &Findings,
    source: &Source,
    name: SourceName,
    directory: &Placed<String>,
) -> Listed {
    let defaults = &settings.defaults;
    let include = source.include.as_ref().or(defaults.include.as_ref());
    let exclude = [defaults.exclude.as_ref(), source.exclude.as_ref()];
    let exclude: Vec<String> = exclude
        .into_iter()
        .flatten()
        .flat_map(|patterns| patterns.value.iter().cloned())
        .collect();
    let include: Vec<String> = include.map_or_else(Vec::new, |patterns| patterns.value.clone());
    let filter = Filter::new(&include, &exclude).unwrap_or_else(|invalid| {
        for glob in invalid {
            let lists = [
                &source.include,
                &source.exclude,
                &defaults.include,
                &defaults.exclude,
            ];
            let mut lists = lists.into_iter().flatten();
            let list = lists.find(|list| list.value.contains(&glob.pattern));
            if let Some(list) = list {
                let hint = "globs read as in .gitignore: *, ?, [abc], {a,b} and **";
                complain(findings, list, &format!("has a bad pattern: {glob}"), hint);
            }
        }
        Filter::default()
    });
    let path = normal(&directory.value);
    if !path.is_absolute() && !findings.is_flag(directory.tag) && directory.value.is_empty() {
        complain(
            findings,
            directory,
            "is empty",
            "name the directory to back up",
        );
    }
    let flag = |of: fn(&Source) -> Option<bool>| of(source).or(of(defaults)).unwrap_or_default();
    let detect = source.detect.or(defaults.detect).unwrap_or_default();
    let s3 = &settings.s3;
    let class = source
        .storage_class
        .as_ref()
        .or(defaults.storage_class.as_ref());
    let tags = source.tags.as_ref().or(defaults.tags.as_ref());
    Listed {
        tag: directory.tag,
        field: directory.field.clone(),
        source: DirectorySource {
            name,
            directory: path,
            filter,
            one_file_system: flag(|source| source.one_file_system),
            xattrs: flag(|source| source.xattrs),
            detect,
            allow_empty: flag(|source| source.allow_empty),
            afresh: !settings.incremental,
            method: method(settings, findings, source),
            sessions: source
                .has_sessions
                .then(|| sessions(&source.sessions, findings)),
            placement: Placement {
                storage_class: class.or(s3.storage_class.as_ref()).cloned(),
                tags: tags.unwrap_or(&s3.tags).clone(),
            },
        },
    }
}

fn method(settings: &Settings, findings: &Findings, source: &Source) -> Method {
    let defaults = &settings.defaults;
    let method = match settings.archive {
        true => Some(SourceMethod::Archive),
        false if source.has_sessions => Some(SourceMethod::Archive),
        false => source.method.or(defaults.method),
    };
    let (own, default) = (&source.archive, &defaults.archive);
    let codec = own
        .compression
        .or(default.compression)
        .unwrap_or(match source.has_sessions {
            // Pictures seldom become smaller, and a plain tar can be read by everything.
            true => Codec::None,
            false => Codec::Gzip,
        });
    let (usual, hardest) = match codec {
        Codec::Gzip => (6, 9),
        Codec::Zstd => (3, 19),
        Codec::None => (0, 0),
    };
    let level = own.level.as_ref().or(default.level.as_ref());
    if let Some(level) = level.filter(|level| level.value > hardest && codec != Codec::None) {
        let message = format!("must be {hardest} or less");
        complain(
            findings,
            level,
            &message,
            &format!("{usual} is a good value"),
        );
    }
    let level = level.map_or(usual, |level| level.value.min(hardest));
    let (key, usual) = match source.has_sessions {
        true => (own.key.as_ref(), KeyTemplate::of_sessions()),
        false => (
            own.key.as_ref().or(default.key.as_ref()),
            KeyTemplate::of_archives(),
        ),
    };
    let needed: &[&str] = match source.has_sessions {
        true => &["session"],
        false => &[],
    };
    let template = key.and_then(|key| {
        let hint = match source.has_sessions {
            true => "as in raw/{year}/{session}.{ext}",
            false => "as in archives/{source}/{pass}.{ext}",
        };
        template(findings, key, needed, hint)
    });
    if method != Some(SourceMethod::Archive) {
        return Method::Files;
    }
    Method::Archive(ArchiveOptions {
        codec,
        level: i32::try_from(level).unwrap_or_default(),
        template: template.unwrap_or(usual),
        incremental: own.incremental.or(default.incremental).unwrap_or(false) && !settings.full,
        full_every: own.full_every.or(default.full_every),
    })
}

/// A key template with the placeholders that keep its keys apart.
fn template(
    findings: &Findings,
    key: &Placed<String>,
    needed: &[&str],
    hint: &str,
) -> Option<KeyTemplate> {
    let parsed = KeyTemplate::parse(&key.value);
    if let Err(error) = &parsed {
        complain(findings, key, error, hint);
    }
    let template = parsed.ok()?;
    for name in needed {
        if !template.has(name) {
            complain(findings, key, &format!("has no `{{{name}}}`"), hint);
        }
    }
    Some(template)
}

fn sessions(settings: &super::settings::Sessions, findings: &Findings) -> SessionOptions {
    let notes = settings.notes.as_ref();
    let patterns = notes.map_or_else(|| vec!["*.md".to_owned()], |notes| notes.value.clone());
    let globs = (!patterns.is_empty()).then(|| Globs::new(&patterns));
    if let (Some(Err(invalid)), Some(notes)) = (&globs, notes) {
        for glob in invalid {
            let message = format!("has a bad pattern: {glob}");
            complain(findings, notes, &message, "as in [\"*.md\"]");
        }
    }
    let hint = "as in sessions/{year}/{session}_{name}";
    let key = settings.notes_key.as_ref();
    let key = key.and_then(|key| template(findings, key, &["session", "name"], hint));
    SessionOptions {
        year: settings.year_pattern.clone(),
        notes: globs.and_then(Result::ok),
        notes_key: key.unwrap_or_else(KeyTemplate::of_notes),
        tag_rules: settings.tag_rules.clone(),
        choice: Choice::default(),
    }
}

/// Without `.` and trailing slashes, so that two spellings of one directory compare equal.
fn normal(directory: &str) -> PathBuf {
    let components = Path::new(directory).components();
    components
        .filter(|component| *component != Component::CurDir)
        .collect()
}

/// Whether `outer` backs up what `inner` does: it is above it, and excludes nothing on the way there.
fn holds(outer: &DirectorySource, inner: &DirectorySource) -> bool {
    let Ok(below) = inner.directory.strip_prefix(&outer.directory) else {
        return false;
    };
    let excluded = |path: &Path| {
        let path = EntryPath::parse(path.as_os_str().as_bytes());
        path.is_ok_and(|path| outer.filter.leaves_out(&path, true))
    };
    !below.ancestors().any(excluded)
}

/// Two sources must not share a name, and must not hold each other's files.
fn check_apart(all: &[Listed], findings: &Findings) {
    for (index, listed) in all.iter().enumerate() {
        let Listed { source, tag, field } = listed;
        for other in &all[..index] {
            let others = other.source.directory.display();
            let problem = if source.directory == other.source.directory {
                format!("is `{others}` again, which `{}` names", other.field)
            } else if holds(&other.source, source) {
                format!("lies in `{others}`, which `{}` names", other.field)
            } else if holds(source, &other.source) {
                format!("holds `{others}`, which `{}` names", other.field)
            } else if source.name == other.source.name {
                format!("is named `{}` like `{}`", source.name, other.field)
            } else {
                continue;
            };
            let hint = if source.name == other.source.name {
                "give one of them another `name`, in `backup.sources`"
            } else {
                "list each file once: keep the outer directory, or exclude the inner one there"
            };
            findings.problem(*tag, field, problem, Some(hint.to_owned()));
        }
    }
}
