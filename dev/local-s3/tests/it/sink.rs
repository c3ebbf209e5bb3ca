//! The sink, as the clients of benchmarks use it.

use crate::support::client::{Endpoint, refusal, streamed};
use crate::support::raw;
use aws_sdk_s3::Client;
use aws_sdk_s3::types::{
    CompletedMultipartUpload, CompletedPart, Delete, MetadataDirective, ObjectIdentifier,
};
use local_s3::{EntityTags, Keep, Sink, SinkOptions};

const ANY_PORT: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

fn sink(entity_tags: EntityTags) -> (Sink, Endpoint, Client) {
    sink_with(SinkOptions {
        entity_tags,
        ..SinkOptions::default()
    })
}

fn sink_with(options: SinkOptions) -> (Sink, Endpoint, Client) {
    let options = SinkOptions {
        buckets: vec!["bucket".to_owned()],
        ..options
    };
    let sink = Sink::start(ANY_PORT.into(), options).unwrap();
    // Nobody looks at signatures.
    let endpoint = Endpoint {
        url: sink.endpoint(),
        access_key: "any".to_owned(),
        secret_key: "body".to_owned(),
    };
    let client = endpoint.client();
    (sink, endpoint, client)
}

#[tokio::test]
async fn an_object_is_remembered_without_its_content() {
    let (_sink, _, client) = sink(EntityTags::Numbered);
    let content = vec![7; 100_000];
    for (key, body) in [
        ("p/files/plain", content.clone().into()),
        ("p/files/streamed", streamed(&content)),
    ] {
        let put = client
            .put_object()
            .bucket("bucket")
            .key(key)
            .metadata("mtime", "1.5");
        let put = put
            .content_type("text/plain")
            .body(body)
            .send()
            .await
            .unwrap();
        let head = client
            .head_object()
            .bucket("bucket")
            .key(key)
            .send()
            .await
            .unwrap();
        assert_eq!(head.content_length(), Some(100_000));
        assert_eq!(head.e_tag(), put.e_tag());
        assert_eq!(head.content_type(), Some("text/plain"));
        assert_eq!(head.metadata().unwrap()["mtime"], "1.5");
        assert!(head.last_modified().is_some());
        let got = client.get_object().bucket("bucket").key(key).send().await;
        assert_eq!(refusal(got), "501 NotImplemented");
    }
    let missing = client
        .head_object()
        .bucket("bucket")
        .key("never")
        .send()
        .await;
    assert_eq!(refusal(missing), "404 NotFound");
}

#[tokio::test]
async fn what_clients_say_about_their_own_work_keeps_its_content() {
    let (_sink, _, client) = sink(EntityTags::Numbered);
    let cases = [
        ("p/profiles/small", 100),
        ("files", 100),
        ("p/manifest", 2_000_000),
        ("p/streamed", 70_000),
    ];
    for (key, length) in cases {
        let content = vec![b'x'; length];
        let body = if key.ends_with("streamed") {
            streamed(&content)
        } else {
            content.clone().into()
        };
        client
            .put_object()
            .bucket("bucket")
            .key(key)
            .body(body)
            .send()
            .await
            .unwrap();
        let got = client
            .get_object()
            .bucket("bucket")
            .key(key)
            .send()
            .await
            .unwrap();
        assert_eq!(got.body.collect().await.unwrap().to_vec(), content, "{key}");
    }
    let part = client
        .get_object()
        .bucket("bucket")
        .key("p/manifest")
        .range("bytes=10-19")
        .send()
        .await
        .unwrap();
    assert_eq!(part.content_range(), Some("bytes 10-19/2000000"));
    assert_eq!(part.body.collect().await.unwrap().to_vec(), b"xxxxxxxxxx");
}

