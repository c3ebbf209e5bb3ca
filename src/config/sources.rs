//! From settings to sources: named, kept apart, each with what it does not say itself.

use figment::value::Tag;

use super::Purpose;
use super::apart::{check_apart, check_apart_from_store};
use super::bucket::leave_out_store;
use super::kind::Kind;
use super::place::Whereabouts;
use super::reader::{Findings, Placed, complain};
use super::retention;
use super::settings::Settings;
use super::source::{Source, SourceMethod};
use super::source_at::{SourceAt, SourceOptions};
use crate::archive::template::KeyTemplate;
use crate::format::codec::Codec;
use crate::format::keys::SourceName;
use crate::pass::job::{ArchiveOptions, Method, SourceJob};
use crate::pass::policy::sessions::{Choice, SessionOptions};
use crate::source::directory::clean::clean;
use crate::source::filter::Globs;
use crate::store::url::StoreUrl;
use crate::store::{Placement, StoreOptions};

/// A store, the field that names it, and how it is reached.
pub(super) type StoreAt<'a> = (&'a str, &'a StoreUrl, &'a StoreOptions);

/// Checks the sources of all settings together, and that `stores` are elsewhere, the first one first.
pub(super) fn sources(
    settings: &Settings,
    stores: &[StoreAt<'_>],
    findings: &Findings,
    purpose: Purpose,
) -> Vec<SourceJob> {
    let configured = settings.sources.iter().filter_map(|source| {
        let (kind, written) = source.place.as_ref()?;
        let place = match kind {
            Kind::Directory | Kind::Sessions => {
                Whereabouts::directory(settings, findings, source, written)
            }
            Kind::Bucket => {
                let (_, _, first) = stores.first()?;
                Whereabouts::bucket(settings, findings, source, written, first)?
            }
        };
        Some(source_at(settings, findings, source, place, written))
    });
    let configured: Vec<SourceAt> = configured.collect();
    let none = Source::default();
    let dirs = settings.s3.include_dirs.as_ref();
    let named = dirs.map(|dirs| {
        dirs.value.iter().enumerate().map(|(index, directory)| {
            let written = Placed {
                value: directory.clone(),
                tag: dirs.tag,
                field: format!("{}[{index}]", dirs.field),
            };
            let place = Whereabouts::directory(settings, findings, &none, &written);
            source_at(settings, findings, &none, place, &written)
        })
    });
    let named: Vec<SourceAt> = named.into_iter().flatten().collect();

    let mut all: Vec<SourceAt> = match dirs.is_some_and(|dirs| findings.is_flag(dirs.tag)) {
        // --dirs picks what is backed up; what is configured for one of them stays so.
        true => named
            .into_iter()
            .map(|named| {
                let same = |listed: &&SourceAt| listed.place.is(&named.place);
                match configured.iter().find(same) {
                    Some(listed) => SourceAt {
                        options: listed.options.clone(),
                        place: listed.place.written_like(&named.place),
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
    check_dependencies(settings, &all, findings);
    for (field, store, options) in stores {
        if let Some(store) = store.directory() {
            check_apart_from_store(&all, field, &clean(store), findings);
        }
        for listed in &mut all {
            let Whereabouts::Bucket(place) = &mut listed.place else {
                continue;
            };
            if let Err((problem, hint)) = leave_out_store(place, (field, store, options)) {
                let hint = Some(hint.to_owned());
                findings.problem(listed.tag, &listed.field, problem, hint);
            }
        }
    }
    all.into_iter().map(SourceAt::into_job).collect()
}

/// The sources that another one depends on, as far as they can be any.
fn dependencies(source: &Source) -> Vec<SourceName> {
    let names = source.depends_on.iter().flat_map(|names| &names.value);
    names
        .filter_map(|name| SourceName::parse(name).ok())
        .collect()
}

/// A source depends on such as come before it: they are backed up in the order in which they are written.
fn check_dependencies(settings: &Settings, all: &[SourceAt], findings: &Findings) {
    for source in &settings.sources {
        let Some(names) = &source.depends_on else {
            continue;
        };
        let of = all
            .iter()
            .position(|at| at.field.starts_with(&source.field));
        for name in &names.value {
            let at = all
                .iter()
                .position(|other| other.options.name.as_str() == name);
            let (message, hint) = match (at, of) {
                (None, _) => (
                    format!("names `{name}`, which is no source"),
                    "name sources as `name` of theirs does",
                ),
                (Some(at), Some(of)) if at >= of => (
                    format!("names `{name}`, which does not come before it"),
                    "sources are backed up in the order in which they are written: put that one first",
                ),
                _ => continue,
            };
            complain(findings, names, &message, hint);
        }
    }
}

/// A source at a place that is `written` in the configuration.
fn source_at(
    settings: &Settings,
    findings: &Findings,
    source: &Source,
    place: Whereabouts,
    written: &Placed<String>,
) -> SourceAt {
    let defaults = &settings.defaults;
    let name = source.name.as_ref().and_then(|name| {
        let parsed = SourceName::parse(&name.value);
        if let Err(error) = &parsed {
            let message = format!("is no source name: {error}");
            complain(findings, name, &message, "rename it");
        }
        parsed.ok()
    });
    let s3 = &settings.s3;
    let is_bucket = source.kind() == Some(Kind::Bucket);
    let class = source.storage_class.as_ref();
    // An object is in a class already, which its copy keeps.
    let of_files = defaults
        .storage_class
        .as_ref()
        .or(s3.storage_class.as_ref());
    let class = class.or(of_files.filter(|_| !is_bucket));
    let tags = source.tags.as_ref().or(defaults.tags.as_ref());
    let allow_empty = source.allow_empty.or(defaults.allow_empty);
    let has_sessions = source.has_sessions();
    let options = SourceOptions {
        name: name.unwrap_or_else(|| place.default_name()),
        detect: source.detect.or(defaults.detect).unwrap_or_default(),
        allow_empty: allow_empty.unwrap_or_default(),
        afresh: !settings.incremental,
        method: method(settings, findings, source),
        sessions: has_sessions.then(|| sessions(&source.sessions, findings)),
        placement: Placement {
            storage_class: class.cloned(),
            tags: tags.unwrap_or(&s3.tags).clone(),
            headers: None,
        },
        retention: retention::of_source(
            source.retention.as_ref(),
            defaults.retention.as_ref(),
            source.kind(),
            findings,
        ),
        depends_on: dependencies(source),
    };
    SourceAt {
        options,
        place,
        tag: written.tag,
        field: written.field.clone(),
    }
}

fn method(settings: &Settings, findings: &Findings, source: &Source) -> Method {
    let defaults = &settings.defaults;
    if source.kind() == Some(Kind::Bucket) {
        return Method::Files;
    }
    let method = match settings.archive {
        true => Some(SourceMethod::Archive),
        false if source.has_sessions() => Some(SourceMethod::Archive),
        false => source.method.or(defaults.method),
    };
    let (own, default) = (&source.archive, &defaults.archive);
    let codec = own
        .compression
        .or(default.compression)
        .unwrap_or(match source.has_sessions() {
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
    let (key, usual) = match source.has_sessions() {
        true => (own.key.as_ref(), KeyTemplate::of_sessions()),
        false => (
            own.key.as_ref().or(default.key.as_ref()),
            KeyTemplate::of_archives(),
        ),
    };
    let needed: &[&str] = match source.has_sessions() {
        true => &["session"],
        false => &[],
    };
    let template = key.and_then(|key| {
        let hint = match source.has_sessions() {
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

fn sessions(settings: &super::source::Sessions, findings: &Findings) -> SessionOptions {
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
