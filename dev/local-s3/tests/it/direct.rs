//! What a test may do to the objects behind S3's back.

use crate::support::client::{Endpoint, local, refusal};
use aws_sdk_s3::types::{
    ArchiveStatus, ChecksumAlgorithm as ChecksumOfSdk, ChecksumMode, ObjectAttributes,
    RestoreRequest, StorageClass,
};
use local_s3::{Checksum, ChecksumAlgorithm, LocalS3};

#[tokio::test]
async fn bit_rot_changes_the_content_and_nothing_else() {
    let (server, client) = local();
    client
        .put_object()
        .bucket("bucket")
        .key("k")
        .body(b"content".to_vec().into())
        .send()
        .await
        .unwrap();
    let before = server.object("bucket", "k").unwrap();
    server.corrupt("bucket", "k", 3);
    let after = server.object("bucket", "k").unwrap();
    assert_eq!(after.bytes.as_ref(), b"conuent");
    assert_eq!(
        (&after.etag, &after.checksum),
        (&before.etag, &before.checksum)
    );
    let head = client
        .head_object()
        .bucket("bucket")
        .key("k")
        .checksum_mode(ChecksumMode::Enabled)
        .send()
        .await
        .unwrap();
    assert_eq!(head.checksum_crc32(), Some(before.checksum.value.as_str()));
    let got = client
        .get_object()
        .bucket("bucket")
        .key("k")
        .send()
        .await
        .unwrap();
    assert!(
        got.body.collect().await.is_err(),
        "the SDK compares the checksum"
    );
}

#[tokio::test]
async fn a_copy_has_the_checksum_of_a_rotten_source_unless_another_is_asked_for() {
    let (server, client) = local();
    let put = client.put_object().bucket("bucket").key("k");
    let put = put.checksum_algorithm(ChecksumOfSdk::Sha256);
    put.body(b"content".to_vec().into()).send().await.unwrap();
    let before = server.object("bucket", "k").unwrap().checksum;
    server.corrupt("bucket", "k", 3);
    let copy = || {
        let copy = client.copy_object().bucket("bucket").key("copy");
        copy.copy_source("bucket/k")
    };
    let handed_on = copy().send().await.unwrap().copy_object_result.unwrap();
    assert_eq!(handed_on.checksum_sha256(), Some(before.value.as_str()));
    let computed = copy().checksum_algorithm(ChecksumOfSdk::Crc64Nvme).send();
    let computed = computed.await.unwrap().copy_object_result.unwrap();
    let expected = Checksum::of(ChecksumAlgorithm::Crc64Nvme, b"conuent").value;
    assert_eq!(computed.checksum_crc64_nvme(), Some(expected.as_str()));
}

#[test]
fn a_stranger_overwrites_with_a_new_etag_and_checksum() {
    let server = LocalS3::builder().bucket("bucket").start().unwrap();
    server.replace("bucket", "k", "one");
    let first = server.object("bucket", "k").unwrap();
    assert_eq!(first.checksum.algorithm, ChecksumAlgorithm::Crc64Nvme);
    server.truncate("bucket", "k", 2);
    let second = server.object("bucket", "k").unwrap();
    assert_eq!(second.bytes.as_ref(), b"on");
    assert_ne!(first.etag, second.etag);
    assert_ne!(first.checksum, second.checksum);
    assert!(server.remove("bucket", "k"));
    assert!(!server.remove("bucket", "k"));
    assert!(server.object("bucket", "k").is_none());
    assert!(server.keys("nowhere").is_empty());
}

#[tokio::test]
async fn a_stripped_checksum_is_told_nowhere() {
    let (server, client) = local();
    let put = client.put_object().bucket("bucket").key("k");
    put.body(b"content".to_vec().into()).send().await.unwrap();
    let etag = server.object("bucket", "k").unwrap().etag;
    server.strip_checksum("bucket", "k");
    let head = client.head_object().bucket("bucket").key("k");
    let head = head.checksum_mode(ChecksumMode::Enabled).send();
    let head = head.await.unwrap();
    assert_eq!(head.e_tag(), Some(etag.as_str()));
    assert_eq!((head.checksum_crc32(), head.checksum_type()), (None, None));
    let attributes = client.get_object_attributes().bucket("bucket").key("k");
    let attributes = attributes.object_attributes(ObjectAttributes::Checksum);
    assert!(attributes.send().await.unwrap().checksum().is_none());
    let listed = client.list_objects_v2().bucket("bucket").send();
    let listed = listed.await.unwrap();
    assert!(listed.contents()[0].checksum_algorithm().is_empty());
}