#[tokio::test]
async fn contents_of_files_and_of_discarded_keys_are_not_kept() {
    let (_sink, _, client) = sink_with(SinkOptions {
        keep: Keep::Records {
            discard: vec!["mirror/".to_owned(), "/data/".to_owned()],
        },
        ..SinkOptions::default()
    });
    for (key, is_kept) in [
        ("files/one", false),
        ("p/files/s/one", false),
        ("mirror/one", false),
        ("p/data/one", false),
        ("data/one", true),
    ] {
        for body in [b"small".to_vec().into(), streamed(b"small")] {
            let put = client.put_object().bucket("bucket").key(key);
            put.body(body).send().await.unwrap();
            let got = client.get_object().bucket("bucket").key(key).send().await;
            assert_eq!(got.is_ok(), is_kept, "{key}");
        }
    }
}

#[tokio::test]
async fn for_restores_everything_is_kept() {
    let (_sink, _, client) = sink_with(SinkOptions {
        keep: Keep::Everything,
        ..SinkOptions::default()
    });
    let large = vec![7; (32 << 20) + 1];
    for (key, body) in [("p/files/one", &b"small"[..]), ("data/one", &large)] {
        let put = client.put_object().bucket("bucket").key(key);
        put.body(body.to_vec().into()).send().await.unwrap();
        let got = client.get_object().bucket("bucket").key(key).send().await;
        let got = got.unwrap().body.collect().await.unwrap().to_vec();
        assert!(got == body, "{key}");
    }
}

#[tokio::test]
async fn entity_tags_are_md5_only_on_request() {
    for (entity_tags, is_md5) in [(EntityTags::Numbered, false), (EntityTags::Md5, true)] {
        let (_sink, _, client) = sink(entity_tags);
        for body in [b"123456789".to_vec().into(), streamed(b"123456789")] {
            let put = client
                .put_object()
                .bucket("bucket")
                .key("p/files/k")
                .body(body)
                .send()
                .await
                .unwrap();
            let expected = "\"25f9e794323b453885f5181f1b624d0b\"";
            assert_eq!(put.e_tag() == Some(expected), is_md5);
        }
    }
}

#[tokio::test]
async fn conditional_puts_are_honoured() {
    let (_sink, _, client) = sink(EntityTags::Numbered);
    let put = || {
        client
            .put_object()
            .bucket("bucket")
            .key("lock")
            .body(b"x".to_vec().into())
    };
    let etag = put()
        .if_none_match("*")
        .send()
        .await
        .unwrap()
        .e_tag
        .unwrap();
    assert_eq!(
        refusal(put().if_none_match("*").send().await),
        "412 PreconditionFailed"
    );
    put().if_match(&etag).send().await.unwrap();
    assert_eq!(
        refusal(put().if_match(&etag).send().await),
        "412 PreconditionFailed"
    );
    let missing = client
        .put_object()
        .bucket("bucket")
        .key("other")
        .if_match(&etag);
    assert_eq!(refusal(missing.send().await), "404 NoSuchKey");
}

