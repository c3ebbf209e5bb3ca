//! Copies by a server with options: a lower limit, and conditions that are ignored.

use crate::support::client::{Endpoint, local, refusal};
use aws_sdk_s3::Client;
use aws_sdk_s3::operation::copy_object::builders::CopyObjectFluentBuilder;
use aws_sdk_s3::types::{
    CompletedMultipartUpload, CompletedPart, OptionalObjectAttributes, RestoreRequest, StorageClass,
};
use local_s3::{Builder, LocalS3};

const OTHER: &str = "\"00000000000000000000000000000000\"";
/// The smallest part that is not the last one.
const PART: usize = 5 << 20;

fn start(builder: Builder) -> (LocalS3, Client) {
    let server = builder.bucket("bucket").start().unwrap();
    let client = Endpoint::of(&server).client();
    (server, client)
}

fn copy(client: &Client) -> CopyObjectFluentBuilder {
    let copy = client.copy_object().bucket("bucket").key("copy");
    copy.copy_source("bucket/source")
}

#[tokio::test]
async fn what_is_longer_than_the_limit_is_copied_in_parts_only() {
    let (server, client) = start(LocalS3::builder().copy_limit(PART as u64));
    let content = [vec![b'a'; PART], b"tail".to_vec()].concat();
    server.replace("bucket", "source", content.clone());
    assert_eq!(refusal(copy(&client).send().await), "400 InvalidRequest");

    let create = client.create_multipart_upload().bucket("bucket");
    let id = create.key("copy").send().await.unwrap().upload_id.unwrap();
    let part = |number: i32| {
        let part = client.upload_part_copy().bucket("bucket").key("copy");
        let part = part.upload_id(&id).part_number(number);
        part.copy_source("bucket/source")
    };
    assert_eq!(refusal(part(1).send().await), "400 InvalidRequest");
    let mut parts = CompletedMultipartUpload::builder();
    for (number, first, last) in [(1, 0, PART - 1), (2, PART, PART + 3)] {
        let part = part(number).copy_source_range(format!("bytes={first}-{last}"));
        let copied = part.send().await.unwrap().copy_part_result.unwrap();
        let done = CompletedPart::builder().part_number(number);
        parts = parts.parts(done.set_e_tag(copied.e_tag).build());
    }
    let complete = client.complete_multipart_upload().bucket("bucket");
    let complete = complete.key("copy").upload_id(&id);
    let complete = complete.multipart_upload(parts.build());
    complete.send().await.unwrap();
    assert_eq!(server.object("bucket", "copy").unwrap().bytes, content);
    server.truncate("bucket", "source", PART);
    copy(&client).send().await.unwrap();
}

#[tokio::test]
async fn conditions_on_the_target_can_be_ignored_without_those_of_other_writes() {
    let (server, client) = start(LocalS3::builder().ignores_conditions_of_copies());
    server.replace("bucket", "source", "new");
    server.replace("bucket", "copy", "old");
    let put = || client.put_object().bucket("bucket").key("copy");
    let refused = put().if_none_match("*").send().await;
    assert_eq!(refusal(refused), "412 PreconditionFailed");
    let refused = copy(&client).copy_source_if_match(OTHER).send().await;
    assert_eq!(refusal(refused), "412 PreconditionFailed");
    copy(&client).if_none_match("*").send().await.unwrap();
    assert_eq!(server.object("bucket", "copy").unwrap().bytes, "new");
    copy(&client).if_match(OTHER).send().await.unwrap();
}

#[tokio::test]
async fn conditions_on_the_source_can_be_ignored_without_those_of_the_target() {
    let (server, client) = start(LocalS3::builder().ignores_conditions_of_sources());
    server.replace("bucket", "source", "new");
    copy(&client)
        .copy_source_if_match(OTHER)
        .send()
        .await
        .unwrap();
    let refused = copy(&client).if_none_match("*").send().await;
    assert_eq!(refusal(refused), "412 PreconditionFailed");
}

#[tokio::test]
async fn a_pending_restoration_is_listed_and_not_copied() {
    let (_server, client) = start(LocalS3::builder().restores_stay_pending());
    let put = client.put_object().bucket("bucket").key("source");
    let put = put.storage_class(StorageClass::DeepArchive);
    put.send().await.unwrap();
    let asked = RestoreRequest::builder().days(1).build();
    let restore = client.restore_object().bucket("bucket").key("source");
    restore.restore_request(asked).send().await.unwrap();
    let list = client.list_objects_v2().bucket("bucket");
    let list = list.optional_object_attributes(OptionalObjectAttributes::RestoreStatus);
    let listed = list.send().await.unwrap();
    let status = listed.contents()[0].restore_status().unwrap();
    assert_eq!(status.is_restore_in_progress(), Some(true));
    assert_eq!(status.restore_expiry_date(), None);
    let refused = copy(&client).send().await;
    assert_eq!(refusal(refused), "403 InvalidObjectState");
}

#[tokio::test]
async fn a_restored_copy_expires() {
    let (server, client) = local();
    server.replace("bucket", "source", "content");
    server.transition("bucket", "source", "GLACIER");
    let hour = std::time::Duration::from_secs(3_600);
    server.thaw("bucket", "source", hour);
    copy(&client).send().await.unwrap();
    server.clock().advance(hour * 2);
    let refused = copy(&client).send().await;
    assert_eq!(refusal(refused), "403 InvalidObjectState");
}
