//! From what verify has found to objects that can be put back or captured again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::copy::Need;
use crate::format::damage::DamagedObject;
use crate::format::entry::Entry;
use crate::format::location::{ETag, Location};
use crate::format::objects::ObjectTable;
use crate::format::snapshot::Snapshot;
use crate::snapshots::entries::{Entries, EntriesError};
use crate::snapshots::objects::{self, ObjectsError};
use crate::store::{Store, StoreError};
use crate::verify::{Finding, FindingKind, VerifyReport};

/// Files of an object that a mark names, for people.
const MOST_PATHS: usize = 20;

/// An object that is damaged, missing, or another one.
#[derive(Debug)]
pub struct Damage {
    /// What a mark says of it.
    pub object: DamagedObject,
    /// What it has to be.
    pub need: Need,
    /// Its ETag, as it was recorded.
    pub etag: Option<ETag>,
    /// Whether it is a part of the manifest, and no contents.
    pub is_manifest: bool,
    /// Whether nothing but its ETag is known to be another one.
    pub is_doubtful: bool,
    /// Whether it costs files: an archive may be damaged where none lies.
    pub costs_files: bool,
}

/// What of the findings on a snapshot is about objects. `has_read` says that everything was read back, so that
/// a finding on an archive as a whole is about none of the files in it. Blocks.
///
/// # Errors
/// The store fails.
pub fn damages(
    store: &Arc<dyn Store>,
    snapshot: &Snapshot,
    report: &VerifyReport,
    has_read: bool,
) -> Result<Vec<Damage>, StoreError> {
    let mut found = Found {
        findings: BTreeMap::new(),
        damages: BTreeMap::new(),
        has_read,
    };
    for finding in &report.findings {
        found
            .findings
            .entry(&finding.key)
            .or_default()
            .push(finding);
    }
    if found.findings.is_empty() {
        return Ok(Vec::new());
    }
    found.manifest(snapshot);
    let table = match Handle::current().block_on(objects::load(&**store, snapshot)) {
        Ok(table) => table,
        Err(ObjectsError::Store(error)) => return Err(error),
        Err(ObjectsError::Newer { .. } | ObjectsError::Damaged { .. }) => ObjectTable::default(),
    };
    found.archives(&table);
    for entry in Entries::of(store, snapshot).with_digests() {
        match entry {
            Ok(entry) => found.entry(&entry, &table),
            Err(EntriesError::Store(error)) => return Err(error),
            Err(EntriesError::Damaged { .. }) => {}
        }
    }
    Ok(found.damages.into_values().collect())
}

struct Found<'a> {
    findings: BTreeMap<&'a str, Vec<&'a Finding>>,
    damages: BTreeMap<String, Damage>,
    has_read: bool,
}

impl Found<'_> {
    /// Segments and the table of objects.
    fn manifest(&mut self, snapshot: &Snapshot) {
        let segments = snapshot.segments.iter();
        let parts = segments.map(|segment| (&segment.key, segment.size, &segment.sha256));
        let table = snapshot.objects.iter();
        let table = table.map(|table| (&table.key, table.size, &table.sha256));
        for (key, size, digits) in parts.chain(table) {
            let mut sha256 = [0; 32];
            let is_digest = hex::decode_to_slice(digits, &mut sha256).is_ok();
            if !is_digest || !self.findings.contains_key(&**key) {
                continue;
            }
            let damage = Damage {
                object: damaged(key, "missing or damaged"),
                need: Need {
                    key: key.clone(),
                    size,
                    sha256: Some(sha256),
                    crc64nvme: None,
                    has_headers: false,
                },
                etag: None,
                is_manifest: true,
                is_doubtful: false,
                costs_files: true,
            };
            self.damages.insert(key.clone(), damage);
        }
    }

    fn archives(&mut self, table: &ObjectTable) {
        for object in table.iter() {
            let Some(findings) = self.findings.get(&*object.key) else {
                continue;
            };
            let Some(problem) = problem(findings) else {
                continue;
            };
            let is_whole = |finding: &&Finding| finding.files.is_some();
            let is_missing = findings.iter().any(|f| f.kind == FindingKind::Missing);
            let is_outside = self.has_read && findings.iter().all(is_whole) && !is_missing;
            let damage = Damage {
                object: DamagedObject {
                    object: Some(object.object),
                    ..damaged(&object.key, problem)
                },
                need: Need::of_shared(object),
                etag: object.etag.clone(),
                is_manifest: false,
                is_doubtful: is_doubtful(findings),
                costs_files: !is_outside,
            };
            self.damages.insert(object.key.to_string(), damage);
        }
    }

    /// A file that is, or may be, in a damaged object.
    fn entry(&mut self, entry: &Entry, table: &ObjectTable) {
        let Some(content) = &entry.content else {
            return;
        };
        match &content.location {
            Location::Inline => {}
            Location::Object(stored) => {
                let Some(findings) = self.findings.get(&*stored.key) else {
                    return;
                };
                let Some(problem) = problem(findings) else {
                    return;
                };
                let is_doubtful = is_doubtful(findings);
                let damage = self.damages.entry(stored.key.to_string());
                let damage = damage.or_insert_with(|| Damage {
                    object: damaged(&stored.key, problem),
                    need: Need::of(stored, entry, content.digest),
                    etag: stored.etag.clone(),
                    is_manifest: false,
                    is_doubtful,
                    costs_files: true,
                });
                name(damage, entry);
            }
            Location::Member(member) => {
                let Some(object) = table.get(member.of) else {
                    return;
                };
                let Some(findings) = self.findings.get(&*object.key) else {
                    return;
                };
                let path = entry.name.to_string();
                let is_all = |f: &&Finding| f.files.is_some() || f.kind == FindingKind::Missing;
                let is_all = findings.iter().any(is_all);
                let is_it = findings.iter().any(|finding| finding.path == path);
                let Some(damage) = self.damages.get_mut(&*object.key) else {
                    return;
                };
                if is_it && !is_all {
                    damage.object.offsets.insert(member.offset);
                }
                if is_it || is_all {
                    name(damage, entry);
                }
            }
        }
    }
}

fn name(damage: &mut Damage, entry: &Entry) {
    if damage.object.paths.len() < MOST_PATHS {
        damage.object.paths.push(entry.name.to_string());
    }
}

fn damaged(key: &str, problem: &str) -> DamagedObject {
    DamagedObject {
        key: key.to_owned(),
        problem: problem.to_owned(),
        object: None,
        offsets: BTreeSet::new(),
        paths: Vec::new(),
    }
}

/// What is wrong with an object, in a word; `None` if nothing is known to be.
fn problem(findings: &[&Finding]) -> Option<&'static str> {
    let word = |finding: &&Finding| match finding.kind {
        FindingKind::Missing => Some("missing"),
        FindingKind::Truncated => Some("truncated"),
        FindingKind::Altered => Some("altered"),
        FindingKind::Replaced => Some("replaced"),
        FindingKind::Unsteady | FindingKind::Segment | FindingKind::Record => None,
    };
    findings.iter().find_map(word)
}

fn is_doubtful(findings: &[&Finding]) -> bool {
    findings.iter().all(|f| f.kind == FindingKind::Replaced)
}
