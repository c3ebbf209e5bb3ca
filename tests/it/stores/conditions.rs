//! Puts that take effect under a condition only.

use std::sync::Arc;

use bytes::Bytes;
use local_s3::{Fault, Operation};
use offsite::store::{Condition, ETag, Placement, StoreErrorKind};
use sha2::{Digest as _, Sha256};

use super::Stand;

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

pub(super) async fn what_is_absent_is_put_once(stand: Stand) {
    let store = &stand.store;
    let first = store.put("lock", bytes("first"), &Condition::Absent).await;
    let second = store.put("lock", bytes("second"), &Condition::Absent).await;
    assert_eq!(second.unwrap_err().kind, StoreErrorKind::PreconditionFailed);
    let object = store.get("lock", 100).await.unwrap();
    assert_eq!(
        (object.bytes, object.etag),
        (bytes("first"), first.unwrap())
    );
}

/// Whoever asks again because an answer was lost has put it.
pub(super) async fn the_same_bytes_may_be_put_again(stand: Stand) {
    let store = &stand.store;
    let first = store.put("lock", bytes("same"), &Condition::Absent).await;
    let second = store.put("lock", bytes("same"), &Condition::Absent).await;
    assert_eq!(first.unwrap(), second.unwrap());
}

pub(super) async fn contents_are_put_once(stand: Stand) {
    let put = async |text: &'static str| {
        let sha256 = Sha256::digest(text).into();
        let placement = Placement::default();
        let absent = Condition::Absent;
        let body = bytes(text);
        (stand.store)
            .put_content("file", body, sha256, &absent, &placement)
            .await
    };
    let first = put("first").await.unwrap();
    let error = put("second").await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::PreconditionFailed);
    assert_eq!(put("first").await.unwrap(), first);
    assert_eq!(stand.store.get("file", 100).await.unwrap().etag, first);
}

pub(super) async fn only_the_version_that_was_seen_is_replaced(stand: Stand) {
    let store = &stand.store;
    let first = store.put("lock", bytes("first"), &Condition::Absent).await;
    let seen = Condition::Matches(first.unwrap());
    let second = store.put("lock", bytes("second"), &seen).await.unwrap();
    let third = store.put("lock", bytes("third"), &seen).await;
    assert_eq!(third.unwrap_err().kind, StoreErrorKind::PreconditionFailed);
    let object = store.get("lock", 100).await.unwrap();
    assert_eq!((object.bytes, object.etag), (bytes("second"), second));
}

pub(super) async fn what_is_not_there_is_not_replaced(stand: Stand) {
    let store = &stand.store;
    let seen = Condition::Matches(ETag("\"0123456789abcdef0123456789abcdef\"".to_owned()));
    let put = store.put("lock", bytes("mine"), &seen).await;
    assert!(put.is_err(), "{put:?}");
    let error = store.get("lock", 100).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::NotFound);
}

pub(super) async fn of_many_who_put_at_once_one_has(stand: Stand) {
    const TEXTS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for round in 0..5 {
        let key = format!("lock-{round}");
        let puts = TEXTS.map(|text| {
            let (store, key) = (Arc::clone(&stand.store), key.clone());
            tokio::spawn(async move { store.put(&key, bytes(text), &Condition::Absent).await })
        });
        let mut winners = Vec::new();
        for (put, text) in puts.into_iter().zip(TEXTS) {
            if put.await.unwrap().is_ok() {
                winners.push(text);
            }
        }
        let object = stand.store.get(&key, 100).await.unwrap();
        assert_eq!(winners.len(), 1, "{winners:?}");
        assert_eq!(object.bytes, winners[0]);
    }
}

/// The put has happened and nobody was told.
pub(super) async fn an_answer_that_is_lost_is_found_out(stand: Stand) {
    let server = stand.server.as_ref().unwrap();
    let store = &stand.store;
    server.fault(Fault::on(Operation::PutObject).drop_after());
    let first = store.put("lock", bytes("first"), &Condition::Absent).await;
    let seen = Condition::Matches(first.unwrap());
    server.fault(Fault::on(Operation::PutObject).drop_after());
    let second = store.put("lock", bytes("second"), &seen).await.unwrap();
    assert_eq!(store.get("lock", 100).await.unwrap().etag, second);
}
