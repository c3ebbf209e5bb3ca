//! Scripted faults, as a client sees them and as they leave the bucket.

use crate::support::client::{Endpoint, is_cut, local, refusal, streamed};
use crate::support::raw::{self, Payload};
use aws_sdk_s3::Client;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::{AggregatedBytes, ByteStreamError};
use local_s3::{Answer, Fault, LocalS3, Operation};
use std::time::{Duration, Instant};

const BODY: &[u8] = b"0123456789";

fn put(client: &Client, key: &str) -> PutObjectFluentBuilder {
    client
        .put_object()
        .bucket("bucket")
        .key(key)
        .body(BODY.to_vec().into())
}

async fn download(client: &Client, key: &str) -> Result<Vec<u8>, ByteStreamError> {
    let got = client
        .get_object()
        .bucket("bucket")
        .key(key)
        .send()
        .await
        .unwrap();
    got.body.collect().await.map(AggregatedBytes::to_vec)
}

#[tokio::test]
async fn an_error_hits_the_requests_it_was_told_to() {
    let (server, client) = local();
    let fault = Fault::on(Operation::PutObject)
        .key_contains("files/")
        .skip(1)
        .times(2)
        .status(503, "SlowDown");
    let fault = server.fault(fault);
    put(&client, "files/0").send().await.unwrap();
    put(&client, "lock").send().await.unwrap();
    for key in ["files/1", "files/2"] {
        assert_eq!(refusal(put(&client, key).send().await), "503 SlowDown");
    }
    put(&client, "files/3").send().await.unwrap();
    assert_eq!(server.keys("bucket"), ["files/0", "files/3", "lock"]);
    assert_eq!(fault.fired(), 2);
}

#[tokio::test]
async fn faults_can_be_cleared() {
    let (server, client) = local();
    server.fault(Fault::on_any().always().status(500, "InternalError"));
    assert_eq!(refusal(put(&client, "k").send().await), "500 InternalError");
    server.clear_faults();
    put(&client, "k").send().await.unwrap();
}

#[tokio::test]
async fn a_large_upload_is_answered_with_the_error_and_not_a_reset() {
    let (server, client) = local();
    server.fault(Fault::on(Operation::PutObject).status(503, "SlowDown"));
    let large = client
        .put_object()
        .bucket("bucket")
        .key("k")
        .body(vec![0; 20 << 20].into());
    assert_eq!(refusal(large.send().await), "503 SlowDown");
    let nowhere = client
        .put_object()
        .bucket("nowhere")
        .key("k")
        .body(vec![0; 20 << 20].into());
    assert_eq!(refusal(nowhere.send().await), "404 NoSuchBucket");
}

#[tokio::test]
async fn a_delayed_request_goes_on() {
    let (server, client) = local();
    let delay = Duration::from_millis(120);
    server.fault(Fault::on(Operation::PutObject).delay(delay));
    let start = Instant::now();
    put(&client, "k").send().await.unwrap();
    assert!(start.elapsed() >= delay);
    assert_eq!(server.keys("bucket"), ["k"]);
}

#[tokio::test]
async fn dropped_before_means_not_applied() {
    let (server, client) = local();
    server.fault(Fault::on(Operation::PutObject).drop_before());
    assert!(is_cut(&put(&client, "k").send().await));
    assert!(server.keys("bucket").is_empty());
}

#[tokio::test]
async fn dropped_after_means_applied() {
    let (server, client) = local();
    server.fault(Fault::on(Operation::PutObject).drop_after());
    assert!(is_cut(&put(&client, "k").send().await));
    assert_eq!(server.object("bucket", "k").unwrap().bytes, BODY);
}

#[tokio::test]
async fn a_hanging_request_is_never_answered() {
    let (server, client) = local();
    server.fault(Fault::on(Operation::PutObject).hang());
    let hung = tokio::time::timeout(Duration::from_millis(200), put(&client, "k").send()).await;
    assert!(hung.is_err());
    assert!(server.keys("bucket").is_empty());
    put(&client, "k").send().await.unwrap();
}

