//! What the trait asks of every kind, and passes take for granted.

use std::collections::HashSet;
use std::io::Read;
use std::sync::Arc;

use offsite::format::entry::Kind;
use offsite::format::path::EntryPath;
use offsite::pass::job::Method;
use offsite::source::{Body, Cause, Found, Item, Scope, Source};

use super::kind::KindOfSource;
use super::stand::Stand;

const ITEMS: [&str; 3] = ["one", "", "three"];

/// A source that is open, with these items.
fn opened(kind: &'static dyn KindOfSource, items: &[&str]) -> (Stand, Arc<dyn Source>) {
    let stand = Stand::new(kind, &Method::Files);
    stand.fill(items);
    let source = stand.job.place.open().unwrap();
    (stand, source)
}

/// What the source gives out, all of which can be looked at.
fn found(source: &dyn Source, scope: &Scope) -> Vec<Found> {
    let items = source.items(scope).ok().unwrap();
    items
        .map(|item| match item {
            Item::Found(found) => found,
            other => panic!("{other:?}"),
        })
        .collect()
}

pub(super) fn the_root_comes_first_and_everything_in_order(kind: &'static dyn KindOfSource) {
    for threads in [0, 2] {
        let (_stand, source) = opened(kind, &ITEMS);
        let scope = Scope {
            threads,
            ..Scope::default()
        };
        let found = found(&*source, &scope);
        assert!(found[0].name.is_root() && found[0].is_directory());
        let ascending = |pair: &[Found]| pair[0].name < pair[1].name;
        assert!(found.windows(2).all(ascending), "{found:?}");
        let mut directories = HashSet::new();
        for item in &found {
            let (above, name) = above(item.name.as_path());
            assert!(item.name.is_root() || directories.contains(&above));
            assert!((1..=255).contains(&name.len()) || item.name.is_root());
            if item.is_directory() {
                directories.insert(item.name.as_path().clone());
            }
        }
        let files = found
            .iter()
            .filter(|item| item.stat.metadata.kind == Kind::File);
        assert_eq!(files.count(), ITEMS.len());
    }
}

/// The directory that something is in, and its name there.
fn above(path: &EntryPath) -> (EntryPath, Vec<u8>) {
    let mut components: Vec<_> = path.components().collect();
    let name = components.pop().unwrap_or_default().to_vec();
    (EntryPath::parse(components.join(&b'/')).unwrap(), name)
}

pub(super) fn nothing_is_given_out_beside_what_is_asked_for(kind: &'static dyn KindOfSource) {
    let (_stand, source) = opened(kind, &ITEMS);
    let all = found(&*source, &Scope::default());
    let names = all
        .iter()
        .filter_map(|item| item.name.as_path().components().next());
    let mut names: Vec<_> = names.map(<[u8]>::to_vec).collect();
    names.dedup();
    for name in [&b"no such name"[..]]
        .into_iter()
        .chain(names.iter().map(Vec::as_slice))
    {
        let is_meant = |item: &&Found| match item.name.as_path().components().next() {
            None => true,
            Some(first) => {
                first == name
                    && (item.is_directory() || item.name.as_path().components().count() > 1)
            }
        };
        let expected: Vec<_> = all.iter().filter(is_meant).map(|item| &item.name).collect();
        let only = found(
            &*source,
            &Scope {
                only: Some(Arc::new(HashSet::from([name.to_vec()]))),
                ..Scope::default()
            },
        );
        let only: Vec<_> = only.iter().map(|item| &item.name).collect();
        assert_eq!(only, expected);
    }
}

pub(super) fn what_is_read_is_what_was_found(kind: &'static dyn KindOfSource) {
    let (_stand, source) = opened(kind, &ITEMS);
    let found = found(&*source, &Scope::default());
    let files = found
        .iter()
        .filter(|item| item.stat.metadata.kind == Kind::File);
    let mut all: Vec<_> = files
        .map(|item| {
            let mut opened = source.open(item).unwrap();
            assert_eq!(opened.stat.metadata, item.stat.metadata);
            assert_eq!(source.recheck(&opened).unwrap(), None);
            let mut contents = String::new();
            match std::mem::replace(&mut opened.body, Body::None) {
                Body::File(file) => {
                    let mut file = std::fs::File::from(file);
                    // It is read at offsets, wherever it stands.
                    std::io::Seek::rewind(&mut file).unwrap();
                    file.read_to_string(&mut contents).unwrap();
                    assert_eq!(contents.len() as u64, opened.stat.metadata.size);
                }
                Body::Stream(mut stream) => {
                    stream.read_to_string(&mut contents).unwrap();
                    stream.finish().unwrap();
                }
                Body::Remote(_) | Body::None => panic!("{item:?} has no contents"),
            }
            contents
        })
        .collect();
    all.sort_unstable();
    assert_eq!(all, ["", "one", "three"]);
    if source.records_xattrs() {
        let directories = found.iter().filter(|item| item.is_directory());
        directories.for_each(|item| drop(source.open(item).unwrap()));
    }
}

pub(super) fn it_is_empty_if_nothing_is_in_it(kind: &'static dyn KindOfSource) {
    let (_stand, source) = opened(kind, &ITEMS);
    assert!(!source.is_empty().unwrap());
    let (_stand, source) = opened(kind, &[]);
    assert!(source.is_empty().unwrap());
}

pub(super) fn it_is_known_by_its_place_until_that_leads_elsewhere(kind: &'static dyn KindOfSource) {
    let (stand, source) = opened(kind, &ITEMS);
    assert!(source.confirm().is_ok());
    kind.replace(stand.world.home.path());
    assert!(matches!(source.confirm(), Err(error) if error.cause == Cause::Replaced));
    let (stand, source) = opened(kind, &ITEMS);
    kind.take_away(stand.world.home.path());
    assert!(matches!(source.confirm(), Err(error) if error.cause == Cause::Unreadable));
    let again = stand.job.place.open();
    assert!(matches!(again, Err(error) if error.cause == Cause::Unreadable));
}
