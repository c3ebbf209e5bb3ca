//! Conditions on both ends of a copy.

use super::Site;
use crate::support::client::refusal;
use aws_sdk_s3::operation::copy_object::builders::CopyObjectFluentBuilder;
use aws_sdk_s3::operation::upload_part_copy::builders::UploadPartCopyFluentBuilder;
use aws_sdk_s3::primitives::DateTime;
use std::time::{Duration, SystemTime};

const OTHER: &str = "\"00000000000000000000000000000000\"";
const HOUR: Duration = Duration::from_secs(3_600);

impl Site {
    fn copy(&self) -> CopyObjectFluentBuilder {
        let copy = self.client.copy_object().bucket(&self.bucket).key("copy");
        copy.copy_source(format!("{}/source", self.bucket))
    }

    async fn part(&self) -> impl Fn() -> UploadPartCopyFluentBuilder {
        let create = self.client.create_multipart_upload();
        let created = create.bucket(&self.bucket).key("copy").send().await;
        let id = created.unwrap().upload_id.unwrap();
        let (client, bucket) = (self.client.clone(), self.bucket.clone());
        move || {
            let part = client.upload_part_copy().bucket(&bucket).key("copy");
            part.upload_id(&id)
                .part_number(1)
                .copy_source(format!("{bucket}/source"))
        }
    }
}

fn hours_from_now(hours: i32) -> DateTime {
    let now = SystemTime::now();
    let by = HOUR * hours.unsigned_abs();
    DateTime::from(if hours < 0 { now - by } else { now + by })
}

pub(super) async fn a_copy_honours_times_of_its_source(site: Site) {
    site.put("source", b"content").await;
    let (before, after) = (hours_from_now(-1), hours_from_now(1));
    let refused = site.copy().copy_source_if_unmodified_since(before).send();
    assert_eq!(refusal(refused.await), "412 PreconditionFailed");
    let refused = site.copy().copy_source_if_modified_since(after).send();
    assert_eq!(refusal(refused.await), "412 PreconditionFailed");
    assert_eq!(site.content("copy").await, None);
    let copied = site.copy().copy_source_if_unmodified_since(after);
    copied
        .copy_source_if_none_match(OTHER)
        .send()
        .await
        .unwrap();
    let copied = site.copy().copy_source_if_modified_since(before);
    copied.send().await.unwrap();
}

pub(super) async fn a_copy_creates_its_target_once(site: Site) {
    site.put("source", b"one").await;
    site.copy().if_none_match("*").send().await.unwrap();
    site.put("source", b"two").await;
    let again = site.copy().if_none_match("*").send().await;
    assert_eq!(refusal(again), "412 PreconditionFailed");
    assert_eq!(site.content("copy").await.unwrap(), b"one");
}

pub(super) async fn a_copy_replaces_only_the_named_target(site: Site) {
    site.put("source", b"new").await;
    let missing = site.copy().if_match(OTHER).send().await;
    assert_eq!(refusal(missing), "404 NoSuchKey");
    let etag = site.put("copy", b"old").await;
    let other = site.copy().if_match(OTHER).send().await;
    assert_eq!(refusal(other), "412 PreconditionFailed");
    assert_eq!(site.content("copy").await.unwrap(), b"old");
    site.copy().if_match(etag).send().await.unwrap();
    assert_eq!(site.content("copy").await.unwrap(), b"new");
}

pub(super) async fn a_copied_part_honours_conditions_on_its_source(site: Site) {
    let etag = site.put("source", b"content").await;
    let part = site.part().await;
    let refused = [
        part().copy_source_if_match(OTHER),
        part().copy_source_if_none_match(&etag),
        part().copy_source_if_unmodified_since(hours_from_now(-1)),
        part().copy_source_if_modified_since(hours_from_now(1)),
    ];
    for part in refused {
        assert_eq!(refusal(part.send().await), "412 PreconditionFailed");
    }
    let taken = part().copy_source_if_match(&etag).send().await.unwrap();
    assert_eq!(taken.copy_part_result.unwrap().e_tag, Some(etag));
}
