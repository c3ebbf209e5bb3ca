//! Buckets whose objects are computed.

use crate::support::client::{Endpoint, refusal};
use aws_sdk_s3::Client;
use aws_sdk_s3::types::{
    BucketVersioningStatus, MetadataDirective, StorageClass, VersioningConfiguration,
};
use local_s3::{Checksum, ChecksumAlgorithm, LocalS3};

fn start(count: u64) -> (LocalS3, Client) {
    let builder = LocalS3::builder().bucket("copies");
    let server = builder.generated_bucket("many", count).start().unwrap();
    let client = Endpoint::of(&server).client();
    (server, client)
}

async fn copy(client: &Client, from: &str, to: &str) -> String {
    let copy = client.copy_object().bucket("copies").key(to);
    let copied = copy.copy_source(from).send().await.unwrap();
    copied.copy_object_result.unwrap().e_tag.unwrap()
}

#[tokio::test]
async fn a_listing_goes_through_millions_of_keys_in_order() {
    let (_server, client) = start(10_000_000);
    let list = || client.list_objects_v2().bucket("many");
    let first = list().send().await.unwrap();
    assert_eq!(first.contents()[1].key(), Some("000000/0000000001.pdf"));
    assert_eq!(first.contents().len(), 1_000);
    let next = list().set_continuation_token(first.next_continuation_token);
    let next = next.send().await.unwrap();
    assert_eq!(next.contents()[0].key(), Some("000001/0000001000.pdf"));
    let last = list().start_after("009999/0000009998").send();
    assert_eq!(last.await.unwrap().contents().len(), 1_000);
    let end = list().start_after("009999/0009999997.pdf").send();
    let end = end.await.unwrap();
    let keys: Vec<_> = end.contents().iter().filter_map(|o| o.key()).collect();
    assert_eq!(keys, ["009999/0009999998.txt", "009999/0009999999.jpg"]);
    let folders = list().delimiter("/").send().await.unwrap();
    assert_eq!(folders.common_prefixes()[999].prefix(), Some("000999/"));
}

#[tokio::test]
async fn what_is_listed_is_what_comes_back() {
    let (_server, client) = start(100);
    let list = client.list_objects_v2().bucket("many").send();
    let listed = list.await.unwrap();
    assert_eq!(listed.contents().len(), 100);
    for object in &listed.contents()[..20] {
        let get = client
            .get_object()
            .bucket("many")
            .key(object.key().unwrap());
        let got = get.send().await.unwrap();
        assert_eq!(got.e_tag(), object.e_tag());
        assert_eq!(got.content_length(), object.size());
        let content = got.body.collect().await.unwrap().to_vec();
        assert!(content.starts_with(b"object 00000000"));
    }
}

#[tokio::test]
async fn copies_are_computed_and_listed_beside_what_is_kept() {
    let (server, client) = start(3_000);
    let key = "000002/0000002001.jpg";
    let from = format!("many/{key}");
    let copied = copy(&client, &from, &format!("copies/docs/{key}")).await;
    copy(
        &client,
        "many/000000/0000000000.jpg",
        "copies/docs/000000/0000000000.jpg",
    )
    .await;
    copy(&client, &from, "another/name").await;
    server.replace("copies", "copies/docs/000001/note", "content");
    let expected = [
        "another/name",
        "copies/docs/000000/0000000000.jpg",
        "copies/docs/000001/note",
        "copies/docs/000002/0000002001.jpg",
    ];
    assert_eq!(server.keys("copies"), expected);
    let back = server
        .object("copies", &format!("copies/docs/{key}"))
        .unwrap();
    assert_eq!(back.etag, copied);
    let source = server.object("many", key).unwrap();
    assert_eq!((back.bytes, back.checksum), (source.bytes, source.checksum));

    // A copy that differs is one that is kept.
    let other = client
        .copy_object()
        .bucket("copies")
        .key(format!("cold/{key}"));
    let other = other.copy_source(&from).metadata("colour", "blue");
    let other = other.storage_class(StorageClass::GlacierIr);
    let other = other.metadata_directive(MetadataDirective::Replace);
    other.send().await.unwrap();
    let head = client
        .head_object()
        .bucket("copies")
        .key(format!("cold/{key}"));
    let head = head.send().await.unwrap();
    assert_eq!(head.storage_class(), Some(&StorageClass::GlacierIr));
    assert_eq!(head.metadata().unwrap()["colour"], "blue");
}

#[tokio::test]
async fn a_computed_object_is_overwritten_changed_and_deleted_like_others() {
    let (server, client) = start(10);
    server.replace("many", "000000/0000000003.jpg", "new");
    server.corrupt("many", "000000/0000000004.pdf", 0);
    assert!(server.remove("many", "000000/0000000005.txt"));
    let keys = server.keys("many");
    assert_eq!(keys.len(), 9);
    assert!(keys.is_sorted());
    let object = |key: &str| server.object("many", key);
    assert_eq!(object("000000/0000000003.jpg").unwrap().bytes, "new");
    let corrupt = object("000000/0000000004.pdf").unwrap();
    let checksum = Checksum::of(ChecksumAlgorithm::Crc64Nvme, &corrupt.bytes);
    assert_ne!(corrupt.checksum, checksum);
    assert!(object("000000/0000000005.txt").is_none());
    // What is written again is dated by then.
    server.clock().advance(std::time::Duration::from_secs(60));
    let before = object("000000/0000000006.jpg").unwrap().last_modified;
    server.replace(
        "many",
        "000000/0000000006.jpg",
        "object 0000000006\n".repeat(7),
    );
    assert!(object("000000/0000000006.jpg").unwrap().last_modified > before);
    let enable = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled);
    let versioning = client.put_bucket_versioning().bucket("many");
    let refused = versioning.versioning_configuration(enable.build()).send();
    assert_eq!(refusal(refused.await), "501 NotImplemented");
}

#[tokio::test]
async fn only_the_first_copy_is_computed_and_a_later_one_is_dated_by_itself() {
    let (server, client) = start(10);
    let key = "000000/0000000003.jpg";
    let from = format!("many/{key}");
    copy(&client, &from, key).await;
    let first = server.object("copies", key).unwrap();
    server.clock().advance(std::time::Duration::from_secs(60));
    copy(&client, &from, key).await;
    let second = server.object("copies", key).unwrap();
    assert_eq!(second.etag, first.etag);
    assert!(second.last_modified > first.last_modified);
    assert_eq!(server.keys("copies"), [key]);
}
