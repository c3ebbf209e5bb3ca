//! A bucket as a source: its objects, by key.
//!
//! It is a [`Store`] that is only listed and read; nothing here knows of S3. What a listing tells is all that is known
//! of an object before it is copied: key, size, version, time and class. So a bucket in which nothing has changed costs
//! nothing but its listing.
//!
//! Left out are directory markers, which are empty objects that consoles make, and whatever lies in a store of the
//! backups themselves.

mod categories;
mod listing;
mod range;
mod ranges;
mod tagged;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::runtime::Handle;

use self::listing::Listed;
use self::range::Lister;
use self::ranges::Ranges;
use self::tagged::Tagged;
use super::filter::Filter;
use super::stat::Stat;
use super::{
    Body, Cause, Found, IfEmpty, Items, Opened, Place, Refused, Remote, Scope, Source, Unusable,
    Xattrs,
};
use crate::format::entry::Entry;
use crate::format::location::ETag;
use crate::format::name::Order;
use crate::store::open::open;
use crate::store::url::StoreUrl;
use crate::store::{Listing, Store, StoreError, StoreErrorKind, StoreOptions, Tags};
use crate::text::count;

pub use self::categories::{Categories, OTHER};

/// What counts as a change of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Changes {
    /// What a listing tells: another version, or another time.
    #[default]
    Listed,
    /// Other tags as well, which takes a request for each object.
    Tags,
}

/// A bucket to back up, or a part of one.
#[derive(Debug, Clone)]
pub struct BucketPlace {
    /// Where it is.
    pub url: StoreUrl,
    /// How it is reached.
    pub options: StoreOptions,
    /// What its objects are.
    pub categories: Categories,
    /// The categories that are backed up; all, if not set.
    pub only: Option<BTreeSet<String>>,
    /// Those that a pass was asked for; what is in others stays as it was in the last snapshot.
    pub asked: Option<BTreeSet<String>>,
    /// What becomes of tags.
    pub tags: Tags,
    /// What counts as a change of an object.
    pub changes: Changes,
    /// What of it is left out by name.
    pub filter: Filter,
    /// The beginnings of keys that are those of stores.
    pub stores: Vec<String>,
}

impl Place for BucketPlace {
    fn kind(&self) -> &'static str {
        "bucket"
    }

    fn text(&self) -> String {
        self.url.to_string()
    }

    fn if_empty(&self) -> IfEmpty {
        IfEmpty {
            looks_like: "another bucket or prefix than was meant",
            remedy: "check the bucket and the prefix",
            check: "`only`, the bucket and the prefix",
        }
    }

    fn with_everything(&self) -> Option<Arc<dyn Place>> {
        let everything = Self {
            filter: Filter::default(),
            ..self.clone()
        };
        (!self.filter.is_empty()).then(|| Arc::new(everything) as Arc<dyn Place>)
    }

    fn bucket(&self) -> Option<&BucketPlace> {
        Some(self)
    }

    fn with_categories(&self, wanted: &[String]) -> Option<Arc<dyn Place>> {
        let is_backed_up =
            |name: &String| self.only.as_ref().is_none_or(|only| only.contains(name));
        let asked = wanted.iter().filter(|name| self.categories.has(name));
        let asked: BTreeSet<_> = asked.filter(|name| is_backed_up(name)).cloned().collect();
        let place = Self {
            asked: Some(asked.clone()),
            ..self.clone()
        };
        (!asked.is_empty()).then(|| Arc::new(place) as Arc<dyn Place>)
    }

    fn open(&self) -> Result<Arc<dyn Source>, Unusable> {
        let runtime = Handle::current();
        let store = runtime.block_on(open(&self.url, &self.options));
        Ok(Arc::new(Bucket {
            place: self.clone(),
            store,
            runtime,
            seen: Arc::default(),
        }))
    }
}

impl BucketPlace {
    /// What a request that was refused means for the source.
    fn unusable(&self, error: &StoreError) -> Unusable {
        let message = format!("cannot list `{}`: {}", self.url, error.kind);
        let hint = match &error.kind {
            StoreErrorKind::AccessDenied(_) => {
                "the role needs s3:ListBucket on the bucket of the source, and s3:GetObject and s3:GetObjectTagging on what is in it; docs/BUCKETS.md has the policy"
            }
            StoreErrorKind::NoSuchBucket => "check `bucket.name` of the source, and the account",
            StoreErrorKind::WrongRegion(_) => {
                "set `bucket.region` of the source to the bucket's region"
            }
            other => other.hint().unwrap_or("run the pass again"),
        };
        Unusable {
            exit_code: error.kind.exit_code(),
            is_worth_another_pass: error.kind.is_worth_another_pass(),
            ..Unusable::new(Cause::Unreadable, message, hint)
        }
    }

