//! Copies.

use super::Site;
use crate::support::client::refusal;
use aws_sdk_s3::operation::upload_part_copy::builders::UploadPartCopyFluentBuilder;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart, MetadataDirective,
    RestoreRequest, StorageClass, TaggingDirective,
};
use local_s3::{Checksum, ChecksumAlgorithm as Own};
use std::collections::HashMap;

impl Site {
    fn source(&self, key: &str) -> String {
        format!("{}/{key}", self.bucket)
    }

    /// Bytes 2 to 5 of an object as the first part of another one.
    fn copied_range(&self, id: String, source: &str) -> UploadPartCopyFluentBuilder {
        let part = self.client.upload_part_copy().bucket(&self.bucket);
        part.key("target")
            .upload_id(id)
            .part_number(1)
            .copy_source(self.source(source))
            .copy_source_range("bytes=2-5")
    }

    async fn put_described(&self) {
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key("source")
            .body(b"content".to_vec().into());
        let put = put
            .metadata("colour", "blue")
            .content_type("text/plain")
            .tagging("team=red");
        put.send().await.unwrap();
    }

    async fn first_tag(&self, key: &str) -> Option<String> {
        let tags = self
            .client
            .get_object_tagging()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await
            .unwrap();
        tags.tag_set()
            .first()
            .map(|tag| format!("{}={}", tag.key(), tag.value()))
    }
}

pub(super) async fn a_copy_has_content_metadata_and_tags(site: Site) {
    site.put_described().await;
    let copy = site
        .client
        .copy_object()
        .bucket(&site.bucket)
        .key("copy")
        .copy_source(site.source("source"));
    let copied = copy.send().await.unwrap();
    let head = site
        .client
        .head_object()
        .bucket(&site.bucket)
        .key("copy")
        .send()
        .await
        .unwrap();
    assert_eq!(head.e_tag(), copied.copy_object_result().unwrap().e_tag());
    assert_eq!(head.metadata().unwrap()["colour"], "blue");
    assert_eq!(head.content_type(), Some("text/plain"));
    assert_eq!(site.content("copy").await.unwrap(), b"content");
    assert_eq!(site.first_tag("copy").await.as_deref(), Some("team=red"));
}

pub(super) async fn directives_replace_metadata_and_tags(site: Site) {
    site.put_described().await;
    let copy = site
        .client
        .copy_object()
        .bucket(&site.bucket)
        .key("copy")
        .copy_source(site.source("source"));
    let copy = copy
        .metadata_directive(MetadataDirective::Replace)
        .metadata("shape", "round");
    let copy = copy
        .tagging_directive(TaggingDirective::Replace)
        .tagging("team=green");
    copy.send().await.unwrap();
    let head = site
        .client
        .head_object()
        .bucket(&site.bucket)
        .key("copy")
        .send()
        .await
        .unwrap();
    let metadata = head.metadata().unwrap();
    assert_eq!(metadata.get("shape").map(String::as_str), Some("round"));
    assert_eq!(metadata.get("colour"), None);
    assert_eq!(site.first_tag("copy").await.as_deref(), Some("team=green"));
}

pub(super) async fn a_copy_does_not_inherit_the_storage_class(site: Site) {
    let put = site
        .client
        .put_object()
        .bucket(&site.bucket)
        .key("source")
        .storage_class(StorageClass::StandardIa);
    put.send().await.unwrap();
    let copy = |key: &str| {
        site.client
            .copy_object()
            .bucket(&site.bucket)
            .key(key)
            .copy_source(site.source("source"))
    };
    copy("plain").send().await.unwrap();
    copy("cold")
        .storage_class(StorageClass::GlacierIr)
        .send()
        .await
        .unwrap();
    for (key, class) in [("plain", None), ("cold", Some(StorageClass::GlacierIr))] {
        let head = site
            .client
            .head_object()
            .bucket(&site.bucket)
            .key(key)
            .send()
            .await
            .unwrap();
        assert_eq!(head.storage_class, class, "{key}");
    }
}

