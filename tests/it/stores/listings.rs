//! What is listed, and in which order.

use std::sync::Arc;

use bytes::Bytes;
use offsite::store::{Condition, ListedObject, Listing, all_keys};

use super::Stand;

/// Names as people and programs make them.
const AWKWARD: [&str; 12] = [
    "space and  two",
    "plus+and&and=?#",
    "per%20cent%",
    "quote\"'`",
    "back\\slash",
    "<tag>&amp;",
    "umlaut-\u{e4}",
    "combining-a\u{308}",
    "emoji-\u{1f3d4}/below",
    "*.[a-z]{1,2}",
    "$HOME;~",
    "dots.../..a/...",
];

async fn put(stand: &Stand, key: &str) {
    let body = Bytes::copy_from_slice(key.as_bytes());
    let put = stand.store.put(key, body, &Condition::Absent);
    put.await.unwrap_or_else(|error| panic!("{key}: {error}"));
}

async fn list(stand: &Stand, listing: Listing<'_>) -> Vec<ListedObject> {
    let mut pages = stand.store.list(listing);
    let mut objects = Vec::new();
    while let Some(page) = pages.next().await.unwrap() {
        assert!(page.objects.len() <= 1000);
        objects.extend(page.objects);
    }
    objects
}

pub(super) async fn objects_are_listed_with_what_is_known_of_them(stand: Stand) {
    put(&stand, "a/1").await;
    put(&stand, "a/22").await;
    put(&stand, "b/1").await;
    let below = Listing {
        prefix: "a/",
        ..Listing::default()
    };
    let listed = list(&stand, below).await;
    assert_eq!(listed.len(), 2);
    for object in listed {
        let info = stand.store.head(&object.key).await.unwrap();
        assert_eq!((object.size, &object.etag), (info.size, &info.etag));
        assert_eq!(object.size, object.key.len() as u64);
        assert_eq!(object.storage_class, None);
        let read = stand.store.get(&object.key, 100).await.unwrap();
        let (listed, read) = (object.last_modified.unwrap(), read.last_modified.unwrap());
        assert_eq!(listed.as_second(), read.as_second());
    }
}

pub(super) async fn keys_come_in_order_of_their_bytes(stand: Stand) {
    let keys = ["A", "a", "a b", "a-b", "a0", "a\u{e4}", "b", "z", "\u{ff}"];
    for key in keys.iter().rev() {
        put(&stand, key).await;
    }
    let mut sorted = keys.map(str::to_owned);
    sorted.sort();
    let all = all_keys(&*stand.store, Listing::default()).await.unwrap();
    assert_eq!(all.objects, sorted);
    let after = Listing {
        start_after: Some("a-b"),
        ..Listing::default()
    };
    let after = all_keys(&*stand.store, after).await.unwrap();
    assert_eq!(after.objects, sorted[4..]);
}

pub(super) async fn folders_stand_for_what_is_in_them(stand: Stand) {
    for key in ["top/a/1", "top/a/2", "top/b/1", "top/c", "other/a"] {
        put(&stand, key).await;
    }
    let folders = Listing {
        prefix: "top/",
        folders: true,
        ..Listing::default()
    };
    let listed = all_keys(&*stand.store, folders).await.unwrap();
    assert_eq!(listed.objects, ["top/c"]);
    assert!(listed.folders.iter().eq(["top/a/", "top/b/"]));
}

pub(super) async fn long_listings_come_in_pages(stand: Stand) {
    const KEYS: usize = 1003;
    let numbers: Vec<_> = (0..KEYS).collect();
    for some in numbers.chunks(32) {
        let puts = some.iter().map(|number| {
            let store = Arc::clone(&stand.store);
            let key = format!("many/{number:05}");
            tokio::spawn(async move { store.put(&key, "x".into(), &Condition::Absent).await })
        });
        for put in puts.collect::<Vec<_>>() {
            put.await.unwrap().unwrap();
        }
    }
    let listed = list(&stand, Listing::default()).await;
    let expected = (0..KEYS).map(|number| format!("many/{number:05}"));
    assert!(listed.into_iter().map(|object| object.key).eq(expected));
}

pub(super) async fn awkward_keys_are_keys(stand: Stand) {
    for key in AWKWARD {
        put(&stand, key).await;
        let object = stand.store.get(key, 100).await.unwrap();
        assert_eq!(object.bytes, key.as_bytes());
    }
    let mut sorted = AWKWARD.map(str::to_owned);
    sorted.sort();
    let listed = all_keys(&*stand.store, Listing::default()).await.unwrap();
    assert_eq!(listed.objects, sorted);
}

/// S3's keys have up to 1,024 bytes, of which a store's prefix takes some.
pub(super) async fn long_keys_are_keys(stand: Stand) {
    let key = format!("{}/{}", "d".repeat(449), "f".repeat(450));
    put(&stand, &key).await;
    let listed = all_keys(&*stand.store, Listing::default()).await.unwrap();
    assert_eq!(listed.objects, [key]);
}

pub(super) async fn an_object_may_have_others_below_it(stand: Stand) {
    put(&stand, "a").await;
    put(&stand, "a/b").await;
    let listed = all_keys(&*stand.store, Listing::default()).await.unwrap();
    assert_eq!(listed.objects, ["a", "a/b"]);
}
