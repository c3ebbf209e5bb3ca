//! What is said about objects: metadata, headers, storage classes, tags, encryption.

use super::Site;
use crate::support::client::refusal;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{
    GlacierJobParameters, ObjectStorageClass, RestoreRequest, ServerSideEncryption, StorageClass,
    Tag, Tagging, Tier,
};

pub(super) async fn metadata_comes_back(site: Site) {
    let put = site
        .client
        .put_object()
        .bucket(&site.bucket)
        .key("k")
        .metadata("Colour", "dark blue");
    put.metadata("x-mode", "0644").send().await.unwrap();
    let head = site
        .client
        .head_object()
        .bucket(&site.bucket)
        .key("k")
        .send()
        .await
        .unwrap();
    let metadata = head.metadata().unwrap();
    assert_eq!(metadata["colour"], "dark blue", "names are in lower case");
    assert_eq!(metadata["x-mode"], "0644");
}

pub(super) async fn headers_of_the_content_come_back(site: Site) {
    let expires = DateTime::from_secs(2_000_000_000);
    let put = site
        .client
        .put_object()
        .bucket(&site.bucket)
        .key("k")
        .content_type("text/html; charset=utf-8");
    let put = put
        .cache_control("no-store")
        .content_disposition("attachment")
        .content_encoding("gzip");
    put.content_language("de")
        .expires(expires)
        .send()
        .await
        .unwrap();
    let head = site
        .client
        .head_object()
        .bucket(&site.bucket)
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(head.content_type(), Some("text/html; charset=utf-8"));
    assert_eq!(head.cache_control(), Some("no-store"));
    assert_eq!(head.content_disposition(), Some("attachment"));
    assert_eq!(head.content_encoding(), Some("gzip"));
    assert_eq!(head.content_language(), Some("de"));
    assert_eq!(head.expires_string(), Some("Wed, 18 May 2033 03:33:20 GMT"));
}

pub(super) async fn every_storage_class_comes_back(site: Site) {
    let classes = [
        "STANDARD",
        "STANDARD_IA",
        "ONEZONE_IA",
        "INTELLIGENT_TIERING",
        "GLACIER",
        "GLACIER_IR",
        "DEEP_ARCHIVE",
        "REDUCED_REDUNDANCY",
    ];
    for class in classes {
        let put = site
            .client
            .put_object()
            .bucket(&site.bucket)
            .key(class)
            .storage_class(StorageClass::from(class));
        put.send().await.unwrap();
        let head = site
            .client
            .head_object()
            .bucket(&site.bucket)
            .key(class)
            .send()
            .await
            .unwrap();
        let expected = (class != "STANDARD").then_some(class);
        assert_eq!(
            head.storage_class().map(StorageClass::as_str),
            expected,
            "the standard class is not named"
        );
    }
    let listed = site
        .client
        .list_objects_v2()
        .bucket(&site.bucket)
        .send()
        .await
        .unwrap();
    for object in listed.contents() {
        assert_eq!(
            object.storage_class().map(ObjectStorageClass::as_str),
            object.key()
        );
    }
}

pub(super) async fn an_unknown_storage_class_is_refused(site: Site) {
    let put = site
        .client
        .put_object()
        .bucket(&site.bucket)
        .key("k")
        .storage_class(StorageClass::from("LUKEWARM"));
    assert_eq!(refusal(put.send().await), "400 InvalidStorageClass");
    assert_eq!(site.content("k").await, None);
}