pub(super) async fn a_copy_onto_itself_without_change_is_refused(site: Site) {
    site.put_described().await;
    let copy = site
        .client
        .copy_object()
        .bucket(&site.bucket)
        .key("source")
        .copy_source(site.source("source"));
    assert_eq!(refusal(copy.clone().send().await), "400 InvalidRequest");
    copy.metadata_directive(MetadataDirective::Replace)
        .metadata("shape", "round")
        .send()
        .await
        .unwrap();
    let head = site
        .client
        .head_object()
        .bucket(&site.bucket)
        .key("source")
        .send()
        .await
        .unwrap();
    assert_eq!(head.metadata().unwrap()["shape"], "round");
}

pub(super) async fn a_copy_honours_conditions_on_its_source(site: Site) {
    let etag = site.put("source", b"content").await;
    let copy = || {
        site.client
            .copy_object()
            .bucket(&site.bucket)
            .key("copy")
            .copy_source(site.source("source"))
    };
    let other = "\"00000000000000000000000000000000\"";
    assert_eq!(
        refusal(copy().copy_source_if_match(other).send().await),
        "412 PreconditionFailed"
    );
    assert_eq!(
        refusal(copy().copy_source_if_none_match(&etag).send().await),
        "412 PreconditionFailed"
    );
    assert_eq!(site.content("copy").await, None);
    copy().copy_source_if_match(&etag).send().await.unwrap();
}

pub(super) async fn a_copy_of_nothing_is_not_found(site: Site) {
    let copy = site
        .client
        .copy_object()
        .bucket(&site.bucket)
        .key("copy")
        .copy_source(site.source("never"));
    assert_eq!(refusal(copy.send().await), "404 NoSuchKey");
}

pub(super) async fn a_copy_keeps_the_checksum(site: Site) {
    let put = site
        .client
        .put_object()
        .bucket(&site.bucket)
        .key("source")
        .body(b"content".to_vec().into());
    put.checksum_algorithm(ChecksumAlgorithm::Sha256)
        .send()
        .await
        .unwrap();
    let copy = site
        .client
        .copy_object()
        .bucket(&site.bucket)
        .key("copy")
        .copy_source(site.source("source"));
    let copied = copy.send().await.unwrap();
    let expected = Checksum::of(Own::Sha256, b"content").value;
    assert_eq!(
        copied.copy_object_result().unwrap().checksum_sha256(),
        Some(expected.as_str())
    );
    let head = site
        .client
        .head_object()
        .bucket(&site.bucket)
        .key("copy")
        .checksum_mode(ChecksumMode::Enabled);
    assert_eq!(
        head.send().await.unwrap().checksum_sha256(),
        Some(expected.as_str())
    );
}

/// Creates an upload, and completes it with the one part that `upload` makes.
async fn upload_one(site: &Site, upload: impl AsyncFnOnce(String) -> Option<String>) {
    let client = site.endpoint.client_without_checksums();
    let created = client
        .create_multipart_upload()
        .bucket(&site.bucket)
        .key("target")
        .send()
        .await
        .unwrap();
    let id = created.upload_id.unwrap();
    let etag = upload(id.clone()).await;
    let part = CompletedPart::builder()
        .part_number(1)
        .set_e_tag(etag)
        .build();
    let parts = CompletedMultipartUpload::builder().parts(part).build();
    let complete = client
        .complete_multipart_upload()
        .bucket(&site.bucket)
        .key("target")
        .upload_id(id);
    complete.multipart_upload(parts).send().await.unwrap();
}

