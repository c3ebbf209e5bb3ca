//! Who may talk to the server, and from where.

use crate::support::client::{Endpoint, refusal, streamed};
use crate::support::raw;
use aws_sdk_s3::presigning::PresigningConfig;
use local_s3::LocalS3;
use std::io;
use std::time::Duration;

fn plain(endpoint: &Endpoint, request: &str) -> raw::Answer {
    raw::exchange(
        endpoint.url.strip_prefix("http://").unwrap(),
        request.as_bytes(),
    )
}

#[test]
fn only_loopback_addresses_are_bound() {
    for address in ["0.0.0.0:0", "192.0.2.1:0", "[::]:0"] {
        let refused = LocalS3::builder()
            .listen(address.parse().unwrap())
            .start()
            .unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{address}");
    }
    assert!(LocalS3::builder().bucket("No Bucket").start().is_err());
}

#[tokio::test]
async fn a_wrong_secret_is_refused() {
    let server = LocalS3::builder().bucket("bucket").start().unwrap();
    let wrong = Endpoint {
        secret_key: "wrong".to_owned(),
        ..Endpoint::of(&server)
    };
    let put = wrong
        .client()
        .put_object()
        .bucket("bucket")
        .key("k")
        .body(b"x".to_vec().into());
    assert_eq!(refusal(put.send().await), "403 SignatureDoesNotMatch");
    let stranger = Endpoint {
        access_key: "stranger".to_owned(),
        ..Endpoint::of(&server)
    };
    let put = stranger
        .client()
        .put_object()
        .bucket("bucket")
        .key("k")
        .body(b"x".to_vec().into());
    assert_eq!(refusal(put.send().await), "403 InvalidAccessKeyId");
    assert!(server.keys("bucket").is_empty());
}

#[test]
fn without_a_signature_nothing_is_served() {
    let server = LocalS3::builder().bucket("bucket").start().unwrap();
    let endpoint = Endpoint::of(&server);
    server.replace("bucket", "k", "content");
    let answer = plain(
        &endpoint,
        "GET /bucket/k HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    );
    assert_eq!(answer.refusal(), "403 AccessDenied");
}

#[tokio::test]
async fn an_anonymous_server_takes_every_signature_and_none() {
    let server = LocalS3::builder()
        .bucket("bucket")
        .anonymous()
        .start()
        .unwrap();
    let anybody = Endpoint {
        access_key: "any".to_owned(),
        secret_key: "body".to_owned(),
        ..Endpoint::of(&server)
    };
    let client = anybody.client();
    client
        .put_object()
        .bucket("bucket")
        .key("one")
        .body(b"x".to_vec().into())
        .send()
        .await
        .unwrap();
    let content = vec![7; 100_000];
    client
        .put_object()
        .bucket("bucket")
        .key("streamed")
        .body(streamed(&content))
        .send()
        .await
        .unwrap();
    let streamed = server.object("bucket", "streamed").unwrap();
    assert_eq!(streamed.bytes, content);
    assert_eq!(streamed.attributes.content_encoding, None);
    assert_eq!(
        streamed.checksum.algorithm,
        local_s3::ChecksumAlgorithm::Crc32,
        "from the trailer"
    );
    let request =
        "PUT /bucket/two HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi";
    assert_eq!(plain(&anybody, request).status, 200);
    assert_eq!(server.object("bucket", "two").unwrap().bytes, "hi");
    // Whoever states a digest means it, signed or not.
    let digest = "0".repeat(64);
    let lie = format!(
        "PUT /bucket/three HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-amz-content-sha256: \
         {digest}\r\ncontent-length: 2\r\n\r\nhi"
    );
    assert_eq!(
        plain(&anybody, &lie).refusal(),
        "400 XAmzContentSHA256Mismatch"
    );
    let presigned = client.get_object().bucket("bucket").key("two");
    let presigned = presigned
        .presigned(PresigningConfig::expires_in(Duration::from_secs(60)).unwrap())
        .await
        .unwrap();
    let path = presigned.uri().strip_prefix(&anybody.url).unwrap();
    let answer = plain(
        &anybody,
        &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
    );
    assert!(answer.text.ends_with("hi"), "{}", answer.text);
}

#[tokio::test]
async fn a_presigned_url_is_honoured() {
    let server = LocalS3::builder().bucket("bucket").start().unwrap();
    let endpoint = Endpoint::of(&server);
    server.replace("bucket", "a b", "content");
    let presigned = endpoint.client().get_object().bucket("bucket").key("a b");
    let presigned = presigned
        .presigned(PresigningConfig::expires_in(Duration::from_secs(60)).unwrap())
        .await
        .unwrap();
    let path = presigned.uri().strip_prefix(&endpoint.url).unwrap();
    let host = endpoint.url.strip_prefix("http://").unwrap();
    let answer = plain(
        &endpoint,
        &format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"),
    );
    assert!(answer.text.ends_with("content"), "{}", answer.text);
}
