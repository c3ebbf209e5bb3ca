//! Multipart uploads.

use super::Site;
use crate::support::client::refusal;
use aws_sdk_s3::operation::complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, StorageClass};

/// The smallest part that is not the last one.
const PART: usize = 5 << 20;

/// An upload without checksums, which is what these tests are not about.
struct Upload {
    site: Site,
    id: String,
}

impl Upload {
    async fn create(site: &Site, key: &str) -> Self {
        let site = Site {
            client: site.endpoint.client_without_checksums(),
            ..site.clone()
        };
        let created = site
            .client
            .create_multipart_upload()
            .bucket(&site.bucket)
            .key(key)
            .send()
            .await
            .unwrap();
        Self {
            site,
            id: created.upload_id.unwrap(),
        }
    }

    async fn part(&self, number: i32, bytes: Vec<u8>) -> CompletedPart {
        let part = self
            .site
            .client
            .upload_part()
            .bucket(&self.site.bucket)
            .key("k")
            .upload_id(&self.id);
        let part = part
            .part_number(number)
            .body(bytes.into())
            .send()
            .await
            .unwrap();
        CompletedPart::builder()
            .part_number(number)
            .set_e_tag(part.e_tag)
            .build()
    }

    fn complete(
        &self,
        parts: impl IntoIterator<Item = CompletedPart>,
    ) -> CompleteMultipartUploadFluentBuilder {
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts.into_iter().collect()))
            .build();
        let complete = self
            .site
            .client
            .complete_multipart_upload()
            .bucket(&self.site.bucket)
            .key("k");
        complete.upload_id(&self.id).multipart_upload(parts)
    }
}

pub(super) async fn parts_become_one_object(site: Site) {
    let upload = Upload::create(&site, "k").await;
    let last = upload.part(7, b"end".to_vec()).await;
    let first = upload.part(2, vec![b'x'; PART]).await;
    assert_eq!(
        site.content("k").await,
        None,
        "nothing is visible before the completion"
    );
    let done = upload.complete([first, last]).send().await.unwrap();
    // The MD5 of the MD5s of the parts.
    assert_eq!(
        done.e_tag.as_deref(),
        Some("\"6d7c5fbffce55b2eb513ca823d7235b2-2\"")
    );
    let content = site.content("k").await.unwrap();
    assert_eq!(content.len(), PART + 3);
    assert!(content.ends_with(b"xxend"));
}

pub(super) async fn attributes_come_from_the_creation(site: Site) {
    let create = site
        .client
        .create_multipart_upload()
        .bucket(&site.bucket)
        .key("k")
        .metadata("colour", "blue");
    let create = create
        .content_type("text/plain")
        .storage_class("STANDARD_IA".into())
        .tagging("team=red");
    let created = create.send().await.unwrap();
    let upload = Upload {
        site: site.clone(),
        id: created.upload_id.unwrap(),
    };
    let part = site
        .client
        .upload_part()
        .bucket(&site.bucket)
        .key("k")
        .upload_id(&upload.id)
        .part_number(1);
    let part = part.body(b"x".to_vec().into()).send().await.unwrap();
    let part = CompletedPart::builder()
        .part_number(1)
        .set_e_tag(part.e_tag);
    upload.complete([part.build()]).send().await.unwrap();
    let head = site
        .client
        .head_object()
        .bucket(&site.bucket)
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(head.metadata().unwrap()["colour"], "blue");
    assert_eq!(head.content_type(), Some("text/plain"));
    assert_eq!(
        head.storage_class().map(StorageClass::as_str),
        Some("STANDARD_IA")
    );
    let tags = site
        .client
        .get_object_tagging()
        .bucket(&site.bucket)
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (tags.tag_set()[0].key(), tags.tag_set()[0].value()),
        ("team", "red")
    );
}

pub(super) async fn parts_out_of_order_are_refused(site: Site) {
    let upload = Upload::create(&site, "k").await;
    let first = upload.part(1, vec![0; PART]).await;
    let second = upload.part(2, vec![0; PART]).await;
    assert_eq!(
        refusal(upload.complete([second, first]).send().await),
        "400 InvalidPartOrder"
    );
    assert_eq!(site.content("k").await, None);
}

pub(super) async fn parts_that_were_not_uploaded_are_refused(site: Site) {
    let upload = Upload::create(&site, "k").await;
    let part = upload.part(1, b"x".to_vec()).await;
    let missing = CompletedPart::builder()
        .part_number(2)
        .set_e_tag(part.e_tag.clone())
        .build();
    assert_eq!(
        refusal(upload.complete([part.clone(), missing]).send().await),
        "400 InvalidPart"
    );
    let other = CompletedPart::builder()
        .part_number(1)
        .e_tag("\"00000000000000000000000000000000\"")
        .build();
    assert_eq!(
        refusal(upload.complete([other]).send().await),
        "400 InvalidPart"
    );
    assert_eq!(site.content("k").await, None);
    upload.complete([part]).send().await.unwrap();
}

pub(super) async fn small_parts_are_refused_unless_last(site: Site) {
    let upload = Upload::create(&site, "k").await;
    let small = upload.part(1, vec![0; PART - 1]).await;
    let last = upload.part(2, b"x".to_vec()).await;
    assert_eq!(
        refusal(upload.complete([small, last]).send().await),
        "400 EntityTooSmall"
    );
    assert_eq!(site.content("k").await, None);
}

