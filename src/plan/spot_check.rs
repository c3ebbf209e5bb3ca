//! A snapshot against the source that it is of: how far the source has gone on since, whether files that look
//! unchanged have the contents that were recorded, and how much of the source the configuration hides.
//!
//! The source is gone through by the one merge. Of the files that look unchanged some are read and hashed; the store is
//! asked for the manifest alone.

use std::sync::Arc;

use serde::Serialize;

use crate::format::entry::Kind;
use crate::format::name::Name;
use crate::format::snapshot::Snapshot;
use crate::pass::context::{PassContext, SourceContext};
use crate::pass::diff::{
    Compared, Damaged, Inputs, MergeError, Moved, Pair, Recorded, UnknownAt, Verdict, Visitor,
    joined,
};
use crate::pass::error::{Nothing, SourceError};
use crate::pass::hashing::sha256;
use crate::pass::job::{Detect, SourceJob};
use crate::pass::past::Past;
use crate::source::{Found, Item, Refused, Scope, Source};
use crate::stop::Stop;

/// What came of it. Files are counted, and nothing else.
#[derive(Debug, Default, Serialize)]
pub struct SpotCheck {
    /// Name of the source.
    pub source: String,
    /// The snapshot.
    pub snapshot: String,
    /// Files that look as they were recorded.
    pub unchanged: u64,
    /// Files that look different.
    pub changed: u64,
    /// Files that the snapshot does not have.
    pub added: u64,
    /// Files that exist no more.
    pub removed: u64,
    /// What could not be looked at or read, and why.
    pub unreadable: Vec<Unread>,
    /// Files that look as they were recorded and were read.
    pub hashed_files: u64,
    /// Bytes of those.
    pub hashed_bytes: u64,
    /// Those among them that have other contents than were recorded.
    pub mismatches: Vec<OtherContents>,
    /// Files that exist and are not backed up, because the configuration leaves them out by name.
    pub hidden: u64,
}

/// Something that nothing is known of.
#[derive(Debug, Serialize)]
pub struct Unread {
    /// Where it is.
    pub path: String,
    /// Why.
    pub error: String,
}

/// A file with the size and the times that were recorded, and other contents.
#[derive(Debug, Serialize)]
pub struct OtherContents {
    /// Where it is.
    pub path: String,
    /// SHA-256 that was recorded, in hex.
    pub recorded: String,
    /// SHA-256 of what the source has.
    pub found: String,
}

/// Says which files are read, by the SHA-256 that was recorded.
pub type Pick = Box<dyn Fn(&[u8; 32]) -> bool + Send>;

/// Compares a snapshot with what its source has now.
///
/// # Errors
/// As a pass.
pub async fn spot_check(
    pass: &PassContext,
    source: &SourceJob,
    snapshot: &Snapshot,
    pick: Pick,
) -> Result<SpotCheck, SourceError> {
    let past = &Past {
        parent: Some(snapshot.clone()),
        ..Past::default()
    };
    let context = &pass.open(source).await?;
    let inputs = Inputs::open(context, None, past)?;
    let checker = SpotChecker {
        context: Arc::clone(context),
        pick,
        found: 0,
        has_root: false,
        files: 0,
        check: SpotCheck {
            source: source.name.to_string(),
            snapshot: snapshot.pass.to_string(),
            ..SpotCheck::default()
        },
    };
    let checker = joined(inputs.merge(context, checker)).await?;
    let is_nothing =
        checker.found <= u64::from(checker.has_root) && checker.check.unreadable.is_empty();
    if is_nothing && !source.allow_empty {
        let nothing = context.nothing_there(Nothing::LeftOut, past.entries());
        return Err(nothing.await);
    }
    let mut check = checker.check;
    if let Some(everything) = source.place.with_everything() {
        let everything = SourceJob {
            place: everything,
            ..source.clone()
        };
        let everything = Arc::clone(&pass.open(&everything).await?.source);
        let files = files_in(everything, context.limits.scan_threads, &context.stop);
        check.hidden = files.await?.saturating_sub(checker.files);
    }
    context.confirm().await?;
    Ok(check)
}

impl SpotCheck {
    /// Whether the configuration hides more than one file in a hundred.
    #[must_use]
    pub fn hides_much(&self) -> bool {
        let seen = self.unchanged + self.changed + self.added;
        self.hidden.saturating_mul(100) > seen.saturating_add(self.hidden)
    }
}

