//! Shared objects: each is looked at once for all files in it.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;

use super::already::LastVerified;
use super::asking::{Asker, Wanted};
use super::compare::{Look, Mismatch, Recorded};
use super::fetched::Fetched;
use super::report::{Evidence, Finding, FindingKind, Problem, VerifyReport};
use super::whole::{Reader, Whole};
use crate::format::location::{Member, ObjectId};
use crate::format::objects::{ObjectTable, SharedObject};
use crate::format::pass_id::PassId;
use crate::format::path::EntryPath;
use crate::stop::Stop;
use crate::store::{Store, StoreError};

/// The archives of a snapshot.
pub(super) struct Archives {
    store: Arc<dyn Store>,
    runtime: Handle,
    stop: Arc<Stop>,
    listed: BTreeMap<ObjectId, Archive>,
}

struct Archive {
    object: SharedObject,
    /// `None` where the command was stopped before it was looked at, or an earlier snapshot has it.
    look: Option<Look>,
    /// Files in it, of those that the snapshot has.
    files: u64,
    /// What all of them are or lie below.
    directory: Option<EntryPath>,
}

/// An archive that the store is asked about.
struct WantedArchive {
    object: SharedObject,
    is_copied: bool,
}

impl Wanted for WantedArchive {
    fn key(&self) -> &str {
        &self.object.key
    }

    fn recorded(&self) -> Recorded {
        Recorded::of_shared(&self.object).copied(self.is_copied)
    }
}

impl Archives {
    /// Looks at those archives of a snapshot that an earlier one did not have.
    pub(super) fn look(
        asker: &Arc<Asker>,
        objects: &ObjectTable,
        copied_through: Option<PassId>,
        before: Option<&LastVerified>,
    ) -> Result<Self, StoreError> {
        let runtime = Handle::current();
        let is_new = |object: &&SharedObject| {
            !before.is_some_and(|before| before.covers(object.object.pass, &object.key))
        };
        let wanted = objects.iter().filter(is_new).map(|object| WantedArchive {
            object: object.clone(),
            is_copied: copied_through.is_some_and(|through| object.object.pass <= through),
        });
        let looks = Arc::new(Mutex::new(Vec::new()));
        let told = {
            let looks = Arc::clone(&looks);
            Arc::new(move |wanted: WantedArchive, look| {
                let mut looks = looks.lock().expect("nothing panics holding this");
                looks.push((wanted.object.object, look));
            })
        };
        runtime.block_on(asker.ask(wanted.collect(), told))?;
        let archives = objects.iter().map(|object| {
            let archive = Archive {
                object: object.clone(),
                look: None,
                files: 0,
                directory: None,
            };
            (object.object, archive)
        });
        let mut listed: BTreeMap<_, _> = archives.collect();
        for (id, look) in std::mem::take(&mut *looks.lock().expect("nothing panics holding this")) {
            listed
                .entry(id)
                .and_modify(|archive| archive.look = Some(look));
        }
        Ok(Self {
            store: Arc::clone(&asker.store),
            runtime,
            stop: Arc::clone(&asker.stop),
            listed,
        })
    }

    /// Notes that a file lies in an archive.
    pub(super) fn note(&mut self, member: &Member, path: &EntryPath) {
        if let Some(archive) = self.listed.get_mut(&member.of) {
            archive.files += 1;
            archive.directory = Some(match &archive.directory {
                Some(directory) => directory.common(path),
                None => path.clone(),
            });
        }
    }

    /// What is wrong with a member, for certain and without reading it.
    pub(super) fn problem(&self, member: &Member) -> Option<Problem> {
        let lost = |text: String| Some(Problem::new(FindingKind::Altered, text));
        let Some(archive) = self.listed.get(&member.of) else {
            let text = "its archive is not in the snapshot's table of objects";
            return Some(Problem::new(FindingKind::Record, text));
        };
        let (size, end) = (archive.object.size, member.end());
        if end > size {
            return lost(format!(
                "ends at byte {end} of its archive, which has {size}"
            ));
        }
        let look = archive.look.as_ref()?;
        let mismatch = look.compared.as_ref().err()?;
        let is_lost = match mismatch {
            Mismatch::Missing => true,
            Mismatch::Size { stored, .. } => end > *stored,
            Mismatch::Checksum { .. } | Mismatch::OtherChecksum | Mismatch::ETag { .. } => false,
        };
        is_lost.then(|| {
            let Problem { kind, text, .. } = mismatch.problem();
            Problem::new(kind, format!("its archive is {text}"))
        })
    }

    /// Whether an archive cannot be read before it is thawed.
    pub(super) fn is_archived(&self, id: ObjectId) -> bool {
        let look = self
            .listed
            .get(&id)
            .and_then(|archive| archive.look.as_ref());
        look.is_some_and(|look| look.is_archived)
    }

    /// Enters every archive into the report. Where `fetched` is given, each is read as a whole, as
    /// far as its files were not; `refused` could not be read.
    pub(super) fn settle(
        self,
        report: &mut VerifyReport,
        refused: &HashSet<String>,
        fetched: Option<&Fetched>,
    ) -> Result<(), StoreError> {
        let (mut named, mut damaged) = (HashSet::new(), HashSet::new());
        for finding in &report.findings {
            named.insert(finding.key.clone());
            if finding.kind != FindingKind::Unsteady {
                damaged.insert(finding.key.clone());
            }
        }
        let reader = Reader {
            store: &*self.store,
            runtime: &self.runtime,
            stop: &self.stop,
        };
        for archive in self.listed.values() {
            let key = &archive.object.key;
            let Some(look) = &archive.look else { continue };
            let is_named = named.contains(&**key);
            let mut is_archived = look.is_archived || refused.contains(&**key);
            let mut result = look.compared.clone().map_err(|mismatch| mismatch.problem());
            let fetched = fetched.filter(|_| look.is_worth_reading() && !is_archived);
            if let Some(fetched) = fetched
                && !is_named
            {
                match reader.read(&archive.object, &fetched.take(key))? {
                    Whole::Sound => result = Ok(Evidence::Contents),
                    Whole::Wrong(problem) => result = Err(problem.after(result)),
                    Whole::Archived => is_archived = true,
                    Whole::Stopped => {}
                }
            }
            report.objects += 1;
            report.archived += u64::from(is_archived);
            match result {
                Ok(_) if is_named => {}
                Ok(evidence) => report.compared.count(evidence),
                // What was found in its files tells more.
                Err(problem)
                    if damaged.contains(&**key)
                        && (fetched.is_some() || problem.kind == FindingKind::Missing) => {}
                Err(problem) => report.findings.push(archive.finding(problem)),
            }
        }
        Ok(())
    }
}

impl Archive {
    fn finding(&self, problem: Problem) -> Finding {
        let directory = self.directory.clone().unwrap_or(EntryPath::ROOT);
        Finding {
            files: Some(self.files),
            ..problem.at(directory.to_string(), &*self.object.key)
        }
    }
}