pub(super) async fn an_aborted_upload_is_gone(site: Site) {
    let upload = Upload::create(&site, "k").await;
    let part = upload.part(1, b"x".to_vec()).await;
    let abort = site
        .client
        .abort_multipart_upload()
        .bucket(&site.bucket)
        .key("k")
        .upload_id(&upload.id);
    abort.clone().send().await.unwrap();
    assert_eq!(
        refusal(upload.complete([part]).send().await),
        "404 NoSuchUpload"
    );
    assert_eq!(refusal(abort.send().await), "404 NoSuchUpload");
    assert_eq!(site.content("k").await, None);
}

pub(super) async fn an_unknown_upload(site: Site) {
    let upload = Upload {
        site: site.clone(),
        id: "unknown".to_owned(),
    };
    let part = site
        .client
        .upload_part()
        .bucket(&site.bucket)
        .key("k")
        .upload_id(&upload.id)
        .part_number(1);
    assert_eq!(
        refusal(part.body(b"x".to_vec().into()).send().await),
        "404 NoSuchUpload"
    );
    let parts = site
        .client
        .list_parts()
        .bucket(&site.bucket)
        .key("k")
        .upload_id(&upload.id);
    assert_eq!(refusal(parts.send().await), "404 NoSuchUpload");
    let part = CompletedPart::builder()
        .part_number(1)
        .e_tag("\"00000000000000000000000000000000\"")
        .build();
    assert_eq!(
        refusal(upload.complete([part]).send().await),
        "404 NoSuchUpload"
    );
}

pub(super) async fn a_part_can_be_replaced(site: Site) {
    let upload = Upload::create(&site, "k").await;
    upload.part(1, b"first".to_vec()).await;
    let second = upload.part(1, b"second".to_vec()).await;
    upload.complete([second]).send().await.unwrap();
    assert_eq!(site.content("k").await.unwrap(), b"second");
}

pub(super) async fn part_numbers_have_bounds(site: Site) {
    let upload = Upload::create(&site, "k").await;
    for number in [0, 10_001] {
        let part = site
            .client
            .upload_part()
            .bucket(&site.bucket)
            .key("k")
            .upload_id(&upload.id);
        let part = part.part_number(number).body(b"x".to_vec().into());
        assert_eq!(
            refusal(part.send().await),
            "400 InvalidArgument",
            "{number}"
        );
    }
    upload.part(10_000, b"x".to_vec()).await;
}

pub(super) async fn parts_are_listed_in_pages(site: Site) {
    let upload = Upload::create(&site, "k").await;
    for number in [3, 1, 2] {
        upload
            .part(number, vec![b'x'; usize::try_from(number).unwrap()])
            .await;
    }
    let list = || {
        site.client
            .list_parts()
            .bucket(&site.bucket)
            .key("k")
            .upload_id(&upload.id)
    };
    let page = list().max_parts(2).send().await.unwrap();
    let numbers = |parts: &[aws_sdk_s3::types::Part]| -> Vec<i32> {
        parts
            .iter()
            .filter_map(aws_sdk_s3::types::Part::part_number)
            .collect()
    };
    assert_eq!(numbers(page.parts()), [1, 2]);
    assert_eq!(page.is_truncated, Some(true));
    assert_eq!(page.parts()[1].size(), Some(2));
    let rest = list()
        .part_number_marker(page.next_part_number_marker().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(numbers(rest.parts()), [3]);
    assert_eq!(rest.is_truncated, Some(false));
}

pub(super) async fn uploads_are_listed(site: Site) {
    for key in ["a/2", "a/1", "b"] {
        Upload::create(&site, key).await;
    }
    let list = || site.client.list_multipart_uploads().bucket(&site.bucket);
    let keys = |found: &[aws_sdk_s3::types::MultipartUpload]| -> Vec<String> {
        found
            .iter()
            .filter_map(|upload| upload.key().map(str::to_owned))
            .collect()
    };
    assert_eq!(
        keys(list().send().await.unwrap().uploads()),
        ["a/1", "a/2", "b"]
    );
    assert_eq!(
        keys(list().prefix("a/").send().await.unwrap().uploads()),
        ["a/1", "a/2"]
    );
    let page = list().max_uploads(2).send().await.unwrap();
    assert_eq!(page.is_truncated, Some(true));
    let rest = list()
        .key_marker(page.next_key_marker().unwrap())
        .upload_id_marker(page.next_upload_id_marker().unwrap());
    assert_eq!(keys(rest.send().await.unwrap().uploads()), ["b"]);
}

pub(super) async fn the_size_of_the_object_is_checked(site: Site) {
    let upload = Upload::create(&site, "k").await;
    let part = upload.part(1, b"12345".to_vec()).await;
    let wrong = upload.complete([part.clone()]).mpu_object_size(6);
    assert_eq!(refusal(wrong.send().await), "400 InvalidRequest");
    assert_eq!(site.content("k").await, None);
    upload
        .complete([part])
        .mpu_object_size(5)
        .send()
        .await
        .unwrap();
}

pub(super) async fn completing_twice_succeeds(site: Site) {
    let upload = Upload::create(&site, "k").await;
    let part = upload.part(1, b"x".to_vec()).await;
    let first = upload.complete([part.clone()]).send().await.unwrap();
    let second = upload.complete([part]).send().await.unwrap();
    assert_eq!(first.e_tag, second.e_tag);
}

pub(super) async fn completing_without_parts_is_refused(site: Site) {
    let upload = Upload::create(&site, "k").await;
    upload.part(1, b"x".to_vec()).await;
    assert_eq!(
        refusal(upload.complete([]).send().await),
        "400 MalformedXML"
    );
}