/// Counts the files of a source.
async fn files_in(
    source: Arc<dyn Source>,
    threads: usize,
    stop: &Arc<Stop>,
) -> Result<u64, SourceError> {
    let stop = Arc::clone(stop);
    let counting = tokio::task::spawn_blocking(move || {
        let scope = Scope {
            threads,
            ..Scope::default()
        };
        let mut files = 0;
        for item in source.items(&scope)? {
            if stop.is_set() {
                return Err(SourceError::Interrupted);
            }
            let is_file = |found: &Found| found.stat.metadata.kind == Kind::File;
            if let Item::Broken(unusable) = item {
                return Err(unusable.into());
            }
            files += u64::from(matches!(&item, Item::Found(found) if is_file(found)));
        }
        Ok(files)
    });
    match counting.await {
        Ok(counted) => counted,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// Looks through the merge, and reads what it picks.
struct SpotChecker {
    context: Arc<SourceContext>,
    pick: Pick,
    /// Entries that exist.
    found: u64,
    /// Whether a root is among them.
    has_root: bool,
    /// Files among them.
    files: u64,
    check: SpotCheck,
}

impl SpotChecker {
    fn unread(&mut self, path: &Name, error: &str) {
        self.check.unreadable.push(Unread {
            path: path.to_string(),
            error: error.to_owned(),
        });
    }

    /// Reads a file that looks unchanged, if it is picked.
    fn compare_contents(&mut self, found: &Found, base: &Compared) -> Result<(), MergeError> {
        let content = base.recorded.entry.content.as_ref();
        let Some(recorded) = content.and_then(|content| content.digest.sha256()) else {
            return Ok(());
        };
        if !(self.pick)(&recorded) {
            return Ok(());
        }
        match sha256(&self.context, found)? {
            Ok(sha256) if sha256 != recorded && self.is_still(found) => {
                self.check.mismatches.push(OtherContents {
                    path: found.name.to_string(),
                    recorded: hex::encode(recorded),
                    found: hex::encode(sha256),
                });
            }
            Ok(sha256) if sha256 != recorded => {
                self.check.unchanged -= 1;
                self.check.changed += 1;
                return Ok(());
            }
            Ok(_) => {}
            Err(Refused::Gone) => return Ok(()),
            Err(Refused::Unreadable(error)) => {
                self.unread(&found.name, &error.to_string());
                return Ok(());
            }
        }
        self.check.hashed_files += 1;
        self.check.hashed_bytes += found.stat.metadata.size;
        Ok(())
    }

    /// Whether a file still looks as it was found.
    fn is_still(&self, found: &Found) -> bool {
        let opened = self.context.source.open(found);
        opened.is_ok_and(|opened| opened.stat.metadata == found.stat.metadata)
    }
}

impl Visitor for SpotChecker {
    type Output = Self;

    fn compare(&self, found: &Found, recorded: &Recorded, moved: &Moved) -> Verdict {
        moved.compare(found, recorded, Detect::Metadata)
    }

    fn damaged(&mut self, damaged: Damaged) -> Result<(), MergeError> {
        Err(MergeError::Damaged(damaged))
    }

    fn there(&mut self, pair: Pair) -> Result<(), MergeError> {
        self.found += 1;
        self.has_root |= pair.found.name.is_root();
        if pair.found.stat.metadata.kind != Kind::File {
            return Ok(());
        }
        self.files += 1;
        match &pair.base {
            None => self.check.added += 1,
            Some(base) if base.verdict == Verdict::Unchanged => {
                self.check.unchanged += 1;
                self.compare_contents(&pair.found, base)?;
            }
            Some(_) => self.check.changed += 1,
        }
        Ok(())
    }

    fn vanished(&mut self, _: &Name) -> Result<(), MergeError> {
        Ok(())
    }

    fn unknown(&mut self, path: &Name, error: &str) -> Result<(), MergeError> {
        self.unread(path, error);
        Ok(())
    }

    fn missing(
        &mut self,
        recorded: Recorded,
        unknown: Option<&UnknownAt>,
    ) -> Result<(), MergeError> {
        let is_file = recorded.entry.metadata.kind == Kind::File;
        self.check.removed += u64::from(is_file && unknown.is_none());
        Ok(())
    }

    fn finish(self) -> Result<Self, MergeError> {
        Ok(self)
    }
}
