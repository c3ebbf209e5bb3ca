//! Requests that are slowed down, and answers that begin as a success.

use crate::support::client::{Endpoint, local, refusal};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use local_s3::{Fault, Operation};
use std::time::Duration;

#[tokio::test]
async fn a_burst_hits_the_next_requests_of_one_operation() {
    let (server, client) = local();
    server.replace("bucket", "source", "content");
    let fault = Fault::on(Operation::CopyObject).times(3);
    server.fault(fault.status(503, "SlowDown"));
    let copy = || {
        let copy = client.copy_object().bucket("bucket").key("copy");
        copy.copy_source("bucket/source").send()
    };
    for _ in 0..3 {
        assert_eq!(refusal(copy().await), "503 SlowDown");
    }
    copy().await.unwrap();
}

#[tokio::test]
async fn more_than_a_few_requests_at_once_are_slowed_down() {
    let (server, client) = local();
    server.replace("bucket", "source", "content");
    let slow = Fault::on(Operation::CopyObject).above(4).always();
    let slow = server.fault(slow.status(503, "SlowDown"));
    // Each of the others takes long enough for all of them to be there at the same time.
    server.fault(
        Fault::on(Operation::CopyObject)
            .always()
            .delay(Duration::from_millis(500)),
    );
    let copies: Vec<_> = (0..10)
        .map(|number| {
            let copy = client.copy_object().bucket("bucket");
            let copy = copy
                .key(format!("copy-{number}"))
                .copy_source("bucket/source");
            tokio::spawn(async move { copy.send().await.is_ok() })
        })
        .collect();
    let mut passed = 0;
    for copy in copies {
        passed += usize::from(copy.await.unwrap());
    }
    assert_eq!(passed, 10 - slow.fired());
    assert!(slow.fired() > 0 && passed >= 4, "{passed} passed");
    let copy = client.copy_object().bucket("bucket").key("alone");
    copy.copy_source("bucket/source").send().await.unwrap();
}

#[tokio::test]
async fn a_success_may_carry_an_error() {
    let (server, client) = local();
    server.replace("bucket", "source", "content");
    server.fault(Fault::on(Operation::CopyObject).error_in_body("SlowDown"));
    let copy = client.copy_object().bucket("bucket").key("copy");
    let copied = copy.copy_source("bucket/source").send().await;
    assert_eq!(refusal(copied), "200 SlowDown");
    assert_eq!(server.keys("bucket"), ["source"]);

    let plain = Endpoint::of(&server).client_without_checksums();
    let create = plain.create_multipart_upload().bucket("bucket").key("k");
    let id = create.send().await.unwrap().upload_id.unwrap();
    let part = plain.upload_part().bucket("bucket").key("k").upload_id(&id);
    let etag = part.part_number(1).send().await.unwrap().e_tag;
    let done = CompletedPart::builder().part_number(1).set_e_tag(etag);
    let parts = CompletedMultipartUpload::builder().parts(done.build());
    let parts = parts.build();
    let complete = || {
        let complete = plain.complete_multipart_upload().bucket("bucket");
        let complete = complete.key("k").upload_id(&id);
        complete.multipart_upload(parts.clone()).send()
    };
    let failing = Fault::on(Operation::CompleteMultipartUpload);
    server.fault(failing.error_in_body("InternalError"));
    assert_eq!(refusal(complete().await), "200 InternalError");
    assert_eq!(server.uploads("bucket").len(), 1);
    complete().await.unwrap();
}