pub(super) async fn a_copy_of_a_multipart_object_is_whole(site: Site) {
    let client = site.endpoint.client_without_checksums();
    upload_one(&site, async |id| {
        let part = client
            .upload_part()
            .bucket(&site.bucket)
            .key("target")
            .upload_id(id)
            .part_number(1);
        part.body(b"123456789".to_vec().into())
            .send()
            .await
            .unwrap()
            .e_tag
    })
    .await;
    let copy = site
        .client
        .copy_object()
        .bucket(&site.bucket)
        .key("copy")
        .copy_source(site.source("target"));
    let copied = copy.send().await.unwrap();
    assert_eq!(
        copied.copy_object_result().unwrap().e_tag(),
        Some("\"25f9e794323b453885f5181f1b624d0b\"")
    );
}

pub(super) async fn a_copied_range_becomes_a_part(site: Site) {
    let mut bytes = vec![b'-'; (5 << 20) + 1];
    bytes[..10].copy_from_slice(b"0123456789");
    site.put("source", &bytes).await;
    upload_one(&site, async |id| {
        let part = site.copied_range(id, "source").send();
        part.await.unwrap().copy_part_result.unwrap().e_tag
    })
    .await;
    assert_eq!(site.content("target").await.unwrap(), b"2345");
}

pub(super) async fn of_what_is_small_no_range_is_copied(site: Site) {
    site.put("source", &vec![b'-'; 5 << 20]).await;
    let created = site.client.create_multipart_upload();
    let created = created.bucket(&site.bucket).key("target").send();
    let id = created.await.unwrap().upload_id.unwrap();
    let refused = site.copied_range(id, "source").send().await;
    assert_eq!(refusal(refused), "400 InvalidRequest");
}

pub(super) async fn parts_that_are_copied_inherit_nothing(site: Site) {
    site.put_described().await;
    upload_one(&site, async |id| {
        let part = site.client.upload_part_copy().bucket(&site.bucket);
        let part = part.key("target").upload_id(id).part_number(1);
        let part = part.copy_source(site.source("source")).send();
        part.await.unwrap().copy_part_result.unwrap().e_tag
    })
    .await;
    let head = site.client.head_object().bucket(&site.bucket).key("target");
    let head = head.send().await.unwrap();
    assert_eq!(head.content_type(), Some("binary/octet-stream"));
    assert!(head.metadata().is_none_or(HashMap::is_empty));
    assert_eq!(site.first_tag("target").await, None);
}

pub(super) async fn a_copy_from_another_bucket_with_an_encoded_key(site: Site) {
    let other = format!("{}-other", site.bucket);
    let created = site.client.create_bucket().bucket(&other).send();
    created.await.unwrap();
    let put = site.client.put_object().bucket(&other).key("a b/ü+?%.txt");
    put.body(b"content".to_vec().into()).send().await.unwrap();
    let copy = site.client.copy_object().bucket(&site.bucket).key("copy");
    let copy = copy.copy_source(format!("{other}/a%20b/%C3%BC%2B%3F%25.txt"));
    copy.send().await.unwrap();
    assert_eq!(site.content("copy").await.unwrap(), b"content");
}

pub(super) async fn an_archived_object_is_copied_once_it_is_restored(site: Site) {
    let put = site.client.put_object().bucket(&site.bucket).key("source");
    let put = put.storage_class(StorageClass::Glacier);
    put.body(b"content".to_vec().into()).send().await.unwrap();
    let copy = || {
        let copy = site.client.copy_object().bucket(&site.bucket).key("copy");
        copy.copy_source(site.source("source")).send()
    };
    assert_eq!(refusal(copy().await), "403 InvalidObjectState");
    let asked = RestoreRequest::builder().days(1).build();
    let restore = site.client.restore_object().bucket(&site.bucket);
    let restore = restore.key("source").restore_request(asked);
    restore.send().await.unwrap();
    // moto is restored at the first look.
    let head = site.client.head_object().bucket(&site.bucket).key("source");
    head.send().await.unwrap();
    copy().await.unwrap();
    assert_eq!(site.content("copy").await.unwrap(), b"content");
}
