//! From settings to sources: named, kept apart, each with what it does not say itself.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use figment::value::Tag;

use super::Purpose;
use super::reader::{Findings, Placed, complain};
use super::settings::{Settings, Source, SourceMethod};
use crate::archive::template::KeyTemplate;
use crate::format::codec::Codec;
use crate::format::keys::SourceName;
use crate::format::path::EntryPath;
use crate::pass::job::ArchiveOptions;
use crate::pass::job::{Method, SourceJob};
use crate::pass::policy::sessions::Choice;
use crate::pass::policy::sessions::SessionOptions;
use crate::source::directory::DirectoryPlace;
use crate::source::directory::clean::clean;
use crate::source::filter::{Filter, Globs};
use crate::store::Placement;
use crate::store::url::StoreUrl;

/// A source and where it stands in the configuration.
struct SourceAt {
    source: SourceJob,
    place: DirectoryPlace,
    tag: Tag,
    field: String,
}

/// Checks the sources of all settings together, and that `stores` are elsewhere; each comes with its field.
pub(super) fn sources(
    settings: &Settings,
    stores: &[(&str, &StoreUrl)],
    findings: &Findings,
    purpose: Purpose,
) -> Vec<SourceJob> {
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
                name_of(&directory.value)
            }
        });
        let name = parsed.unwrap_or_else(|| name_of(&directory.value));
        Some(listed(settings, findings, source, name, directory))
    });
    let configured: Vec<SourceAt> = configured.collect();
    let none = Source::default();
    let dirs = settings.s3.include_dirs.as_ref();
    let named = dirs.map(|dirs| {
        dirs.value.iter().enumerate().map(|(index, directory)| {
            let directory = Placed {
                value: directory.clone(),
                tag: dirs.tag,
                field: format!("{}[{index}]", dirs.field),
            };
            let name = name_of(&directory.value);
            listed(settings, findings, &none, name, &directory)
        })
    });
    let named: Vec<SourceAt> = named.into_iter().flatten().collect();

    let all: Vec<SourceAt> = match dirs.is_some_and(|dirs| findings.is_flag(dirs.tag)) {
        // --dirs picks what is backed up; what is configured for one of them stays so.
        true => named
            .into_iter()
            .map(|named| {
                let same = |listed: &&SourceAt| listed.place.directory == named.place.directory;
                match configured.iter().find(same) {
                    Some(listed) => SourceAt {
                        source: listed.source.clone(),
                        place: DirectoryPlace {
                            written_as: named.place.written_as,
                            ..listed.place.clone()
                        },
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
    for (field, store) in stores {
        if let Some(store) = store.directory() {
            check_apart_from_store(&all, field, &clean(store), findings);
        }
    }
    let jobs = all.into_iter().map(|listed| SourceJob {
        place: Arc::new(listed.place),
        ..listed.source
    });
    jobs.collect()
}

fn listed(
    settings: &Settings,
    findings: &Findings,
    source: &Source,
    name: SourceName,
    directory: &Placed<String>,
) -> SourceAt {
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
    let path = clean(&directory.value);
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
    let place = DirectoryPlace {
        directory: path,
        written_as: std::path::absolute(&directory.value).unwrap_or_default(),
        filter,
        one_file_system: flag(|source| source.one_file_system),
        xattrs: flag(|source| source.xattrs),
    };
    SourceAt {
        tag: directory.tag,
        field: directory.field.clone(),
        source: SourceJob {
            name,
            place: Arc::new(place.clone()),
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
        place,
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
        let template = template(findings, key, needed, hint);
        if template
            .as_ref()
            .is_some_and(|template| template.has("name"))
        {
            complain(findings, key, "has `{name}`, which only notes have", hint);
        }
        template
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

/// The name of a directory that was listed without one.
fn name_of(directory: &str) -> SourceName {
    SourceName::of_directory(&clean(directory).to_string_lossy())
}

/// Whether `outer` backs up what is in `inner`: it is above it, and excludes nothing on the way there.
fn holds(outer: &DirectoryPlace, inner: &Path) -> bool {
    let Ok(below) = inner.strip_prefix(&outer.directory) else {
        return false;
    };
    let excluded = |path: &Path| {
        let path = EntryPath::parse(path.as_os_str().as_bytes());
        path.is_ok_and(|path| outer.filter.leaves_out(&path, true))
    };
    !below.ancestors().any(excluded)
}

/// Two sources must not share a name, and must not hold each other's files.
fn check_apart(all: &[SourceAt], findings: &Findings) {
    for (index, listed) in all.iter().enumerate() {
        let SourceAt {
            source,
            place,
            tag,
            field,
        } = listed;
        for other in &all[..index] {
            let others = other.place.directory.display();
            let problem = if place.directory == other.place.directory {
                format!("is `{others}` again, which `{}` names", other.field)
            } else if holds(&other.place, &place.directory) {
                format!("lies in `{others}`, which `{}` names", other.field)
            } else if holds(place, &other.place.directory) {
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

/// A store in what is backed up would be backed up into itself, and grow with every pass.
fn check_apart_from_store(all: &[SourceAt], field: &str, store: &Path, findings: &Findings) {
    for listed in all {
        let (store_at, name) = (store.display(), &listed.source.name);
        let (problem, hint) = if holds(&listed.place, store) {
            (
                format!(
                    "holds the store: `{field}`, `{store_at}`, lies in what the source `{name}` backs up"
                ),
                "keep the store elsewhere, best on another disk, or exclude it here",
            )
        } else if listed.place.directory.starts_with(store) {
            (
                format!("lies in the store, `{store_at}`, whose names are its own"),
                "keep the store in a directory where nothing else is",
            )
        } else {
            continue;
        };
        findings.problem(listed.tag, &listed.field, problem, Some(hint.to_owned()));
    }
}
