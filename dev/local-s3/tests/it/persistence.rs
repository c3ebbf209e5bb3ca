//! Servers that keep their objects on disk.

use crate::support::client::Endpoint;
use aws_sdk_s3::types::StorageClass;
use local_s3::LocalS3;
use std::path::Path;

fn server(folder: &Path) -> LocalS3 {
    LocalS3::builder()
        .bucket("bucket")
        .persist_in(folder)
        .start()
        .unwrap()
}

#[tokio::test]
async fn objects_survive_a_restart_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let first = server(folder.path());
    let client = Endpoint::of(&first).client();
    let put = client
        .put_object()
        .bucket("bucket")
        .key("a/ü")
        .body(b"content".to_vec().into());
    let put = put
        .metadata("colour", "blue")
        .tagging("team=red")
        .storage_class(StorageClass::GlacierIr);
    put.send().await.unwrap();
    client
        .put_object()
        .bucket("bucket")
        .key("gone")
        .send()
        .await
        .unwrap();
    client
        .delete_object()
        .bucket("bucket")
        .key("gone")
        .send()
        .await
        .unwrap();
    client
        .put_object()
        .bucket("bucket")
        .key("x".repeat(1_024))
        .send()
        .await
        .unwrap();
    client.create_bucket().bucket("other").send().await.unwrap();
    let before = first.object("bucket", "a/ü").unwrap();
    drop(first);

    let second = server(folder.path());
    let after = second.object("bucket", "a/ü").unwrap();
    assert_eq!(after.bytes, before.bytes);
    assert_eq!(
        (&after.etag, &after.checksum),
        (&before.etag, &before.checksum)
    );
    assert_eq!(after.last_modified, before.last_modified);
    assert_eq!(after.attributes, before.attributes);
    assert_eq!(second.keys("bucket"), ["a/ü".to_owned(), "x".repeat(1_024)]);
    let client = Endpoint::of(&second).client();
    client.head_bucket().bucket("other").send().await.unwrap();
    client.delete_bucket().bucket("other").send().await.unwrap();
    drop(second);

    let third = server(folder.path());
    assert!(
        Endpoint::of(&third)
            .client()
            .head_bucket()
            .bucket("other")
            .send()
            .await
            .is_err()
    );
}

#[test]
fn an_unfinished_file_is_no_object() {
    let folder = tempfile::tempdir().unwrap();
    server(folder.path()).replace("bucket", "k", "content");
    let bucket = folder.path().join("bucket");
    let file = std::fs::read_dir(&bucket)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    std::fs::copy(&file, file.with_extension("unfinished")).unwrap();
    assert_eq!(server(folder.path()).keys("bucket"), ["k"]);
}
