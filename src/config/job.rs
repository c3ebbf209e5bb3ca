//! From settings to a job: everything checked that can be checked without touching anything.

use std::path::PathBuf;
use std::time::Duration;

use super::Purpose;
use super::copies::{CopyAt, First, copies, in_place_of_the_first};
use super::log_format::LogFormat;
use super::reader::{Findings, Placed, complain};
use super::retention;
use super::settings::{Incomplete, Metrics, Settings};
use super::sources::{StoreAt, sources};
use super::store::{self, Stores};
use super::value::Bytes;
use crate::events::{Files, Level};
use crate::pass::context::Limits;
use crate::prices::Prices;
use crate::run::Pass;
use crate::store::url::StoreUrl;
use crate::store::{COPY_WHOLE_BYTES, StoreOptions};

/// What the program is to do, valid.
#[derive(Debug)]
pub struct Job {
    /// Where backups go.
    pub store: StoreUrl,
    /// How they get there.
    pub store_options: StoreOptions,
    /// What a pass does.
    pub pass: Pass,
    /// Time from the start of one pass to the start of the next, in a loop.
    pub interval: Option<Duration>,
    /// What the process exits with when all that is missing could not be read.
    pub incomplete: Incomplete,
    /// What storage costs; nothing in a directory.
    pub prices: Prices,
    /// Where a copy of each pass's manifest goes.
    pub manifest_file: Option<PathBuf>,
    /// Minimum level of events.
    pub log_level: Level,
    /// Which events about single files are written.
    pub log_files: Files,
    /// How events are written.
    pub log_format: LogFormat,
    /// Whether there are metrics in the events.
    pub metrics: Metrics,
    /// What everybody who reads the events of a pass should know of its configuration.
    pub notices: Vec<String>,
}

/// The shortest lease: a renewal every third of it must be able to meet a slow answer.
const SHORTEST_TTL: Duration = Duration::from_secs(3);

/// The longest lease: a pass that dies blocks the next one for so long.
const LONGEST_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// More requests at once than this help nobody, and each may take a file descriptor.
const MOST_REQUESTS: u64 = 4096;

/// The most entries in a segment: some 700 MB in memory.
const MOST_SEGMENT_ENTRIES: u64 = 16 << 20;

impl Job {
    /// Checks settings. What is wrong goes to `findings`, and the job is of no use then.
    pub(super) fn check(
        settings: Settings,
        stores: &Stores<'_>,
        findings: &Findings,
        purpose: Purpose,
    ) -> Self {
        let store = store::url(&settings, findings);
        let options = store::options(&settings, findings);
        let store_options = in_place_of_the_first(&settings, &store, options, stores, findings);
        let endpoint_url = stores.endpoint_url;
        let first = First {
            url: &store,
            options: &store_options,
            layer: store::layer(&settings, findings),
        };
        let copies = copies(&settings.copies, &first, endpoint_url, findings, purpose);
        let stores = all_stores(&first, &copies);
        let sources = sources(&settings, &stores, findings, purpose);
        let of_all = settings.defaults.retention.as_ref();
        let retention = retention::of_source(None, of_all, None, findings);
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
                store_owner: settings.store_owner,
                retention,
                copies: copies.into_iter().map(|copy| copy.job).collect(),
                lock_ttl: ttl,
                lock_wait: settings.lock_wait,
                stop_on_failure: settings.stop_on_failure,
                retry_for: settings.retry_for,
            },
            prices: match store.directory() {
                Some(_) => Prices::default(),
                None => settings.prices,
            },
            store,
            store_options,
            interval: settings.s3.interval.filter(|interval| !interval.is_zero()),
            incomplete: settings.incomplete,
            manifest_file: settings.manifest_file,
            log_level: settings.log_level,
            log_files: settings.log_files,
            log_format: settings.log_format,
            metrics: settings.metrics,
            notices: Vec::new(),
        }
    }
}

/// Every store with the field that names it, and how it is reached.
fn all_stores<'a>(first: &First<'a>, copies: &'a [CopyAt]) -> Vec<StoreAt<'a>> {
    let copies = copies.iter();
    let copies = copies.map(|copy| (&*copy.field, &copy.job.store, &copy.job.options));
    std::iter::once(("backup.store", first.url, first.options))
        .chain(copies)
        .collect()
}

/// S3 copies no larger object in one request (S3 API reference, "CopyObject"), and no part but the last of an upload is
/// shorter than 5 MiB.
fn copy_whole_bytes(placed: Option<&Placed<Bytes>>, findings: &Findings) -> u64 {
    let Some(placed) = placed else {
        return COPY_WHOLE_BYTES;
    };
    let Bytes(bytes) = placed.value;
    if !(5 << 20..=COPY_WHOLE_BYTES).contains(&bytes) {
        let message = "must be 5MiB or more, and 5GiB or less";
        complain(findings, placed, message, "5GiB is what AWS copies at once");
    }
    bytes.clamp(5 << 20, COPY_WHOLE_BYTES)
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
        copy_whole_bytes: copy_whole_bytes(limits.copy_whole.as_ref(), findings),
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
