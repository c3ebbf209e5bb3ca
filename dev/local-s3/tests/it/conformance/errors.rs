//! Buckets, and what is refused with which code.

use super::Site;
use crate::support::client::refusal;

pub(super) async fn an_unknown_bucket(site: Site) {
    let client = &site.client;
    let nowhere = "no-such-bucket";
    assert_eq!(
        refusal(client.get_object().bucket(nowhere).key("k").send().await),
        "404 NoSuchBucket"
    );
    let put = client
        .put_object()
        .bucket(nowhere)
        .key("k")
        .body(b"x".to_vec().into());
    assert_eq!(refusal(put.send().await), "404 NoSuchBucket");
    assert_eq!(
        refusal(client.list_objects_v2().bucket(nowhere).send().await),
        "404 NoSuchBucket"
    );
    assert_eq!(
        refusal(
            client
                .create_multipart_upload()
                .bucket(nowhere)
                .key("k")
                .send()
                .await
        ),
        "404 NoSuchBucket"
    );
    assert_eq!(
        refusal(client.head_bucket().bucket(nowhere).send().await),
        "404 NotFound"
    );
    assert_eq!(
        refusal(client.delete_bucket().bucket(nowhere).send().await),
        "404 NoSuchBucket"
    );
    assert_eq!(
        refusal(client.delete_object().bucket(nowhere).key("k").send().await),
        "404 NoSuchBucket"
    );
}

pub(super) async fn an_unknown_key(site: Site) {
    let (client, bucket) = (&site.client, &site.bucket);
    assert_eq!(
        refusal(client.get_object().bucket(bucket).key("k").send().await),
        "404 NoSuchKey"
    );
    assert_eq!(
        refusal(client.head_object().bucket(bucket).key("k").send().await),
        "404 NotFound"
    );
    assert_eq!(
        refusal(
            client
                .get_object_tagging()
                .bucket(bucket)
                .key("k")
                .send()
                .await
        ),
        "404 NoSuchKey"
    );
}

pub(super) async fn a_key_too_long(site: Site) {
    let put = |length| {
        site.client
            .put_object()
            .bucket(&site.bucket)
            .key("x".repeat(length))
            .body(b"x".to_vec().into())
    };
    put(1_024).send().await.unwrap();
    assert_eq!(refusal(put(1_025).send().await), "400 KeyTooLongError");
    // Bytes count, not characters.
    let wide = site
        .client
        .put_object()
        .bucket(&site.bucket)
        .key("ü".repeat(513))
        .body(b"x".to_vec().into());
    assert_eq!(refusal(wide.send().await), "400 KeyTooLongError");
}

pub(super) async fn deleting_what_is_not_there_succeeds(site: Site) {
    site.client
        .delete_object()
        .bucket(&site.bucket)
        .key("k")
        .send()
        .await
        .unwrap();
}

pub(super) async fn a_bucket_that_is_not_empty_stays(site: Site) {
    site.put("k", b"x").await;
    let delete = site.client.delete_bucket().bucket(&site.bucket);
    assert_eq!(refusal(delete.clone().send().await), "409 BucketNotEmpty");
    site.client
        .delete_object()
        .bucket(&site.bucket)
        .key("k")
        .send()
        .await
        .unwrap();
    delete.send().await.unwrap();
    assert_eq!(
        refusal(site.client.head_bucket().bucket(&site.bucket).send().await),
        "404 NotFound"
    );
}

pub(super) async fn a_bucket_is_created_once(site: Site) {
    let create = |name: &str| site.client.create_bucket().bucket(name);
    let other = format!("{}-other", site.bucket);
    create(&other).send().await.unwrap();
    // In this one region S3 answers 200 to the owner, for history's sake; other servers answer as
    // S3 does elsewhere.
    if let Err(error) = create(&other).send().await {
        assert!(error.into_service_error().is_bucket_already_owned_by_you());
    }
}

pub(super) async fn buckets_are_found(site: Site) {
    site.client
        .head_bucket()
        .bucket(&site.bucket)
        .send()
        .await
        .unwrap();
    let listed = site.client.list_buckets().send().await.unwrap();
    assert!(
        listed
            .buckets()
            .iter()
            .any(|bucket| bucket.name() == Some(&site.bucket))
    );
    let location = site
        .client
        .get_bucket_location()
        .bucket(&site.bucket)
        .send()
        .await
        .unwrap();
    assert_eq!(
        location
            .location_constraint()
            .map_or("", |constraint| constraint.as_str()),
        ""
    );
}

pub(super) async fn versioning_is_off(site: Site) {
    let versioning = site
        .client
        .get_bucket_versioning()
        .bucket(&site.bucket)
        .send()
        .await
        .unwrap();
    assert_eq!(versioning.status(), None);
}