async fn tags(site: &Site) -> Vec<(String, String)> {
    let tags = site
        .client
        .get_object_tagging()
        .bucket(&site.bucket)
        .key("k")
        .send()
        .await
        .unwrap();
    let mut tags: Vec<_> = tags
        .tag_set()
        .iter()
        .map(|tag| (tag.key().to_owned(), tag.value().to_owned()))
        .collect();
    tags.sort();
    tags
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

pub(super) async fn tags_in_the_header_come_back(site: Site) {
    let put = site
        .client
        .put_object()
        .bucket(&site.bucket)
        .key("k")
        .tagging("team=red&cost%20centre=4%2B2");
    put.send().await.unwrap();
    assert_eq!(
        tags(&site).await,
        [pair("cost centre", "4+2"), pair("team", "red")]
    );
    let got = site
        .client
        .get_object()
        .bucket(&site.bucket)
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(got.tag_count(), Some(2));
}

pub(super) async fn tags_are_replaced_and_deleted(site: Site) {
    let put = site
        .client
        .put_object()
        .bucket(&site.bucket)
        .key("k")
        .tagging("team=red")
        .body(b"x".to_vec().into());
    put.send().await.unwrap();
    let tag = Tag::builder().key("team").value("green").build().unwrap();
    let tagging = Tagging::builder().tag_set(tag).build().unwrap();
    site.client
        .put_object_tagging()
        .bucket(&site.bucket)
        .key("k")
        .tagging(tagging)
        .send()
        .await
        .unwrap();
    assert_eq!(tags(&site).await, [pair("team", "green")]);
    site.client
        .delete_object_tagging()
        .bucket(&site.bucket)
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(tags(&site).await, []);
    assert_eq!(site.content("k").await.unwrap(), b"x");
}

pub(super) async fn encryption_is_echoed(site: Site) {
    let put = site
        .client
        .put_object()
        .bucket(&site.bucket)
        .key("k")
        .server_side_encryption(ServerSideEncryption::AwsKms);
    let key = "arn:aws:kms:us-east-1:123456789012:key/0";
    let put = put.ssekms_key_id(key).send().await.unwrap();
    assert_eq!(
        put.server_side_encryption(),
        Some(&ServerSideEncryption::AwsKms)
    );
    let head = site
        .client
        .head_object()
        .bucket(&site.bucket)
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(
        head.server_side_encryption(),
        Some(&ServerSideEncryption::AwsKms)
    );
    assert_eq!(head.ssekms_key_id(), Some(key));
}

pub(super) async fn the_etag_of_a_kms_object_is_no_md5(site: Site) {
    let put = site
        .client
        .put_object()
        .bucket(&site.bucket)
        .key("k")
        .server_side_encryption(ServerSideEncryption::AwsKms);
    let put = put.body(b"123456789".to_vec().into()).send().await.unwrap();
    assert_ne!(put.e_tag(), Some("\"25f9e794323b453885f5181f1b624d0b\""));
}

pub(super) async fn objects_are_encrypted_by_default(site: Site) {
    site.put("k", b"x").await;
    let head = site
        .client
        .head_object()
        .bucket(&site.bucket)
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(
        head.server_side_encryption(),
        Some(&ServerSideEncryption::Aes256)
    );
}

pub(super) async fn metadata_beyond_two_kilobytes_is_refused(site: Site) {
    let put = |value: String| {
        site.client
            .put_object()
            .bucket(&site.bucket)
            .key("k")
            .metadata("name", value)
    };
    put("x".repeat(2_044)).send().await.unwrap();
    assert_eq!(
        refusal(put("x".repeat(2_045)).send().await),
        "400 MetadataTooLarge"
    );
}

fn two_days() -> RestoreRequest {
    let tier = GlacierJobParameters::builder()
        .tier(Tier::Standard)
        .build()
        .unwrap();
    RestoreRequest::builder()
        .days(2)
        .glacier_job_parameters(tier)
        .build()
}

pub(super) async fn archived_objects_have_to_be_restored(site: Site) {
    let put = site
        .client
        .put_object()
        .bucket(&site.bucket)
        .key("k")
        .storage_class(StorageClass::Glacier);
    put.body(b"cold".to_vec().into()).send().await.unwrap();
    let get = || site.client.get_object().bucket(&site.bucket).key("k");
    assert_eq!(refusal(get().send().await), "403 InvalidObjectState");
    let restore = site
        .client
        .restore_object()
        .bucket(&site.bucket)
        .key("k")
        .restore_request(two_days());
    restore.send().await.unwrap();
    let head = site
        .client
        .head_object()
        .bucket(&site.bucket)
        .key("k")
        .send()
        .await
        .unwrap();
    assert!(
        head.restore()
            .unwrap()
            .starts_with("ongoing-request=\"false\", expiry-date=")
    );
    assert_eq!(site.content("k").await.unwrap(), b"cold");
}

pub(super) async fn only_archived_objects_are_restored(site: Site) {
    site.put("k", b"x").await;
    let restore = site
        .client
        .restore_object()
        .bucket(&site.bucket)
        .key("k")
        .restore_request(two_days());
    assert_eq!(refusal(restore.send().await), "403 InvalidObjectState");
}

pub(super) async fn tags_are_counted(site: Site) {
    site.put("none", b"").await;
    let put = site.client.put_object().bucket(&site.bucket).key("two");
    put.tagging("a=1&b=2").send().await.unwrap();
    for (key, count) in [("none", None), ("two", Some(2))] {
        let head = site.client.head_object().bucket(&site.bucket).key(key);
        assert_eq!(head.send().await.unwrap().tag_count(), count, "{key}");
        let get = site.client.get_object().bucket(&site.bucket).key(key);
        assert_eq!(get.send().await.unwrap().tag_count(), count, "{key}");
    }
}
