//! The hook that a test places before each request.

use crate::support::client::{is_cut, local};
use aws_sdk_s3::Client;
use aws_sdk_s3::error::SdkError;
use local_s3::{HookAction, LocalS3, Operation};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Writes `a`, `b`, `c` one after the other until one fails.
async fn three_puts(client: &Client) -> bool {
    for key in ["a", "b", "c"] {
        let put = client
            .put_object()
            .bucket("bucket")
            .key(key)
            .body(b"x".to_vec().into())
            .send()
            .await;
        if put.is_err() {
            assert!(is_cut(&put), "{put:?}");
            return false;
        }
    }
    true
}

fn sleeper() -> Child {
    Command::new("sleep").arg("600").spawn().unwrap()
}

fn kill(child: &Mutex<Child>) {
    let mut child = child.lock().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn a_process_can_be_killed_before_a_request_is_applied() {
    for (index, left) in [(0, vec![]), (1, vec!["a"]), (2, vec!["a", "b"])] {
        let (server, client) = local();
        let child = Arc::new(Mutex::new(sleeper()));
        let victim = Arc::clone(&child);
        server.on_request(move |request| {
            if request.index != index {
                return HookAction::Proceed;
            }
            kill(&victim);
            HookAction::DropBefore
        });
        assert!(!three_puts(&client).await);
        assert_eq!(server.keys("bucket"), left);
        assert!(child.lock().unwrap().try_wait().unwrap().is_some());
    }
}

#[tokio::test]
async fn a_process_can_be_killed_after_a_request_is_applied() {
    for (index, left) in [
        (0, vec!["a"]),
        (1, vec!["a", "b"]),
        (2, vec!["a", "b", "c"]),
    ] {
        let (server, client) = local();
        let server = Arc::new(server);
        let child = Arc::new(Mutex::new(sleeper()));
        let (victim, seen) = (Arc::clone(&child), Arc::new(AtomicUsize::new(0)));
        let (seen_by_hook, watched) = (Arc::clone(&seen), Arc::downgrade(&server));
        server.on_request(move |request| {
            if request.index != index {
                return HookAction::Proceed;
            }
            let (victim, seen, watched) = (
                Arc::clone(&victim),
                Arc::clone(&seen_by_hook),
                watched.clone(),
            );
            HookAction::handle_then_drop(move || {
                seen.store(
                    watched
                        .upgrade()
                        .map_or(0, |server: Arc<LocalS3>| server.keys("bucket").len()),
                    Ordering::SeqCst,
                );
                kill(&victim);
            })
        });
        assert!(!three_puts(&client).await);
        assert_eq!(
            seen.load(Ordering::SeqCst),
            left.len(),
            "the object is there when the function is called"
        );
        assert_eq!(server.keys("bucket"), left);
        assert!(child.lock().unwrap().try_wait().unwrap().is_some());
    }
}

#[tokio::test]
async fn a_hook_can_be_replaced_and_removed() {
    let (server, client) = local();
    server.on_request(|_| HookAction::DropBefore);
    assert!(!three_puts(&client).await);
    server.on_request(|request| match request.operation {
        Operation::HeadBucket => HookAction::DropBefore,
        _ => HookAction::Proceed,
    });
    assert!(three_puts(&client).await);
    let head = client.head_bucket().bucket("bucket");
    assert!(matches!(
        head.clone().send().await,
        Err(SdkError::DispatchFailure(_))
    ));
    server.clear_hook();
    head.send().await.unwrap();
}

#[tokio::test]
async fn a_hook_sees_what_is_asked() {
    let (server, client) = local();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    server.on_request(move |request| {
        notes.lock().unwrap().push(request.clone());
        HookAction::Proceed
    });
    client
        .put_object()
        .bucket("bucket")
        .key("a b/ü")
        .if_none_match("*")
        .send()
        .await
        .unwrap();
    client
        .list_objects_v2()
        .bucket("bucket")
        .prefix("a b/")
        .send()
        .await
        .unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen[0].operation, Operation::PutObject);
    assert_eq!(
        (seen[0].bucket.as_deref(), seen[0].key.as_deref()),
        (Some("bucket"), Some("a b/ü"))
    );
    assert_eq!(seen[0].header("if-none-match"), Some("*"));
    assert_eq!(seen[1].operation, Operation::ListObjectsV2);
    assert_eq!(seen[1].query_value("prefix").as_deref(), Some("a b/"));
    assert_eq!(seen[1].index, 1);
}