#[tokio::test]
async fn a_transition_archives_and_changes_nothing_else() {
    let (server, client) = local();
    let put = client.put_object().bucket("bucket").key("k");
    put.body(b"content".to_vec().into()).send().await.unwrap();
    let before = server.object("bucket", "k").unwrap();
    server.transition("bucket", "k", "DEEP_ARCHIVE");
    let after = server.object("bucket", "k").unwrap();
    assert_eq!(
        (&after.bytes, &after.etag, &after.checksum),
        (&before.bytes, &before.etag, &before.checksum)
    );
    let get = client.get_object().bucket("bucket").key("k").send();
    assert_eq!(refusal(get.await), "403 InvalidObjectState");
    let head = client.head_object().bucket("bucket").key("k").send();
    let head = head.await.unwrap();
    assert_eq!(head.storage_class(), Some(&StorageClass::DeepArchive));
    assert_eq!(head.archive_status(), None);
}

#[tokio::test]
async fn an_object_in_an_archive_tier_comes_back_for_good() {
    let (server, client) = local();
    let put = client.put_object().bucket("bucket").key("k");
    let put = put.storage_class(StorageClass::IntelligentTiering);
    put.body(b"content".to_vec().into()).send().await.unwrap();
    let get = || client.get_object().bucket("bucket").key("k").send();
    let head = || client.head_object().bucket("bucket").key("k").send();
    assert!(get().await.is_ok(), "it has not sunk yet");
    server.sink_to_tier("bucket", "k", "DEEP_ARCHIVE_ACCESS");
    assert_eq!(refusal(get().await), "403 InvalidObjectState");
    let status = head().await.unwrap().archive_status().cloned();
    assert_eq!(status, Some(ArchiveStatus::DeepArchiveAccess));

    let restore = |days| {
        let asked = RestoreRequest::builder().set_days(days).build();
        let restore = client.restore_object().bucket("bucket").key("k");
        restore.restore_request(asked).send()
    };
    assert_eq!(refusal(restore(Some(2)).await), "400 MalformedXML");
    restore(None).await.unwrap();
    assert!(get().await.is_ok());
    let head = head().await.unwrap();
    assert_eq!((head.archive_status(), head.restore()), (None, None));
}

#[tokio::test]
async fn open_uploads_are_seen() {
    let (server, client) = local();
    let created = client
        .create_multipart_upload()
        .bucket("bucket")
        .key("k")
        .send()
        .await
        .unwrap();
    let id = created.upload_id.unwrap();
    for number in [2, 1] {
        let part = client
            .upload_part()
            .bucket("bucket")
            .key("k")
            .upload_id(&id)
            .part_number(number);
        part.body(b"x".to_vec().into()).send().await.unwrap();
    }
    let [upload] = server.uploads("bucket").try_into().unwrap();
    assert_eq!(
        (upload.key.as_str(), &upload.upload_id, upload.parts),
        ("k", &id, vec![1, 2])
    );
    client
        .abort_multipart_upload()
        .bucket("bucket")
        .key("k")
        .upload_id(&id)
        .send()
        .await
        .unwrap();
    assert!(server.uploads("bucket").is_empty());
}

#[tokio::test]
async fn several_servers_share_nothing() {
    let (one, client) = local();
    let (other, _) = local();
    client
        .put_object()
        .bucket("bucket")
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(one.keys("bucket"), ["k"]);
    assert!(other.keys("bucket").is_empty());
    assert_ne!(one.endpoint(), other.endpoint());
}

#[test]
fn a_dropped_server_is_gone() {
    let server = LocalS3::builder().bucket("bucket").start().unwrap();
    let open = std::net::TcpStream::connect(server.address()).unwrap();
    drop(server);
    // Its port may be another server's by now, but the connection was to this one.
    let closed = std::io::Read::read(&mut &open, &mut [0; 1]);
    assert!(matches!(closed, Ok(0) | Err(_)));
}

#[tokio::test]
async fn keys_are_those_of_the_client() {
    let server = LocalS3::builder()
        .bucket("bucket")
        .credentials("somebody", "secret")
        .start()
        .unwrap();
    Endpoint::of(&server)
        .client()
        .head_bucket()
        .bucket("bucket")
        .send()
        .await
        .unwrap();
    assert_eq!(server.credentials().access_key, "somebody");
}
