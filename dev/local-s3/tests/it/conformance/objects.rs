//! Putting, getting, ranges, deleting.

use super::Site;
use crate::support::client::{refusal, streamed};
use aws_sdk_s3::types::{Delete, ObjectIdentifier};

pub(super) async fn an_object_comes_back(site: Site) {
    site.put("k", b"content").await;
    let got = site
        .client
        .get_object()
        .bucket(&site.bucket)
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(got.content_length, Some(7));
    assert_eq!(
        got.content_type.as_deref(),
        Some("application/octet-stream"),
        "the SDK states it"
    );
    assert_eq!(got.body.collect().await.unwrap().to_vec(), b"content");
}

pub(super) async fn the_last_writer_wins(site: Site) {
    let first = site.put("k", b"one").await;
    let second = site.put("k", b"two").await;
    assert_ne!(first, second);
    assert_eq!(site.content("k").await.unwrap(), b"two");
}

pub(super) async fn an_empty_object(site: Site) {
    let etag = site.put("k", b"").await;
    assert_eq!(etag, "\"d41d8cd98f00b204e9800998ecf8427e\"");
    assert_eq!(site.content("k").await.unwrap(), b"");
}

pub(super) async fn the_etag_is_the_md5(site: Site) {
    assert_eq!(
        site.put("k", b"123456789").await,
        "\"25f9e794323b453885f5181f1b624d0b\""
    );
}

pub(super) async fn ranges(site: Site) {
    site.put("k", b"0123456789").await;
    let cases = [
        ("bytes=0-3", "0123", "bytes 0-3/10"),
        ("bytes=4-", "456789", "bytes 4-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=-20", "0123456789", "bytes 0-9/10"),
        ("bytes=8-100", "89", "bytes 8-9/10"),
        ("bytes=9-9", "9", "bytes 9-9/10"),
    ];
    for (range, content, content_range) in cases {
        let got = site
            .client
            .get_object()
            .bucket(&site.bucket)
            .key("k")
            .range(range)
            .send()
            .await
            .unwrap();
        assert_eq!(got.content_range.as_deref(), Some(content_range), "{range}");
        assert_eq!(
            got.content_length,
            i64::try_from(content.len()).ok(),
            "{range}"
        );
        assert_eq!(
            got.body.collect().await.unwrap().to_vec(),
            content.as_bytes(),
            "{range}"
        );
    }
}

pub(super) async fn ranges_that_cannot_be_satisfied(site: Site) {
    site.put("k", b"0123456789").await;
    site.put("empty", b"").await;
    for (key, range) in [
        ("k", "bytes=10-"),
        ("k", "bytes=10-20"),
        ("k", "bytes=-0"),
        ("empty", "bytes=0-"),
    ] {
        let got = site
            .client
            .get_object()
            .bucket(&site.bucket)
            .key(key)
            .range(range)
            .send()
            .await;
        assert_eq!(refusal(got), "416 InvalidRange", "{key} {range}");
    }
}

pub(super) async fn a_range_of_a_head(site: Site) {
    site.put("k", b"0123456789").await;
    let head = site
        .client
        .head_object()
        .bucket(&site.bucket)
        .key("k")
        .range("bytes=2-4")
        .send()
        .await
        .unwrap();
    assert_eq!(head.content_length, Some(3));
}

pub(super) async fn a_large_streamed_body(site: Site) {
    let content: Vec<u8> = (0..1_000_003_u32).map(|n| n.to_le_bytes()[1]).collect();
    site.client
        .put_object()
        .bucket(&site.bucket)
        .key("k")
        .body(streamed(&content))
        .send()
        .await
        .unwrap();
    assert_eq!(site.content("k").await.unwrap(), content);
    let head = site
        .client
        .head_object()
        .bucket(&site.bucket)
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(
        head.content_encoding, None,
        "`aws-chunked` is of the transfer, not of the object"
    );
}

pub(super) async fn deleting_many(site: Site) {
    for key in ["a", "b", "c"] {
        site.put(key, b"x").await;
    }
    let objects =
        ["a", "c", "never"].map(|key| ObjectIdentifier::builder().key(key).build().unwrap());
    let delete = Delete::builder()
        .set_objects(Some(objects.to_vec()))
        .build()
        .unwrap();
    let done = site
        .client
        .delete_objects()
        .bucket(&site.bucket)
        .delete(delete.clone())
        .send()
        .await
        .unwrap();
    let deleted: Vec<&str> = done
        .deleted()
        .iter()
        .filter_map(|deleted| deleted.key())
        .collect();
    assert_eq!(deleted, ["a", "c", "never"]);
    assert_eq!(site.content("a").await, None);
    assert_eq!(site.content("b").await.unwrap(), b"x");
    let quiet = Delete::builder()
        .set_objects(Some(delete.objects().to_vec()))
        .quiet(true)
        .build()
        .unwrap();
    let done = site
        .client
        .delete_objects()
        .bucket(&site.bucket)
        .delete(quiet)
        .send()
        .await
        .unwrap();
    assert!(done.deleted().is_empty());
}

pub(super) async fn dates_are_whole_seconds(site: Site) {
    site.put("k", b"x").await;
    let head = site
        .client
        .head_object()
        .bucket(&site.bucket)
        .key("k")
        .send()
        .await
        .unwrap();
    let listed = site
        .client
        .list_objects_v2()
        .bucket(&site.bucket)
        .send()
        .await
        .unwrap();
    let listed = listed.contents()[0].last_modified().unwrap();
    assert_eq!(listed, head.last_modified().unwrap());
    assert_eq!(listed.subsec_nanos(), 0);
}
