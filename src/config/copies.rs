//! Further stores, `backup.copies`: each with a region, an endpoint and a profile of its own.

use super::Purpose;
use super::reader::{Findings, Placed, complain};
use super::settings::{CopySettings, Settings};
use super::store::{self, Stores, check_endpoint};
use crate::source::directory::clean::clean;
use crate::store::url::StoreUrl;
use crate::store::{CopyJob, Encryption, StoreOptions};

/// The store that is copied from.
pub(super) struct First<'a> {
    pub(super) url: &'a StoreUrl,
    pub(super) options: &'a StoreOptions,
    /// How late the layer comes that names it.
    pub(super) layer: u8,
}

/// A copy and where its store stands in the configuration.
#[derive(Debug)]
pub(super) struct CopyAt {
    pub(super) job: CopyJob,
    pub(super) field: String,
}

/// Checks all copies together. `endpoint_url` is that of the environment.
pub(super) fn copies(
    settings: &[CopySettings],
    first: &First<'_>,
    endpoint_url: Option<&str>,
    findings: &Findings,
    purpose: Purpose,
) -> Vec<CopyAt> {
    let mut copies: Vec<CopyAt> = Vec::new();
    for copy in settings {
        let Some(placed) = &copy.store else { continue };
        let url: StoreUrl = match placed.value.parse() {
            Ok(url) => url,
            Err(problem) => {
                complain(findings, placed, &problem.to_string(), problem.hint());
                continue;
            }
        };
        check(copy, &url, findings);
        let job = CopyJob {
            options: reached(copy, first.options, endpoint_url),
            required: copy.required,
            store: url,
        };
        let relation = relation((&job.store, &job.options), (first.url, first.options));
        // Whoever reads a copy because the first store is gone names it in that one's place.
        let is_read_instead = purpose == Purpose::Read && first.layer > findings.layer(placed.tag);
        if is_read_instead && relation.is_some() {
            continue;
        }
        let others = copies.iter().find_map(|other| {
            let relation = relation_of(&job, &other.job)?;
            Some((relation, other.field.as_str()))
        });
        let first = relation.map(|relation| (relation, "backup.store"));
        if let Some((relation, other)) = first.or(others) {
            let message = format!("{} `{other}`", relation.text());
            let hint = "name each store once, best each on another disk or in another region; where a copy becomes the first store, take it off `backup.copies`";
            complain(findings, placed, &message, hint);
            continue;
        }
        copies.push(CopyAt {
            job,
            field: placed.field.clone(),
        });
    }
    copies
}

/// How the store is reached that the settings name. Where it is a copy that a later layer names in the first one's
/// place, it is reached as a copy, but for what such a layer says of that as well.
pub(super) fn in_place_of_the_first(
    settings: &Settings,
    url: &StoreUrl,
    options: StoreOptions,
    stores: &Stores<'_>,
    findings: &Findings,
) -> StoreOptions {
    let layer = store::layer(settings, findings);
    let is_named_instead = |copy: &&CopySettings| {
        let store = copy.store.as_ref();
        let store = store.filter(|store| findings.layer(store.tag) < layer);
        store.is_some_and(|store| store.value.parse() == Ok(url.clone()))
    };
    let mut named = settings.copies.iter().filter(is_named_instead);
    // Where several are called so, on different servers, nobody knows which is meant.
    let (Some(copy), None) = (named.next(), named.next()) else {
        return options;
    };
    if stores.written == Some(url) {
        return options;
    }
    let s3 = &settings.s3;
    let said = |placed: &Option<Placed<String>>| {
        let placed = placed.as_ref();
        let placed = placed.filter(|placed| findings.layer(placed.tag) >= layer);
        placed.map(|placed| placed.value.clone())
    };
    // What is for every store is not for this one.
    let endpoint_url = said(&s3.endpoint_url);
    let endpoint_url = endpoint_url.filter(|said| Some(said.as_str()) != stores.endpoint_url);
    let copy = reached(copy, &options, stores.endpoint_url);
    StoreOptions {
        region: said(&s3.region).or(copy.region),
        endpoint_url: endpoint_url.or(copy.endpoint_url),
        ..copy
    }
}

/// Complains of what is wrong with how a copy is to be reached.
fn check(copy: &CopySettings, url: &StoreUrl, findings: &Findings) {
    if let Some(directory) = url.directory() {
        let of_buckets = [&copy.region, &copy.endpoint_url, &copy.profile];
        for placed in of_buckets.into_iter().flatten() {
            let directory = directory.display();
            let message = format!("is of no use: the copy is in the directory `{directory}`");
            complain(findings, placed, &message, "leave it out");
        }
    }
    if let Some(url) = &copy.endpoint_url {
        check_endpoint(url, findings);
    }
    for placed in [&copy.region, &copy.profile].into_iter().flatten() {
        if placed.value.is_empty() {
            complain(findings, placed, "is empty", "name one, or leave it out");
        }
    }
}

/// How a copy is reached: limits are those of every store, who asks and where is its own.
fn reached(copy: &CopySettings, first: &StoreOptions, endpoint_url: Option<&str>) -> StoreOptions {
    let value = |placed: &Option<Placed<String>>| Some(placed.as_ref()?.value.clone());
    StoreOptions {
        region: value(&copy.region),
        endpoint_url: value(&copy.endpoint_url).or_else(|| endpoint_url.map(str::to_owned)),
        profile: value(&copy.profile),
        force_path_style: None,
        credentials: None,
        encryption: Encryption::default(),
        ..first.clone()
    }
}

/// Why two stores cannot both be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Relation {
    /// They are one.
    Same,
    /// One lies in the other.
    Within,
    /// The other lies in it.
    Around,
}

impl Relation {
    /// What one has to do with the other, before its name.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Same => "names the same store as",
            Self::Within => "lies in",
            Self::Around => "holds",
        }
    }
}

fn relation_of(copy: &CopyJob, other: &CopyJob) -> Option<Relation> {
    relation((&copy.store, &copy.options), (&other.store, &other.options))
}

/// What a copy has to do with another store that it must have nothing to do with. Names in the directory of a
/// store are its own; a bucket has room for many, by prefix.
pub(crate) fn relation(
    (copy, options): (&StoreUrl, &StoreOptions),
    (other, others): (&StoreUrl, &StoreOptions),
) -> Option<Relation> {
    match (copy.directory(), other.directory()) {
        (Some(copy), Some(other)) => {
            let (copy, other) = (clean(copy), clean(other));
            match (copy.starts_with(&other), other.starts_with(&copy)) {
                (true, true) => Some(Relation::Same),
                (true, false) => Some(Relation::Within),
                (false, true) => Some(Relation::Around),
                (false, false) => None,
            }
        }
        (None, None) => {
            let server = |options: &StoreOptions| {
                let url = options.endpoint_url.as_deref();
                url.map(|url| url.trim_end_matches('/').to_owned())
            };
            let is_same = copy == other && server(options) == server(others);
            is_same.then_some(Relation::Same)
        }
        _ => None,
    }
}
