//! Conditional reads, writes, deletes and completions.

use super::Site;
use crate::support::client::refusal;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier};

const OTHER: &str = "\"00000000000000000000000000000000\"";

pub(super) async fn if_none_match_creates_once(site: Site) {
    let put = |bytes: &'static [u8]| {
        site.client
            .put_object()
            .bucket(&site.bucket)
            .key("k")
            .if_none_match("*")
            .body(bytes.to_vec().into())
    };
    put(b"first").send().await.unwrap();
    assert_eq!(
        refusal(put(b"second").send().await),
        "412 PreconditionFailed"
    );
    assert_eq!(site.content("k").await.unwrap(), b"first");
}

pub(super) async fn if_match_replaces_only_the_named_etag(site: Site) {
    let etag = site.put("k", b"first").await;
    let put = |etag: &str, bytes: &'static [u8]| {
        site.client
            .put_object()
            .bucket(&site.bucket)
            .key("k")
            .if_match(etag)
            .body(bytes.to_vec().into())
    };
    assert_eq!(
        refusal(put(OTHER, b"wrong").send().await),
        "412 PreconditionFailed"
    );
    assert_eq!(site.content("k").await.unwrap(), b"first");
    put(&etag, b"second").send().await.unwrap();
    assert_eq!(site.content("k").await.unwrap(), b"second");
    assert_eq!(
        refusal(put(&etag, b"third").send().await),
        "412 PreconditionFailed"
    );
}

pub(super) async fn if_match_of_a_missing_key_is_not_found(site: Site) {
    let put = site
        .client
        .put_object()
        .bucket(&site.bucket)
        .key("k")
        .if_match(OTHER)
        .body(vec![1].into());
    assert_eq!(refusal(put.send().await), "404 NoSuchKey");
    assert_eq!(site.content("k").await, None);
}

pub(super) async fn reads_by_etag(site: Site) {
    let etag = site.put("k", b"x").await;
    let get = || site.client.get_object().bucket(&site.bucket).key("k");
    get().if_match(&etag).send().await.unwrap();
    assert_eq!(
        refusal(get().if_match(OTHER).send().await),
        "412 PreconditionFailed"
    );
    get().if_none_match(OTHER).send().await.unwrap();
    assert!(refusal(get().if_none_match(&etag).send().await).starts_with("304 "));
    let head = || site.client.head_object().bucket(&site.bucket).key("k");
    assert!(refusal(head().if_match(OTHER).send().await).starts_with("412 "));
    assert!(refusal(head().if_none_match(&etag).send().await).starts_with("304 "));
}

pub(super) async fn reads_by_time(site: Site) {
    site.put("k", b"x").await;
    let head = site
        .client
        .head_object()
        .bucket(&site.bucket)
        .key("k")
        .send()
        .await
        .unwrap();
    let written = head.last_modified.unwrap();
    let before = DateTime::from_secs(written.secs() - 60);
    let get = || site.client.get_object().bucket(&site.bucket).key("k");
    assert!(refusal(get().if_modified_since(written).send().await).starts_with("304 "));
    get().if_modified_since(before).send().await.unwrap();
    get().if_unmodified_since(written).send().await.unwrap();
    assert_eq!(
        refusal(get().if_unmodified_since(before).send().await),
        "412 PreconditionFailed"
    );
}

pub(super) async fn delete_by_etag(site: Site) {
    let etag = site.put("k", b"x").await;
    let delete = |etag: &str| {
        site.client
            .delete_object()
            .bucket(&site.bucket)
            .key("k")
            .if_match(etag)
    };
    assert_eq!(
        refusal(delete(OTHER).send().await),
        "412 PreconditionFailed"
    );
    assert!(site.content("k").await.is_some());
    delete(&etag).send().await.unwrap();
    assert_eq!(site.content("k").await, None);
}

pub(super) async fn delete_by_etag_of_a_missing_key_is_not_found(site: Site) {
    for etag in [OTHER, "*"] {
        let delete = site
            .client
            .delete_object()
            .bucket(&site.bucket)
            .key("k")
            .if_match(etag);
        assert_eq!(refusal(delete.send().await), "404 NoSuchKey", "{etag}");
    }
}

pub(super) async fn delete_many_by_etag(site: Site) {
    let etag = site.put("right", b"x").await;
    site.put("wrong", b"x").await;
    let object = |key: &str, etag: &str| {
        ObjectIdentifier::builder()
            .key(key)
            .e_tag(etag)
            .build()
            .unwrap()
    };
    let delete = Delete::builder()
        .objects(object("right", &etag))
        .objects(object("wrong", OTHER))
        .build()
        .unwrap();
    let done = site
        .client
        .delete_objects()
        .bucket(&site.bucket)
        .delete(delete)
        .send()
        .await
        .unwrap();
    assert_eq!(done.deleted()[0].key(), Some("right"));
    assert_eq!(done.errors()[0].code(), Some("PreconditionFailed"));
    assert_eq!(site.content("right").await, None);
    assert!(site.content("wrong").await.is_some());
}

/// An upload of one part, ready to be completed.
async fn upload(site: &Site) -> (String, CompletedMultipartUpload) {
    let created = site
        .client
        .create_multipart_upload()
        .bucket(&site.bucket)
        .key("k")
        .send()
        .await
        .unwrap();
    let id = created.upload_id.unwrap();
    let part = site
        .client
        .upload_part()
        .bucket(&site.bucket)
        .key("k")
        .upload_id(&id)
        .part_number(1);
    let part = part.body(b"parts".to_vec().into()).send().await.unwrap();
    let part = CompletedPart::builder()
        .part_number(1)
        .set_e_tag(part.e_tag)
        .build();
    (id, CompletedMultipartUpload::builder().parts(part).build())
}

pub(super) async fn completion_honours_if_none_match(site: Site) {
    site.put("k", b"old").await;
    let (id, parts) = upload(&site).await;
    let complete = || {
        let complete = site
            .client
            .complete_multipart_upload()
            .bucket(&site.bucket)
            .key("k")
            .upload_id(&id);
        complete.multipart_upload(parts.clone()).if_none_match("*")
    };
    assert_eq!(refusal(complete().send().await), "412 PreconditionFailed");
    assert_eq!(site.content("k").await.unwrap(), b"old");
    site.client
        .delete_object()
        .bucket(&site.bucket)
        .key("k")
        .send()
        .await
        .unwrap();
    complete().send().await.unwrap();
    assert_eq!(site.content("k").await.unwrap(), b"parts");
}

pub(super) async fn completion_honours_if_match(site: Site) {
    let etag = site.put("k", b"old").await;
    let (id, parts) = upload(&site).await;
    let complete = |etag: &str| {
        let complete = site
            .client
            .complete_multipart_upload()
            .bucket(&site.bucket)
            .key("k")
            .upload_id(&id);
        complete.multipart_upload(parts.clone()).if_match(etag)
    };
    assert_eq!(
        refusal(complete(OTHER).send().await),
        "412 PreconditionFailed"
    );
    assert_eq!(site.content("k").await.unwrap(), b"old");
    complete(&etag).send().await.unwrap();
    assert_eq!(site.content("k").await.unwrap(), b"parts");
}
