//! An item of `backup.sources`, and what `backup.defaults` says of all of them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::bucket::Bucket;
use super::kind::Kind;
use super::reader::{Placed, Section};
use super::retention::{self, Written};
use crate::format::codec::Codec;
use crate::pass::job::Detect;
use crate::pass::policy::sessions::TagRule;
use crate::source::session::YearPattern;

/// An item of `backup.sources`, or `backup.defaults`.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// Where in the configuration it stands.
    pub(super) field: String,
    pub(super) name: Option<Placed<String>>,
    /// Its kind, and where it is.
    pub(super) place: Option<(Kind, Placed<String>)>,
    /// What else is said of a bucket.
    pub(super) bucket: Option<Bucket>,
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
    pub(super) retention: Option<Written>,
    pub(super) depends_on: Option<Placed<Vec<String>>>,
}

impl Source {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let name = section.placed("name");
        let (place, bucket) = Self::place(&mut section);
        let source = Self {
            name,
            place,
            bucket,
            sessions: Sessions::read(&mut section),
            depends_on: section.placed("depends_on"),
            ..Self::options(&mut section)
        };
        if !source.has_sessions() && !source.sessions.is_empty() {
            let hint = "`year_pattern`, `notes`, `notes_key` and `tag_rules` are for sources that name `sessions: <directory>`";
            section.complain("", "has settings of sessions and none", hint);
        }
        if source.has_sessions() && source.method == Some(SourceMethod::Files) {
            section.complain("method", "must be archive", "sessions are always archived");
        }
        if source.bucket.is_some() {
            source.refuse_for_buckets(&section);
        }
        section.finish();
        source
    }

    /// What means nothing for objects that the store copies as they are.
    fn refuse_for_buckets(&self, section: &Section<'_>) {
        let given = [
            ("method", self.method.is_some()),
            ("detect", self.detect.is_some()),
            ("xattrs", self.xattrs.is_some()),
            ("one_file_system", self.one_file_system.is_some()),
            ("tags", self.tags.is_some()),
        ];
        for (key, _) in given.into_iter().filter(|(_, is_given)| *is_given) {
            let hint = match key {
                "tags" => "objects keep their own tags; `bucket.tags: ignore` leaves them out",
                _ => "it is for directories: leave it out",
            };
            section.complain(key, "has no effect on a bucket", hint);
        }
    }

    /// Exactly one key says where it is.
    fn place(section: &mut Section<'_>) -> (Option<(Kind, Placed<String>)>, Option<Bucket>) {
        let given: Vec<_> = Kind::ALL
            .into_iter()
            .filter(|kind| section.has(kind.key()))
            .collect();
        if let [kind, other, ..] = given[..] {
            let message = format!("is given besides `{}`", kind.key());
            let hint = match other {
                Kind::Bucket => "give each of them a source of its own",
                Kind::Directory | Kind::Sessions => {
                    "keep `sessions` if each directory in it is a session, else `directory`"
                }
            };
            section.complain(other.key(), &message, hint);
        }
        match given.first().copied() {
            Some(Kind::Bucket) => {
                let (name, bucket) = Bucket::read(section.section(Kind::Bucket.key()));
                (name.map(|name| (Kind::Bucket, name)), Some(bucket))
            }
            Some(kind) => {
                let place = section.placed(kind.key()).map(|place| (kind, place));
                (place, None)
            }
            None => {
                let keys = Kind::ALL.map(Kind::key).join("` or `");
                let hint = format!("name what to back up, as `{keys}`");
                section.complain("", "does not say what to back up", &hint);
                (None, None)
            }
        }
    }

    /// Its kind, if it says where it is.
    pub(super) fn kind(&self) -> Option<Kind> {
        self.place.as_ref().map(|(kind, _)| *kind)
    }

    /// Whether each directory in it is a session.
    pub(super) fn has_sessions(&self) -> bool {
        matches!(self.place, Some((Kind::Sessions, _)))
    }

    /// What can stand in `backup.defaults` too.
    pub(super) fn options(section: &mut Section<'_>) -> Self {
        Self {
            field: section.path().to_owned(),
            name: None,
            place: None,
            bucket: None,
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
            retention: retention::read(section),
            depends_on: None,
        }
    }
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

/// Classes whose objects can be read at once or after a restore request, from the S3 API
/// reference of PutObject. Some belong to other services, and S3-compatible stores have their own,
/// so that only the spelling is checked.
pub(super) fn storage_class(section: &mut Section<'_>) -> Option<String> {
    section.parse("storage_class", |text| {
        let fits = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        match !text.is_empty() && text.bytes().all(fits) {
            true => Ok(text.to_owned()),
            false => Err("a storage class like STANDARD, STANDARD_IA or GLACIER_IR"),
        }
    })
}
