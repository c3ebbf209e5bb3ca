//! `bucket` of a source: a bucket to back up, what its objects are, and how it is reached.

use std::collections::BTreeSet;

use super::reader::{Findings, Placed, Section, complain};
use super::store::check_endpoint;
use crate::source::bucket::{BucketPlace, Categories, Changes, OTHER};
use crate::source::filter::Filter;
use crate::store::url::{BadStore, StoreUrl};
use crate::store::{Encryption, StoreOptions, Tags};

/// What is written.
#[derive(Debug)]
pub(super) struct Bucket {
    prefix: Option<Placed<String>>,
    region: Option<Placed<String>>,
    endpoint_url: Option<Placed<String>>,
    profile: Option<Placed<String>>,
    /// Names of categories, with the endings of their keys.
    categories: Option<Vec<(String, Placed<Vec<String>>)>>,
    only: Option<Placed<Vec<String>>>,
    tags: (Tags, Changes),
}

impl Bucket {
    /// Reads the section, and the name of the bucket.
    pub(super) fn read(mut section: Section<'_>) -> (Option<Placed<String>>, Self) {
        let name = section.placed("name");
        if name.is_none() && !section.has_problems() {
            let hint = "name the bucket to back up, without s3:// and prefix";
            section.complain("name", "is missing", hint);
        }
        let categories = section.has("categories");
        let bucket = Self {
            prefix: section.placed("prefix"),
            region: section.placed("region"),
            endpoint_url: section.placed("endpoint_url"),
            profile: section.placed("profile"),
            categories: categories.then(|| section.section("categories").lists()),
            only: section.placed("only"),
            tags: section
                .parse("tags", |text| match text {
                    "keep" => Ok((Tags::Keep, Changes::Listed)),
                    "check" => Ok((Tags::Keep, Changes::Tags)),
                    "ignore" => Ok((Tags::Ignore, Changes::Listed)),
                    _ => Err("one of keep, check, ignore"),
                })
                .unwrap_or_default(),
        };
        section.finish();
        (name, bucket)
    }

    /// The place that is meant. It is reached as the first store is, but for what it says itself.
    pub(super) fn place(
        &self,
        name: &Placed<String>,
        first: &StoreOptions,
        filter: Filter,
        findings: &Findings,
    ) -> BucketPlace {
        let prefix = self.prefix.as_ref();
        let url = StoreUrl::s3(&name.value, prefix.map_or("", |prefix| &prefix.value));
        let url = url.unwrap_or_else(|problem| {
            let at = match problem {
                BadStore::Prefix | BadStore::PrefixOfDirectory(_) => prefix.unwrap_or(name),
                BadStore::Bucket | BadStore::Kind => name,
            };
            complain(findings, at, &problem.to_string(), problem.hint());
            StoreUrl::default()
        });
        let categories = self.categories(findings);
        let (tags, changes) = self.tags;
        BucketPlace {
            url,
            options: self.options(first, findings),
            only: self.only(&categories, findings),
            categories,
            asked: None,
            tags,
            changes,
            filter,
            stores: Vec::new(),
        }
    }

    fn options(&self, first: &StoreOptions, findings: &Findings) -> StoreOptions {
        if let Some(url) = &self.endpoint_url {
            check_endpoint(url, findings);
        }
        for placed in [&self.region, &self.profile].into_iter().flatten() {
            if placed.value.is_empty() {
                complain(findings, placed, "is empty", "name one, or leave it out");
            }
        }
        let value = |placed: &Option<Placed<String>>| Some(placed.as_ref()?.value.clone());
        StoreOptions {
            region: value(&self.region).or_else(|| first.region.clone()),
            endpoint_url: value(&self.endpoint_url).or_else(|| first.endpoint_url.clone()),
            profile: value(&self.profile).or_else(|| first.profile.clone()),
            encryption: Encryption::default(),
            ..first.clone()
        }
    }

    fn categories(&self, findings: &Findings) -> Categories {
        let Some(written) = &self.categories else {
            return Categories::default();
        };
        let mut categories = Categories::none();
        for (name, endings) in written {
            let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b);
            let is_name = (1..=32).contains(&name.len()) && name.bytes().all(fits);
            if name == OTHER {
                let hint = "everything that is in no category is in `other`: leave it out";
                complain(findings, endings, "cannot be defined", hint);
            } else if !is_name {
                let hint = "1 to 32 lower-case letters, digits, `_` and `-`: it becomes a folder";
                complain(findings, endings, "is no name of a category", hint);
            }
            categories.name(name);
            for ending in &endings.value {
                if let Err(other) = categories.add(name, ending) {
                    let message = format!("has `{ending}`, which is in `{other}` already");
                    let hint = "put each ending into one category";
                    complain(findings, endings, &message, hint);
                }
            }
        }
        categories
    }

    fn only(&self, categories: &Categories, findings: &Findings) -> Option<BTreeSet<String>> {
        let only = self.only.as_ref()?;
        let hint = || {
            let names: Vec<_> = categories.names().collect();
            format!("there are: {}", names.join(", "))
        };
        if only.value.is_empty() {
            complain(findings, only, "leaves out everything", &hint());
        }
        for name in only.value.iter().filter(|name| !categories.has(name)) {
            complain(
                findings,
                only,
                &format!("has no category `{name}`"),
                &hint(),
            );
        }
        Some(only.value.iter().cloned().collect())
    }
}

/// What of a part of a bucket is a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Share {
    /// Nothing.
    Nothing,
    /// The keys that begin so.
    Below(String),
    /// All: it lies in the store.
    All,
}

impl Share {
    /// The part of a place that belongs to a store.
    pub(crate) fn of(
        (place, options): (&StoreUrl, &StoreOptions),
        (store, others): (&StoreUrl, &StoreOptions),
    ) -> Self {
        let (StoreUrl::S3(own), StoreUrl::S3(store)) = (place, store) else {
            return Self::Nothing;
        };
        let server = |options: &StoreOptions| {
            let url = options.endpoint_url.as_deref();
            url.map(|url| url.trim_end_matches('/').to_owned())
        };
        if own.bucket() != store.bucket() || server(options) != server(others) {
            return Self::Nothing;
        }
        match store.prefix().strip_prefix(own.prefix()) {
            _ if own.prefix().starts_with(store.prefix()) => Self::All,
            Some(below) => Self::Below(below.to_owned()),
            None => Self::Nothing,
        }
    }
}

/// Keeps stores out of what is backed up: the keys in a bucket that are theirs are left out. `field` names the store.
pub(super) fn leave_out_store(
    place: &mut BucketPlace,
    (field, store, options): (&str, &StoreUrl, &StoreOptions),
) -> Result<(), (String, &'static str)> {
    match Share::of((&place.url, &place.options), (store, options)) {
        Share::Nothing => Ok(()),
        Share::Below(below) => {
            place.stores.push(below);
            Ok(())
        }
        Share::All => Err((
            format!("lies in the store that `{field}` names, `{store}`, whose keys are its own"),
            "keep the store in another bucket, or under a prefix of its own",
        )),
    }
}