#[tokio::test]
async fn a_corrupted_upload_is_refused_and_leaves_nothing() {
    let (server, client) = local();
    server.fault(Fault::on(Operation::PutObject).times(2).corrupt_upload());
    assert_eq!(
        refusal(put(&client, "k").send().await),
        "400 XAmzContentSHA256Mismatch"
    );
    // The chunks of a stream are signed one by one.
    let stream = client
        .put_object()
        .bucket("bucket")
        .key("k")
        .body(streamed(BODY));
    assert_eq!(refusal(stream.send().await), "403 SignatureDoesNotMatch");
    assert!(server.keys("bucket").is_empty());
}

#[test]
fn a_corrupted_upload_without_a_signed_payload_fails_its_checksum() {
    let server = LocalS3::builder().bucket("bucket").start().unwrap();
    server.fault(Fault::on(Operation::PutObject).times(2).corrupt_upload());
    let endpoint = Endpoint::of(&server);
    let checksum = local_s3::Checksum::of(local_s3::ChecksumAlgorithm::Sha256, BODY).value;
    let in_header = [("x-amz-checksum-sha256", checksum.as_str())];
    let answer = raw::send(
        &endpoint,
        "PUT",
        "/bucket/k",
        &in_header,
        &Payload::Unsigned,
        BODY,
    );
    assert_eq!(answer.refusal(), "400 BadDigest");
    let in_trailer = [
        ("x-amz-decoded-content-length", "10"),
        ("x-amz-trailer", "x-amz-checksum-sha256"),
    ];
    let body = raw::chunked(BODY, "x-amz-checksum-sha256", &checksum);
    let answer = raw::send(
        &endpoint,
        "PUT",
        "/bucket/k",
        &in_trailer,
        &Payload::UnsignedWithTrailer,
        &body,
    );
    assert_eq!(answer.refusal(), "400 BadDigest");
    assert!(server.keys("bucket").is_empty());
}

#[tokio::test]
async fn a_corrupted_download_differs_in_one_byte() {
    let (server, client) = local();
    let plain = client
        .put_object()
        .bucket("bucket")
        .key("k")
        .body(BODY.to_vec().into());
    plain.send().await.unwrap();
    server.fault(Fault::on(Operation::GetObject).corrupt_download());
    // Asked for the checksum, the SDK would notice by itself.
    assert!(download(&client, "k").await.is_err());
    server.fault(Fault::on(Operation::GetObject).corrupt_download());
    let part = client
        .get_object()
        .bucket("bucket")
        .key("k")
        .range("bytes=2-")
        .send()
        .await
        .unwrap();
    assert_eq!(part.body.collect().await.unwrap().to_vec(), b"33456789");
    server.fault(Fault::on(Operation::GetObject).corrupt_download_at(3));
    let part = client.get_object().bucket("bucket").key("k");
    let part = part.range("bytes=2-").send().await.unwrap();
    assert_eq!(part.body.collect().await.unwrap().to_vec(), b"23446789");
    assert_eq!(download(&client, "k").await.unwrap(), BODY);
}

#[tokio::test]
async fn a_download_is_cut_in_the_middle() {
    let (server, client) = local();
    put(&client, "k").send().await.unwrap();
    for fault in [
        Fault::on(Operation::GetObject).cut_download(),
        Fault::on(Operation::GetObject).truncate_download(3),
    ] {
        server.fault(fault);
        assert!(download(&client, "k").await.is_err());
    }
    assert_eq!(download(&client, "k").await.unwrap(), BODY);
}

