//! Where a source is, by kind: what the configuration has to know of a place before anybody opens it. A further
//! kind of place is a further variant here.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use super::reader::{Findings, Placed, complain};
use super::settings::Settings;
use super::source::Source;
use crate::format::keys::SourceName;
use crate::format::path::EntryPath;
use crate::source::Place;
use crate::source::bucket::BucketPlace;
use crate::source::directory::DirectoryPlace;
use crate::source::directory::clean::clean;
use crate::source::filter::Filter;
use crate::store::StoreOptions;

/// Where a source is.
#[derive(Debug, Clone)]
pub(super) enum Whereabouts {
    /// In a directory, each of whose directories may be a session.
    Directory(DirectoryPlace),
    /// In a bucket.
    Bucket(Box<BucketPlace>),
}

impl Whereabouts {
    /// The directory that is `written`, with what else the settings of a source say of one.
    pub(super) fn directory(
        settings: &Settings,
        findings: &Findings,
        source: &Source,
        written: &Placed<String>,
    ) -> Self {
        let defaults = &settings.defaults;
        if written.value.is_empty() && !findings.is_flag(written.tag) {
            let hint = "name the directory to back up";
            complain(findings, written, "is empty", hint);
        }
        let flag =
            |of: fn(&Source) -> Option<bool>| of(source).or(of(defaults)).unwrap_or_default();
        Self::Directory(DirectoryPlace {
            directory: clean(&written.value),
            written_as: std::path::absolute(&written.value).unwrap_or_default(),
            filter: filter(settings, findings, source),
            one_file_system: flag(|source| source.one_file_system),
            xattrs: flag(|source| source.xattrs),
        })
    }

    /// The bucket that is `written`; how the first store is reached says how it is.
    pub(super) fn bucket(
        settings: &Settings,
        findings: &Findings,
        source: &Source,
        written: &Placed<String>,
        first: &StoreOptions,
    ) -> Option<Self> {
        // Where nothing makes a bucket, the linker leaves out all that is for them.
        if !cfg!(feature = "buckets") {
            let hint = "use the program as it is released, or build it with the feature `buckets`";
            complain(
                findings,
                written,
                "is a bucket, and this build backs up directories alone",
                hint,
            );
            return None;
        }
        let filter = filter(settings, findings, source);
        let bucket = source.bucket.as_ref()?;
        let place = bucket.place(written, first, filter, findings);
        Some(Self::Bucket(Box::new(place)))
    }

    /// This place as `other` writes it, which names the same one.
    pub(super) fn written_like(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Directory(own), Self::Directory(other)) => Self::Directory(DirectoryPlace {
                written_as: other.written_as.clone(),
                ..own.clone()
            }),
            _ => self.clone(),
        }
    }

    /// Whether they are one place, whatever is left out of each.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Directory(own), Self::Directory(other)) => own.directory == other.directory,
            (Self::Bucket(own), Self::Bucket(other)) => {
                own.url == other.url && own.options.endpoint_url == other.options.endpoint_url
            }
            _ => false,
        }
    }

    /// Whether this one backs up what is in the other one: it is above it, and excludes nothing on the way there.
    pub(super) fn holds(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bucket(own), Self::Bucket(other)) => {
                let (own_at, other_at) = (own.url.to_string(), other.url.to_string());
                let is_above = own_at.ends_with('/') && other_at.starts_with(&own_at);
                is_above && own.options.endpoint_url == other.options.endpoint_url
            }
            (_, Self::Directory(other)) => self.holds_path(&other.directory),
            (Self::Directory(_), Self::Bucket(_)) => false,
        }
    }

    /// The same of a path in the file system.
    pub(super) fn holds_path(&self, path: &Path) -> bool {
        let Self::Directory(own) = self else {
            return false;
        };
        let Ok(below) = path.strip_prefix(&own.directory) else {
            return false;
        };
        let excluded = |path: &Path| {
            let path = EntryPath::parse(path.as_os_str().as_bytes());
            path.is_ok_and(|path| own.filter.leaves_out(&path, true))
        };
        !below.ancestors().any(excluded)
    }

    /// Whether it lies in a directory, or is that directory.
    pub(super) fn lies_in(&self, directory: &Path) -> bool {
        matches!(self, Self::Directory(own) if own.directory.starts_with(directory))
    }

    /// It, for messages.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Directory(own) => own.directory.display().to_string(),
            Self::Bucket(own) => own.url.to_string(),
        }
    }

    /// The name of a source here that was given none.
    pub(super) fn default_name(&self) -> SourceName {
        match self {
            Self::Directory(own) => SourceName::of_directory(&own.directory.to_string_lossy()),
            Self::Bucket(own) => {
                let url = own.url.to_string();
                SourceName::of_directory(url.trim_start_matches("s3://"))
            }
        }
    }

    /// What a pass opens.
    pub(super) fn into_place(self) -> Arc<dyn Place> {
        match self {
            Self::Directory(own) => Arc::new(own),
            Self::Bucket(own) if cfg!(feature = "buckets") => Arc::new(*own),
            Self::Bucket(_) => unreachable!("this build makes none"),
        }
    }
}

/// Includes and excludes of a source, those of the defaults among them.
fn filter(settings: &Settings, findings: &Findings, source: &Source) -> Filter {
    let defaults = &settings.defaults;
    let include = source.include.as_ref().or(defaults.include.as_ref());
    let include: Vec<String> = include.map_or_else(Vec::new, |patterns| patterns.value.clone());
    let exclude = [defaults.exclude.as_ref(), source.exclude.as_ref()];
    let exclude: Vec<String> = exclude
        .into_iter()
        .flatten()
        .flat_map(|patterns| patterns.value.iter().cloned())
        .collect();
    Filter::new(&include, &exclude).unwrap_or_else(|invalid| {
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
    })
}