#[tokio::test]
async fn listings_show_what_was_put() {
    let (_sink, _, client) = sink(EntityTags::Numbered);
    for key in ["a b", "c/1", "c/2", "d&<>"] {
        client
            .put_object()
            .bucket("bucket")
            .key(key)
            .body(vec![0; 5].into())
            .send()
            .await
            .unwrap();
    }
    let list = || client.list_objects_v2().bucket("bucket");
    let first = list().max_keys(3).send().await.unwrap();
    assert_eq!(first.contents().len(), 3);
    assert_eq!(first.contents()[0].size(), Some(5));
    let rest = list()
        .continuation_token(first.next_continuation_token().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(rest.contents()[0].key(), Some("d&<>"));
    let rolled = client
        .list_objects()
        .bucket("bucket")
        .delimiter("/")
        .send()
        .await
        .unwrap();
    assert_eq!(rolled.common_prefixes()[0].prefix(), Some("c/"));
    let objects = ["c/1", "c/2"].map(|key| ObjectIdentifier::builder().key(key).build().unwrap());
    let delete = Delete::builder()
        .set_objects(Some(objects.to_vec()))
        .build()
        .unwrap();
    client
        .delete_objects()
        .bucket("bucket")
        .delete(delete)
        .send()
        .await
        .unwrap();
    client
        .delete_object()
        .bucket("bucket")
        .key("a b")
        .send()
        .await
        .unwrap();
    assert_eq!(list().send().await.unwrap().key_count(), Some(1));
    assert_eq!(
        refusal(client.list_objects_v2().bucket("nowhere").send().await),
        "404 NoSuchBucket"
    );
}

#[tokio::test]
async fn multipart_uploads_become_objects() {
    let (_sink, _, client) = sink(EntityTags::Md5);
    let upload = || {
        client
            .create_multipart_upload()
            .bucket("bucket")
            .key("p/files/k")
            .metadata("mtime", "2")
    };
    let id = upload().send().await.unwrap().upload_id.unwrap();
    let mut parts = Vec::new();
    for (number, body) in [(1, vec![b'x'; 5 << 20]), (2, b"end".to_vec())] {
        let part = client
            .upload_part()
            .bucket("bucket")
            .key("p/files/k")
            .upload_id(&id)
            .part_number(number);
        let part = part.body(body.into()).send().await.unwrap();
        parts.push(
            CompletedPart::builder()
                .part_number(number)
                .set_e_tag(part.e_tag)
                .build(),
        );
    }
    let parts = CompletedMultipartUpload::builder()
        .set_parts(Some(parts))
        .build();
    let complete = client
        .complete_multipart_upload()
        .bucket("bucket")
        .key("p/files/k")
        .upload_id(&id);
    let done = complete.multipart_upload(parts).send().await.unwrap();
    assert_eq!(done.e_tag(), Some("\"6d7c5fbffce55b2eb513ca823d7235b2-2\""));
    let head = client
        .head_object()
        .bucket("bucket")
        .key("p/files/k")
        .send()
        .await
        .unwrap();
    assert_eq!(head.content_length(), Some((5 << 20) + 3));
    assert_eq!(head.metadata().unwrap()["mtime"], "2");
    let aborted = upload().send().await.unwrap().upload_id.unwrap();
    let abort = client
        .abort_multipart_upload()
        .bucket("bucket")
        .key("p/files/k")
        .upload_id(aborted);
    abort.clone().send().await.unwrap();
    assert_eq!(refusal(abort.send().await), "404 NoSuchUpload");
}

#[tokio::test]
async fn a_copy_onto_itself_changes_the_metadata() {
    let (_sink, _, client) = sink(EntityTags::Numbered);
    client
        .put_object()
        .bucket("bucket")
        .key("a b")
        .metadata("mtime", "1")
        .send()
        .await
        .unwrap();
    let copy = client
        .copy_object()
        .bucket("bucket")
        .key("a b")
        .copy_source("bucket/a%20b");
    copy.metadata_directive(MetadataDirective::Replace)
        .metadata("mtime", "2")
        .send()
        .await
        .unwrap();
    let head = client
        .head_object()
        .bucket("bucket")
        .key("a b")
        .send()
        .await
        .unwrap();
    assert_eq!(head.metadata().unwrap()["mtime"], "2");
}

#[tokio::test]
async fn requests_are_counted_by_operation() {
    let (_sink, endpoint, client) = sink(EntityTags::Numbered);
    for _ in 0..3 {
        client
            .put_object()
            .bucket("bucket")
            .key("k")
            .send()
            .await
            .unwrap();
    }
    client
        .head_object()
        .bucket("bucket")
        .key("k")
        .send()
        .await
        .unwrap();
    client.create_bucket().bucket("other").send().await.unwrap();
    client.head_bucket().bucket("other").send().await.unwrap();
    let ask = |method: &str, path: &str| {
        let host = endpoint.url.strip_prefix("http://").unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        );
        raw::exchange(host, request.as_bytes())
    };
    let stats = ask("GET", "/_stats");
    let body = stats.text.split("\r\n\r\n").nth(1).unwrap();
    assert_eq!(
        body,
        r#"{"CreateBucket":1,"HeadBucket":1,"HeadObject":1,"PutObject":3,"total":6}"#
    );
    assert_eq!(ask("POST", "/_stats/reset").status, 204);
    assert!(ask("GET", "/_stats").text.ends_with(r#"{"total":0}"#));
}
