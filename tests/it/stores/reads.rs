//! Reading objects, and asking what the store knows of them.

use bytes::Bytes;
use offsite::store::{Condition, Placement, StoreErrorKind};
use sha2::{Digest as _, Sha256};

use super::Stand;
use crate::support::noise;

pub(super) async fn a_range_is_what_it_says(stand: Stand) {
    let bytes = Bytes::from(noise(10, 100_000));
    let put = stand.store.put("object", bytes.clone(), &Condition::Absent);
    put.await.unwrap();
    for range in [
        0..1,
        0..100_000,
        5..6,
        99_999..100_000,
        40_000..60_000,
        7..7,
    ] {
        let read = stand
            .store
            .get_range("object", range.clone())
            .await
            .unwrap();
        let (from, to) = (range.start, range.end);
        let expected = bytes.slice(usize::try_from(from).unwrap()..usize::try_from(to).unwrap());
        assert!(read == expected, "{range:?}");
    }
    for range in [99_999..100_001, 100_000..100_001, 200_000..200_005] {
        let error = stand.store.get_range("object", range.clone()).await;
        let kind = error.unwrap_err().kind;
        assert_eq!(kind, StoreErrorKind::TooShort, "{range:?}");
    }
}

pub(super) async fn no_more_is_read_than_is_expected(stand: Stand) {
    let put = stand
        .store
        .put("object", "12345".into(), &Condition::Absent);
    let etag = put.await.unwrap();
    let object = stand.store.get("object", 5).await.unwrap();
    assert_eq!((&object.bytes[..], object.etag), (&b"12345"[..], etag));
    let error = stand.store.get("object", 4).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::TooLarge { at_most: 4 });
}

pub(super) async fn what_is_not_there_is_not_found(stand: Stand) {
    let store = &stand.store;
    let get = store.get("nothing", 5).await.unwrap_err();
    let range = store.get_range("nothing", 0..1).await.unwrap_err();
    for error in [get, range] {
        assert_eq!(error.kind, StoreErrorKind::NotFound, "{error}");
    }
}

pub(super) async fn nothing_is_known_of_what_is_not_there(stand: Stand) {
    let error = stand.store.head("nothing").await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::NotFound);
}

pub(super) async fn an_empty_object_is_an_object(stand: Stand) {
    let store = &stand.store;
    let etag = store.put("empty", Bytes::new(), &Condition::Absent).await;
    let object = store.get("empty", 0).await.unwrap();
    assert_eq!((object.bytes.len(), object.etag), (0, etag.unwrap()));
    assert_eq!(store.head("empty").await.unwrap().size, 0);
}

pub(super) async fn a_checksum_is_kept(stand: Stand) {
    let bytes = Bytes::from(noise(11, 1000));
    let sha256 = Sha256::digest(&bytes).into();
    let placement = Placement::default();
    let (store, absent) = (&stand.store, Condition::Absent);
    let put = store.put_content("file", bytes, sha256, &absent, &placement);
    let etag = put.await.unwrap();
    let info = store.head("file").await.unwrap();
    assert_eq!((info.size, info.etag), (1000, etag));
    assert_eq!(info.sha256, Some(sha256));
    assert!(!info.is_archived && !info.has_foreign_checksum);
}

pub(super) async fn what_arrives_damaged_is_not_taken(stand: Stand) {
    let sha256 = Sha256::digest(b"what was meant").into();
    let body = Bytes::from_static(b"what arrived!!");
    let placement = Placement::default();
    let (store, absent) = (&stand.store, Condition::Absent);
    let put = store.put_content("file", body, sha256, &absent, &placement);
    let kind = put.await.unwrap_err().kind;
    assert!(matches!(kind, StoreErrorKind::Damaged(_)), "{kind}");
    let error = store.get("file", 100).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::NotFound);
}

pub(super) async fn time_is_the_stores(stand: Stand) {
    let store = &stand.store;
    store
        .put("object", "1".into(), &Condition::Absent)
        .await
        .unwrap();
    let object = store.get("object", 1).await.unwrap();
    let (now, written) = (store.clock().now().unwrap(), object.last_modified.unwrap());
    let age = now.duration_since(written).as_secs();
    assert!((-1..60).contains(&age), "{age} seconds old");
    assert!(!store.clock().has_jumped());
}