    /// What it means for the source that the tags of an object cannot be had, and it is not the object.
    fn untagged(&self, key: &str, error: &StoreError) -> Unusable {
        let message = format!(
            "cannot read the tags of `{key}` in `{}`: {}",
            self.url, error.kind
        );
        Unusable {
            message,
            ..self.unusable(error)
        }
    }

    /// Whether a category is to be looked at now.
    fn wants(&self, category: &str) -> bool {
        let has = |names: &Option<BTreeSet<String>>| {
            names.as_ref().is_none_or(|names| names.contains(category))
        };
        has(&self.only) && has(&self.asked)
    }
}

/// What of a bucket was passed over.
#[derive(Debug, Clone, Copy, Default)]
struct PassedOver {
    markers: u64,
    stores: bool,
}

/// A bucket, open.
struct Bucket {
    place: BucketPlace,
    store: Arc<dyn Store>,
    runtime: Handle,
    seen: Arc<Mutex<PassedOver>>,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

fn passed_over(seen: &Mutex<PassedOver>) -> MutexGuard<'_, PassedOver> {
    seen.lock().expect("nothing panics holding this")
}

impl Source for Bucket {
    fn order(&self) -> Order {
        Order::Key
    }

    fn looks_for(&self, entry: &Entry) -> bool {
        let category = entry.object.as_ref().map(|object| &object.category);
        match (&self.place.asked, category) {
            (Some(asked), Some(category)) => asked.contains(category),
            _ => true,
        }
    }

    fn categories(&self) -> Option<Vec<String>> {
        let asked = self.place.asked.as_ref()?;
        Some(asked.iter().cloned().collect())
    }

    fn requests(&self, items: u64) -> u64 {
        // A page has a thousand keys; an empty bucket takes one, too.
        let pages = (items + 1).div_ceil(1000);
        match self.place.changes {
            Changes::Listed => pages,
            Changes::Tags => pages + items,
        }
    }

    fn remarks(&self) -> Vec<String> {
        let PassedOver { markers, stores } = *passed_over(&self.seen);
        let mut remarks = Vec::new();
        if markers > 0 {
            remarks.push(format!(
                "left out {}: empty objects whose keys end in `/`",
                count(markers, "directory marker")
            ));
        }
        if stores {
            let names: Vec<_> = self.place.stores.iter().map(|p| format!("`{p}`")).collect();
            remarks.push(format!(
                "left out {}, where backups are kept",
                names.join(", ")
            ));
        }
        remarks
    }

    fn items(&self, scope: &Scope) -> Result<Items, Unusable> {
        *passed_over(&self.seen) = PassedOver::default();
        let lister = Lister {
            store: Arc::clone(&self.store),
            runtime: self.runtime.clone(),
            stores: self.place.stores.clone().into(),
            seen: Arc::clone(&self.seen),
        };
        let ranges = Ranges::begin(lister, &scope.cuts, scope.threads);
        let listed = Listed::new(self.place.clone(), ranges);
        Ok(match self.place.changes {
            Changes::Listed => Box::new(listed),
            Changes::Tags => Box::new(Tagged::of(listed, self, scope.requests)),
        })
    }

    fn open(&self, found: &Found) -> Result<Opened, Refused> {
        let (Some(key), Some(object)) = (found.name.key(), &found.object) else {
            return Err(Refused::Gone);
        };
        if let Some(why) = &found.refused {
            return Err(Refused::Unreadable(io::Error::other(why.clone())));
        }
        if let Some(class @ ("GLACIER" | "DEEP_ARCHIVE")) = object.class.as_deref() {
            let error = format!(
                "it is archived ({class}), and S3 copies no archived object: thaw it and copy it to another class, or leave it out"
            );
            return Err(Refused::Unreadable(io::Error::other(error)));
        }
        Ok(Opened {
            stat: found.stat,
            xattrs: Xattrs::new(),
            target: None,
            body: Body::Remote(Box::new(Remote {
                store: Arc::clone(&self.store),
                key: key.as_str().to_owned(),
                size: found.stat.metadata.size,
                etag: ETag(object.etag.0.clone()),
                class: object.class.clone(),
                tags: self.place.tags,
            })),
        })
    }

    /// One version is captured, and no other: whoever copies it sees to that.
    fn recheck(&self, _: &Opened) -> Result<Option<Stat>, Refused> {
        Ok(None)
    }

    /// Nothing takes the place of a bucket, and it was listed to its end.
    fn confirm(&self) -> Result<(), Unusable> {
        Ok(())
    }

    fn is_empty(&self) -> io::Result<bool> {
        let mut pages = self.store.list(Listing {
            any_keys: true,
            ..Listing::default()
        });
        let first = self.runtime.block_on(pages.next());
        let first = first.map_err(io::Error::other)?;
        Ok(first.is_none_or(|page| page.objects.is_empty()))
    }
}
