//! The log of requests.

use crate::support::client::{Endpoint, is_cut, local};
use local_s3::{Fault, LocalS3, LoggedRequest, Operation};

#[tokio::test]
async fn requests_are_noted_in_order_with_what_became_of_them() {
    let (server, client) = local();
    client
        .put_object()
        .bucket("bucket")
        .key("a b")
        .body(b"0123456789".to_vec().into())
        .send()
        .await
        .unwrap();
    let got = client
        .get_object()
        .bucket("bucket")
        .key("a b")
        .range("bytes=1-3")
        .send()
        .await
        .unwrap();
    got.body.collect().await.unwrap();
    assert!(
        client
            .get_object()
            .bucket("bucket")
            .key("never")
            .send()
            .await
            .is_err()
    );
    server.fault(Fault::on(Operation::DeleteObject).drop_after());
    assert!(is_cut(
        &client
            .delete_object()
            .bucket("bucket")
            .key("a b")
            .send()
            .await
    ));
    let requests = server.requests();
    let brief: Vec<_> = requests
        .iter()
        .map(|r| (r.index, r.operation, r.key.as_deref(), r.status))
        .collect();
    assert_eq!(
        brief,
        [
            (0, Operation::PutObject, Some("a b"), Some(200)),
            (1, Operation::GetObject, Some("a b"), Some(206)),
            (2, Operation::GetObject, Some("never"), Some(404)),
            (3, Operation::DeleteObject, Some("a b"), None),
        ]
    );
    assert_eq!((requests[0].received, requests[0].sent), (10, 0));
    assert_eq!((requests[1].received, requests[1].sent), (0, 3));
    assert_eq!(requests[1].range.as_deref(), Some("bytes=1-3"));
    assert_eq!(requests[0].method, "PUT");
    assert!(requests[0].header("authorization").is_some());
}

#[tokio::test]
async fn a_running_request_is_in_the_log() {
    let (server, client) = local();
    server.fault(Fault::on(Operation::HeadBucket).hang());
    let hung = tokio::spawn(client.head_bucket().bucket("bucket").send());
    while server.request_count() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.requests()[0].status, None);
    hung.abort();
}

#[tokio::test]
async fn after_a_clear_indices_start_again() {
    let (server, client) = local();
    for _ in 0..3 {
        client.head_bucket().bucket("bucket").send().await.unwrap();
    }
    assert_eq!(server.request_count(), 3);
    server.clear_requests();
    assert_eq!(server.request_count(), 0);
    client.head_bucket().bucket("bucket").send().await.unwrap();
    assert_eq!(
        server
            .requests()
            .iter()
            .map(|request| request.index)
            .collect::<Vec<_>>(),
        [0]
    );
}

#[tokio::test]
async fn a_server_that_forgets_still_counts() {
    let server = LocalS3::builder()
        .bucket("bucket")
        .forget_requests()
        .start()
        .unwrap();
    Endpoint::of(&server)
        .client()
        .head_bucket()
        .bucket("bucket")
        .send()
        .await
        .unwrap();
    assert_eq!(server.request_count(), 1);
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn lines_are_written_when_requests_have_ended() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("requests.ndjson");
    let server = LocalS3::builder()
        .bucket("bucket")
        .log_requests(&file)
        .start()
        .unwrap();
    let client = Endpoint::of(&server).client();
    client
        .put_object()
        .bucket("bucket")
        .key("k")
        .body(b"x".to_vec().into())
        .send()
        .await
        .unwrap();
    client
        .get_object()
        .bucket("bucket")
        .key("k")
        .send()
        .await
        .unwrap()
        .body
        .collect()
        .await
        .unwrap();
    let noted: Vec<LoggedRequest> = server.requests();
    drop(server);
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), noted.len());
    assert_eq!(lines[1]["operation"], "GetObject");
    assert_eq!(lines[1]["status"], 200);
    assert_eq!(lines[1]["sent"], 1);
    assert_eq!(lines[1]["headers"]["x-amz-checksum-mode"], "ENABLED");
}
