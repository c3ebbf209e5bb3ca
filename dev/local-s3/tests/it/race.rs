//! Conditional writes under contention.

use crate::support::client::{local, refusal};
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixteen_writers_exactly_one_wins_each_of_fifty_rounds() {
    let (server, client) = local();
    for round in 0..50 {
        let key = format!("lock-{round}");
        let mut writers = JoinSet::new();
        for writer in 0..16 {
            let put = client
                .put_object()
                .bucket("bucket")
                .key(&key)
                .if_none_match("*");
            writers.spawn(
                put.body(format!("writer {writer}").into_bytes().into())
                    .send(),
            );
        }
        let outcomes = writers.join_all().await;
        let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1, "round {round}");
        for refused in lost {
            assert_eq!(refusal(refused), "412 PreconditionFailed");
        }
        let etag = won[0].as_ref().unwrap().e_tag();
        assert_eq!(
            Some(server.object("bucket", &key).unwrap().etag.as_str()),
            etag,
            "round {round}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_counter_raised_by_compare_and_swap_loses_nothing() {
    let (server, client) = local();
    server.replace("bucket", "counter", "0");
    let mut raisers = JoinSet::new();
    for _ in 0..4 {
        let client = client.clone();
        raisers.spawn(async move {
            for _ in 0..10 {
                raise(&client).await;
            }
        });
    }
    raisers.join_all().await;
    assert_eq!(server.object("bucket", "counter").unwrap().bytes, "40");
}

async fn raise(client: &aws_sdk_s3::Client) {
    loop {
        let got = client
            .get_object()
            .bucket("bucket")
            .key("counter")
            .send()
            .await
            .unwrap();
        let etag = got.e_tag.unwrap();
        let value = String::from_utf8(got.body.collect().await.unwrap().to_vec()).unwrap();
        let raised = value.parse::<u32>().unwrap() + 1;
        let put = client
            .put_object()
            .bucket("bucket")
            .key("counter")
            .if_match(etag);
        if put
            .body(raised.to_string().into_bytes().into())
            .send()
            .await
            .is_ok()
        {
            return;
        }
    }
}
