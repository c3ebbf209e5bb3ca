//! Notes: files in a session that are wanted at once while its archive may lie in Glacier. Each is
//! in the archive too.

use super::SessionOptions;
use crate::archive::template::{KeyTemplate, Values};
use crate::format::codec::Codec;
use crate::format::entry::{Content, Kind};
use crate::format::keys::{self, SourceName};
use crate::format::location::Location;
use crate::format::pass_id::PassId;
use crate::format::path::EntryPath;
use crate::pass::diff::Pair;
use crate::pass::job::SourceJob;
use crate::pass::steps::Apart;
use crate::source::filter::Globs;
use crate::source::session::name_of;

/// Which files are notes, and where they go.
pub(super) struct Notes {
    globs: Option<Globs>,
    key: KeyTemplate,
    source: SourceName,
    pass: PassId,
    /// Whether all are sent again, whatever was recorded.
    afresh: bool,
}

impl Notes {
    pub(super) fn of(source: &SourceJob, options: &SessionOptions, pass: PassId) -> Self {
        Self {
            globs: options.notes.clone(),
            key: options.notes_key.clone(),
            source: source.name.clone(),
            pass,
            afresh: options.choice_of(source.afresh).force,
        }
    }

    /// Where a file of a session of this year goes, if it is a note.
    pub(super) fn apart(&self, pair: &Pair, year: &str) -> Option<Apart> {
        let found = &pair.found;
        let path = found.name.as_path();
        if found.stat.metadata.kind != Kind::File || !is_note(self.globs.as_ref(), path) {
            return None;
        }
        let values = Values {
            source: &self.source,
            pass: self.pass,
            session: &keys::percent_encode(name_of(path)?),
            name: &keys::percent_encode(path.name()?),
            year,
            is_full: true,
            codec: Codec::None,
        };
        let recorded = [&pair.continued, &pair.base].into_iter().flatten();
        let recorded = recorded.map(|compared| &compared.recorded);
        let sound = recorded.filter(|recorded| !recorded.is_damaged);
        let mut contents = sound.filter_map(|recorded| recorded.entry.content.as_ref());
        // One that was put as a file of its own is kept as those are, and has another key.
        let is_object = |content: &&Content| match &content.location {
            Location::Object(stored) => keys::pass_of_contents(&self.source, &stored.key).is_none(),
            Location::Inline | Location::Member(_) => false,
        };
        Some(Apart {
            key: self.key.key(&values),
            known: contents.find(is_object).filter(|_| !self.afresh).cloned(),
        })
    }
}

/// Whether a file is a note: it lies directly in its session, and its name matches.
pub(super) fn is_note(globs: Option<&Globs>, path: &EntryPath) -> bool {
    let mut components = path.components().skip(1);
    let (Some(name), None, Some(globs)) = (components.next(), components.next(), globs) else {
        return false;
    };
    EntryPath::parse(name).is_ok_and(|name| globs.match_itself(name.as_bytes(), false))
}
