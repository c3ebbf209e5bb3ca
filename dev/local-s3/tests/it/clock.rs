//! The server's clock, as clients see it.

use crate::support::client::{Endpoint, local};
use crate::support::raw::{self, Payload};
use local_s3::LocalS3;
use std::time::{Duration, SystemTime};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn objects_are_dated_by_the_servers_clock() {
    let (server, client) = local();
    server.clock().advance(5 * HOUR);
    // The client signs with the time that the server tells it, or with its own; both are accepted.
    for _ in 0..2 {
        client
            .put_object()
            .bucket("bucket")
            .key("k")
            .send()
            .await
            .unwrap();
    }
    let head = client
        .head_object()
        .bucket("bucket")
        .key("k")
        .send()
        .await
        .unwrap();
    let modified = SystemTime::try_from(*head.last_modified().unwrap()).unwrap();
    let ahead = modified.duration_since(SystemTime::now()).unwrap();
    assert!(ahead > 4 * HOUR && ahead <= 5 * HOUR, "{ahead:?}");
}

#[test]
fn the_date_header_is_the_servers_clock() {
    let server = LocalS3::builder().bucket("bucket").start().unwrap();
    let endpoint = Endpoint::of(&server);
    let date = || {
        let answer = raw::send(&endpoint, "GET", "/bucket/k", &[], &Payload::Unsigned, b"");
        assert_eq!(answer.text.to_lowercase().matches("\r\ndate:").count(), 1);
        httpdate::parse_http_date(answer.header("date").unwrap()).unwrap()
    };
    let before = date();
    server.clock().advance(HOUR);
    let between = date().duration_since(before).unwrap();
    assert!(
        between >= HOUR && between < HOUR + Duration::from_secs(60),
        "{between:?}"
    );
}

#[tokio::test]
async fn a_multipart_object_is_dated_by_the_creation_of_its_upload() {
    use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
    let (server, client) = local();
    let created = client
        .create_multipart_upload()
        .bucket("bucket")
        .key("k")
        .send()
        .await
        .unwrap();
    let id = created.upload_id.unwrap();
    server.clock().advance(HOUR);
    let part = client
        .upload_part()
        .bucket("bucket")
        .key("k")
        .upload_id(&id)
        .part_number(1)
        .send()
        .await
        .unwrap();
    let part = CompletedPart::builder()
        .part_number(1)
        .set_e_tag(part.e_tag)
        .build();
    let parts = CompletedMultipartUpload::builder().parts(part).build();
    let complete = client
        .complete_multipart_upload()
        .bucket("bucket")
        .key("k")
        .upload_id(&id)
        .multipart_upload(parts);
    complete.send().await.unwrap();
    assert!(server.object("bucket", "k").unwrap().last_modified + HOUR <= server.clock().now());
}

#[tokio::test]
async fn a_restored_object_goes_back_to_the_archive() {
    use aws_sdk_s3::types::{RestoreRequest, StorageClass};
    let (server, client) = local();
    let put = client
        .put_object()
        .bucket("bucket")
        .key("k")
        .storage_class(StorageClass::DeepArchive);
    put.send().await.unwrap();
    let restore = client.restore_object().bucket("bucket").key("k");
    restore
        .restore_request(RestoreRequest::builder().days(1).build())
        .send()
        .await
        .unwrap();
    let get = client.get_object().bucket("bucket").key("k");
    assert!(get.clone().send().await.is_ok());
    let head = client.head_object().bucket("bucket").key("k");
    assert!(head.clone().send().await.unwrap().restore().is_some());
    server.clock().advance(25 * HOUR);
    assert!(get.send().await.is_err());
    assert_eq!(head.send().await.unwrap().restore(), None);
}
