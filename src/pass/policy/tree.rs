//! The policy for a tree: the manifest shows it as it is now.

use std::sync::Arc;

use super::{Approach, Change, Decision, Policy};
use crate::archive::template::Values;
use crate::format::name::Name;
use crate::format::selection::SessionSelection;
use crate::format::snapshot::Snapshot;
use crate::pass::context::SourceContext;
use crate::pass::diff::{Moved, Recorded, Verdict};
use crate::pass::job::ArchiveOptions;
use crate::pass::job::{Detect, Method};
use crate::pass::steps::Group;
use crate::source::{Found, Source};

struct Tree {
    /// Whether everything is captured again, whatever was recorded.
    afresh: bool,
    closeness: Closeness,
    may_be_empty: bool,
    source: Arc<dyn Source>,
    /// The archive that everything goes into.
    archive: Option<Arc<Group>>,
}

/// How closely a tree is compared with what was recorded of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closeness {
    detect: Detect,
    /// Whether every entry is recorded again although it has not changed: its attributes were not.
    rerecord: bool,
}

impl Closeness {
    pub(super) fn of(context: &SourceContext, parent: Option<&Snapshot>) -> Self {
        let source = &context.job;
        Self {
            detect: source.detect,
            rerecord: context.source.records_xattrs()
                && parent.is_some_and(|parent| !parent.xattrs),
        }
    }

    pub(super) fn compare(self, found: &Found, recorded: &Recorded, moved: &Moved) -> Verdict {
        match moved.compare(found, recorded, self.detect) {
            Verdict::Unchanged if self.rerecord => Verdict::Rerecord,
            verdict => verdict,
        }
    }
}

impl Policy for Tree {
    fn compare(&self, found: &Found, recorded: &Recorded, moved: &Moved) -> Verdict {
        match self.afresh {
            true => Verdict::Capture,
            false => self.closeness.compare(found, recorded, moved),
        }
    }

    fn group(&self, _: &Name) -> Option<Arc<Group>> {
        self.archive.clone()
    }

    fn decide(&mut self, change: &Change<'_>) -> Decision {
        match change {
            Change::Same(_) => Decision::Keep,
            Change::Different(pair) | Change::New(pair) => match &pair.continued {
                Some(continued) if continued.verdict == Verdict::Unchanged => {
                    Decision::Take(Box::new(continued.recorded.entry.clone()))
                }
                _ => Decision::Capture,
            },
            Change::Gone(recorded) if !self.source.looks_for(&recorded.entry) => Decision::Keep,
            // What a damaged segment lists is captured again, if it still exists.
            Change::Gone(_) | Change::Damaged => Decision::Drop,
            Change::Unknown(_) => Decision::Hold,
        }
    }

    fn may_be_empty(&self) -> bool {
        self.may_be_empty
    }
}

pub(super) fn settle(context: &SourceContext, parent: Option<&Snapshot>) -> Approach {
    let source = &context.job;
    let archive = match &source.method {
        Method::Files => None,
        Method::Archive(archive) => Some(archive),
    };
    let now = context.store.now();
    let is_full = archive.is_some_and(|a| source.afresh || a.is_full_due(parent, now));
    let tree = Tree {
        afresh: source.afresh || is_full,
        closeness: Closeness::of(context, parent),
        may_be_empty: source.allow_empty,
        source: Arc::clone(&context.source),
        archive: archive.map(|archive| Arc::new(group(context, archive, is_full))),
    };
    Approach {
        policy: Box::new(tree),
        only: None,
        is_full,
        xattrs: context.source.records_xattrs(),
        selection: (context.source.categories()).map(|categories| SessionSelection {
            categories,
            ..SessionSelection::default()
        }),
        expected: 0,
        lost: 0,
        left_out: 0,
    }
}

fn group(context: &SourceContext, archive: &ArchiveOptions, is_full: bool) -> Group {
    let pass = context.pass.to_string();
    let values = Values {
        source: &context.job.name,
        pass: context.pass,
        session: context.job.name.as_str(),
        name: "",
        year: &pass[..4],
        is_full,
        codec: archive.codec,
    };
    Group {
        key: archive.template.key(&values),
        name: None,
        placement: context.job.placement.clone(),
        takes_directories: true,
        is_only: true,
    }
}