#[tokio::test]
async fn a_download_that_stalls_has_begun_and_does_not_end() {
    let (server, client) = local();
    put(&client, "k").send().await.unwrap();
    for bytes in [0, 3] {
        server.fault(Fault::on(Operation::GetObject).stall_download(bytes));
        let get = client.get_object().bucket("bucket").key("k");
        let mut body = get.send().await.unwrap().body;
        let mut arrived = Vec::new();
        let patience = Duration::from_millis(100);
        while let Ok(chunk) = tokio::time::timeout(patience, body.next()).await {
            arrived.extend_from_slice(&chunk.unwrap().unwrap());
        }
        assert_eq!(arrived, BODY[..usize::try_from(bytes).unwrap()]);
    }
    assert_eq!(download(&client, "k").await.unwrap(), BODY);
}

#[test]
fn a_cut_download_delivers_its_first_part() {
    let server = LocalS3::builder().bucket("bucket").start().unwrap();
    server.replace("bucket", "k", BODY);
    let endpoint = Endpoint::of(&server);
    let cases = [
        (
            Fault::on(Operation::GetObject).cut_download(),
            "01234",
            "10",
        ),
        (
            Fault::on(Operation::GetObject).truncate_download(3),
            "012",
            "10",
        ),
        (
            Fault::on(Operation::GetObject).truncate_download(0),
            "",
            "10",
        ),
        (
            Fault::on(Operation::GetObject).shorten_download(3),
            "012",
            "3",
        ),
        (Fault::on(Operation::GetObject).shorten_download(0), "", "0"),
        (
            Fault::on(Operation::GetObject).shorten_download(99),
            "0123456789",
            "10",
        ),
    ];
    for (fault, body, length) in cases {
        server.fault(fault.clone());
        let answer = raw::send(&endpoint, "GET", "/bucket/k", &[], &Payload::Unsigned, b"");
        assert_eq!(
            answer.text.split("\r\n\r\n").nth(1),
            Some(body),
            "{fault:?}"
        );
        assert_eq!(answer.header("content-length"), Some(length), "{fault:?}");
    }
}

#[test]
fn answers_can_be_made_up_with_the_request_applied_or_not() {
    let server = LocalS3::builder().bucket("bucket").start().unwrap();
    let endpoint = Endpoint::of(&server);
    let put = |key: &str| {
        let path = format!("/bucket/{key}");
        raw::send(&endpoint, "PUT", &path, &[], &Payload::Unsigned, BODY)
    };
    let on = || Fault::on(Operation::PutObject);
    server.fault(on().answer(Answer::portal()));
    let answer = put("a");
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("text/html"))
    );
    assert_eq!(answer.header("etag"), None);
    server.fault(on().answer_by(|request| {
        Answer::new(302).header("location", &format!("http://portal/{}", request.method))
    }));
    assert_eq!(put("b").header("location"), Some("http://portal/PUT"));
    assert!(server.keys("bucket").is_empty());
    server.fault(on().answer_after(Answer::new(204)));
    assert_eq!(put("c").status, 204);
    assert_eq!(server.keys("bucket"), ["c"]);
}

#[test]
fn headers_of_an_answer_can_be_changed_and_left_out() {
    let server = LocalS3::builder().bucket("bucket").start().unwrap();
    server.replace("bucket", "k", BODY);
    let endpoint = Endpoint::of(&server);
    let ask =
        |method: &str| raw::send(&endpoint, method, "/bucket/k", &[], &Payload::Unsigned, b"");
    let on_get = || Fault::on(Operation::GetObject);
    server.fault(on_get().without_header("etag"));
    let answer = ask("GET");
    assert_eq!((answer.status, answer.header("etag")), (200, None));
    server.fault(on_get().without_header("content-length"));
    let answer = ask("GET");
    assert_eq!(answer.header("content-length"), None);
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    assert!(answer.text.contains("0123456789"), "{answer:?}");
    server.fault(on_get().header("content-length", "1000000000000"));
    assert_eq!(ask("GET").header("content-length"), Some("1000000000000"));
    server.fault(Fault::on(Operation::HeadObject).without_header("content-length"));
    assert_eq!(ask("HEAD").header("content-length"), None);
}
