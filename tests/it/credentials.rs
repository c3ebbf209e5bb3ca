//! Whoever gives credentials, and what becomes of a pass when they do not: a hiccup is waited out, a
//! refusal is told at once.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use local_s3::{Fault, FaultHandle, Operation};
use serde_json::json;

use crate::support::http::serve;
use crate::support::tree::{self, assert_same, settle};
use crate::support::{Output, World};

/// Credentials are waited for twice as long as a request may take.
const REQUEST_TIMEOUT: &str = "1s";
const PATIENCE: Duration = Duration::from_secs(2);

/// What a refusal may take: it is not waited for, but a debug build on a busy machine starts slowly.
const AT_ONCE: Duration = Duration::from_secs(20);

/// A machine that has no credentials of its own.
fn world() -> World {
    let mut world = World::new();
    world.set("S3__REQUEST_TIMEOUT", REQUEST_TIMEOUT);
    world.env("AWS_ACCESS_KEY_ID", "");
    world.env("AWS_SECRET_ACCESS_KEY", "");
    world.env("AWS_REGION", "us-east-1");
    world.env("AWS_EC2_METADATA_DISABLED", "true");
    for index in 0..6 {
        world.write(&format!("{index}"), format!("contents of {index}"));
    }
    settle();
    world
}

/// An address at which nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// Counts requests.
#[derive(Clone, Default)]
struct Asked(Arc<AtomicUsize>);

impl Asked {
    fn next(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst)
    }

    fn times(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn in_an_hour() -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(1)
}

/// What the agents of ECS and EKS and the instance metadata service give out.
fn key(world: &World, expires: Timestamp) -> String {
    let credentials = world.server.credentials();
    json!({
        "Code": "Success",
        "Type": "AWS-HMAC",
        "LastUpdated": "2025-12-27T00:00:00Z",
        "AccessKeyId": credentials.access_key,
        "SecretAccessKey": credentials.secret_key,
        "Token": "token",
        "Expiration": expires,
    })
    .to_string()
}

/// An agent of ECS or EKS that gives credentials after it has answered `times` with `status`.
fn agent(world: &mut World, status: u16, times: usize) -> Asked {
    let asked = Asked::default();
    let (count, key) = (asked.clone(), key(world, in_an_hour()));
    let url = serve(move |_| match count.next() < times {
        true => (status, "not now".to_owned()),
        false => (200, key.clone()),
    });
    world.env(
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        format!("{url}/credentials"),
    );
    asked
}

/// STS, for a token of web identity.
fn sts(world: &mut World, url: &str) {
    std::fs::write(world.path("token"), "token").unwrap();
    world.env("AWS_WEB_IDENTITY_TOKEN_FILE", world.path("token").display());
    world.env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/backup");
    world.env("AWS_ENDPOINT_URL_STS", url);
}

fn sts_error(code: &str) -> String {
    format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>no</Message></Error>\
         <RequestId>1</RequestId></ErrorResponse>"
    )
}

fn sts_success(world: &World) -> String {
    let credentials = world.server.credentials();
    format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <AssumeRoleWithWebIdentityResult><AssumedRoleUser>\
         <Arn>arn:aws:sts::123456789012:assumed-role/backup/s</Arn>\
         <AssumedRoleId>A:s</AssumedRoleId></AssumedRoleUser><Credentials>\
         <AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey>\
         <SessionToken>token</SessionToken><Expiration>{}</Expiration></Credentials>\
         </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
        credentials.access_key,
        credentials.secret_key,
        in_an_hour()
    )
}

fn assert_backed_up(world: &mut World) {
    // What follows looks with a key of its own.
    let (key, secret) = {
        let credentials = world.server.credentials();
        (
            credentials.access_key.clone(),
            credentials.secret_key.clone(),
        )
    };
    world.env("AWS_ACCESS_KEY_ID", key);
    world.env("AWS_SECRET_ACCESS_KEY", secret);
    assert_same(
        &tree::read(&world.data()),
        &tree::read(&world.restored_latest()),
    );
}

/// The pass ends with 1 once it has waited, and says who did not answer.
fn assert_gives_up(world: &World, says: &str) {
    let began = Instant::now();
    let output = world.offsite_within(Duration::from_secs(90), ["run"]);
    assert!(began.elapsed() >= PATIENCE, "{:?}", began.elapsed());
    assert_eq!(output.code, 1, "{output:?}");
    let failed = output.event("backup_failed");
    let error = failed["error"].as_str().unwrap();
    assert!(
        error.contains("credentials") && error.contains(says),
        "{error}"
    );
    let hint = failed["hint"].as_str().unwrap();
    assert!(hint.contains("run it again"), "{hint}");
    let looked = world.offsite_within(Duration::from_secs(90), ["list"]);
    assert_eq!(looked.code, 1, "{looked:?}");
}

fn assert_denied(output: &Output, began: Instant) {
    assert_eq!(output.code, 12, "{output:?}");
    let failed = output.event("backup_failed");
    assert!(
        failed["hint"].as_str().unwrap().contains("role"),
        "{failed}"
    );
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
}

#[test]
fn an_agent_that_fails_for_a_while_is_asked_again() {
    for status in [500, 503, 429, 408] {
        let mut world = world();
        // More often than the SDK asks by itself.
        let asked = agent(&mut world, status, 4);
        world.back_up();
        assert!(asked.times() >= 5, "{status}");
        assert_backed_up(&mut world);
    }
}

#[test]
fn an_agent_that_keeps_failing_ends_the_pass_with_1() {
    for (status, says) in [(500, "500"), (429, "429")] {
        let mut world = world();
        agent(&mut world, status, usize::MAX);
        assert_gives_up(&world, says);
    }
    let mut world = world();
    world.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", nobody());
    assert_gives_up(&world, "");
}

#[test]
fn an_agent_that_refuses_ends_the_pass_with_12() {
    for status in [400, 401, 403, 404] {
        let mut world = world();
        agent(&mut world, status, usize::MAX);
        let began = Instant::now();
        assert_denied(&world.offsite(["run"]), began);
    }
}

#[test]
fn an_agent_that_hangs_is_not_waited_for_forever() {
    let mut world = world();
    // A socket that is listened to and never accepted from.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    world.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
    assert_gives_up(&world, "");
}

#[test]
fn sts_that_is_not_there_ends_the_pass_with_1() {
    // Nobody listens; nobody knows the name.
    for url in [nobody(), "http://sts.nowhere.invalid".to_owned()] {
        let mut world = world();
        sts(&mut world, &url);
        assert_gives_up(&world, "");
    }
}

#[test]
fn sts_that_fails_for_a_while_is_asked_again() {
    for (status, code) in [
        (503, "ServiceUnavailable"),
        (400, "Throttling"),
        (400, "IDPCommunicationError"),
    ] {
        let mut world = world();
        world.set("S3__REQUEST_TIMEOUT", "5s");
        let asked = Asked::default();
        let (count, success) = (asked.clone(), sts_success(&world));
        // More often than the SDK asks by itself.
        let url = serve(move |_| match count.next() < 8 {
            true => (status, sts_error(code)),
            false => (200, success.clone()),
        });
        sts(&mut world, &url);
        world.back_up();
        assert!(asked.times() >= 9, "{code}");
        assert_backed_up(&mut world);
    }
}

#[test]
fn sts_that_keeps_failing_ends_the_pass_with_1() {
    for (status, code) in [(503, "ServiceUnavailable"), (400, "Throttling")] {
        let mut world = world();
        let url = serve(move |_| (status, sts_error(code)));
        sts(&mut world, &url);
        assert_gives_up(&world, code);
    }
}

#[test]
fn sts_that_refuses_ends_the_pass_with_12() {
    for (status, code) in [
        (403, "AccessDenied"),
        (400, "InvalidIdentityToken"),
        (400, "ExpiredTokenException"),
    ] {
        let mut world = world();
        let url = serve(move |_| (status, sts_error(code)));
        sts(&mut world, &url);
        let began = Instant::now();
        let output = world.offsite(["run"]);
        assert_denied(&output, began);
        let error = output.event("backup_failed")["error"].to_string();
        assert!(error.contains(code), "{error}");
    }
}

/// The metadata service of an instance, which fails `times` when it is asked for the key.
fn instance(world: &mut World, times: usize) -> Asked {
    let asked = Asked::default();
    let (count, key) = (asked.clone(), key(world, in_an_hour()));
    let url = serve(move |request| match request.path.as_str() {
        "/latest/api/token" => (200, "token".to_owned()),
        "/latest/meta-data/iam/security-credentials/" => (200, "backup".to_owned()),
        "/latest/meta-data/iam/security-credentials/backup" if count.next() < times => {
            (500, "not now".to_owned())
        }
        "/latest/meta-data/iam/security-credentials/backup" => (200, key.clone()),
        _ => (404, String::new()),
    });
    world.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", url);
    world.env("AWS_EC2_METADATA_DISABLED", "false");
    asked
}

#[test]
fn the_metadata_of_an_instance_is_asked_for_again() {
    let mut world = world();
    world.set("S3__REQUEST_TIMEOUT", "10s");
    // More often than the SDK asks by itself.
    let asked = instance(&mut world, 5);
    world.back_up();
    assert!(asked.times() >= 6);
    assert_backed_up(&mut world);
}

#[test]
fn an_instance_without_a_role_has_no_credentials() {
    let mut world = world();
    let url = serve(move |request| match request.path.as_str() {
        "/latest/api/token" => (200, "token".to_owned()),
        _ => (404, String::new()),
    });
    world.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", url);
    world.env("AWS_EC2_METADATA_DISABLED", "false");
    let began = Instant::now();
    assert_denied(&world.offsite(["run"]), began);
}

/// An agent whose first key, which holds for an hour, the store takes no more once files are sent. After it
/// the agent fails `times` with 503, and gives out the second.
fn agent_with_two_keys(world: &mut World, times: usize) -> (Asked, FaultHandle) {
    let asked = Asked::default();
    let count = asked.clone();
    let credentials = world.server.credentials().clone();
    let key = move |token: &str| {
        json!({
            "AccessKeyId": credentials.access_key,
            "SecretAccessKey": credentials.secret_key,
            "Token": token,
            "Expiration": in_an_hour(),
        })
        .to_string()
    };
    let url = serve(move |_| match count.next() {
        0 => (200, key("first")),
        number if number <= times => (503, "not now".to_owned()),
        _ => (200, key("second")),
    });
    world.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
    let with_first = Fault::on(Operation::PutObject)
        .key_contains("files/")
        .if_header("x-amz-security-token", "first");
    let expired = with_first.always().status(400, "ExpiredToken");
    let expired = world.server.fault(expired);
    (asked, expired)
}

#[test]
fn a_key_that_the_store_no_longer_takes_is_renewed_in_mid_pass() {
    let mut world = world();
    let (asked, expired) = agent_with_two_keys(&mut world, 0);
    world.back_up();
    assert!(expired.fired() > 0);
    assert_eq!(asked.times(), 2);
    assert_backed_up(&mut world);
}

#[test]
fn a_key_that_ends_in_mid_pass_is_renewed_although_the_agent_fails_for_a_while() {
    let mut world = world();
    let (asked, _) = agent_with_two_keys(&mut world, 4);
    world.back_up();
    assert!(asked.times() >= 6);
    assert_backed_up(&mut world);
}

#[test]
fn a_key_that_has_ended_and_is_given_out_again_is_asked_for_again() {
    let mut world = world();
    let asked = Asked::default();
    let count = asked.clone();
    let credentials = world.server.credentials().clone();
    let ended = Timestamp::now() - SignedDuration::from_secs(1);
    let url = serve(move |_| {
        let (token, expires) = match count.next() < 4 {
            true => ("first", ended),
            false => ("second", in_an_hour()),
        };
        let key = json!({
            "AccessKeyId": credentials.access_key,
            "SecretAccessKey": credentials.secret_key,
            "Token": token,
            "Expiration": expires,
        });
        (200, key.to_string())
    });
    world.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
    let with_first = Fault::on(Operation::PutObject)
        .key_contains("files/")
        .if_header("x-amz-security-token", "first");
    world
        .server
        .fault(with_first.always().status(400, "ExpiredToken"));
    world.back_up();
    assert!(asked.times() >= 5);
    assert_backed_up(&mut world);
}

#[test]
fn a_key_that_ends_between_looks_is_renewed_although_a_look_has_no_words() {
    let mut world = world();
    agent(&mut world, 500, 0);
    world.back_up();
    let (asked, _) = agent_with_two_keys(&mut world, 0);
    let with_first = Fault::on(Operation::HeadObject).if_header("x-amz-security-token", "first");
    let expired = world
        .server
        .fault(with_first.always().status(400, "ExpiredToken"));
    let verified = world.offsite(["verify"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    assert!(expired.fired() > 0);
    assert_eq!(asked.times(), 2);
}

#[test]
fn a_key_that_is_not_renewed_in_mid_pass_ends_it_with_1() {
    let mut world = world();
    agent_with_two_keys(&mut world, usize::MAX);
    let output = world.offsite_within(Duration::from_secs(90), ["run"]);
    assert_eq!(output.code, 1, "{output:?}");
    let hint = output.event("backup_failed")["hint"].to_string();
    assert!(hint.contains("run it again"), "{hint}");
    // The lock was given back.
    assert!(output.events_named("notice").is_empty(), "{output:?}");
}

#[test]
fn a_key_that_nobody_can_renew_ends_the_pass_with_12() {
    let mut world = World::new();
    world.write("a", "a");
    world.env("AWS_SESSION_TOKEN", "token");
    let put = Fault::on(Operation::PutObject)
        .key_contains("files/")
        .always();
    world.server.fault(put.status(400, "ExpiredToken"));
    let began = Instant::now();
    assert_denied(&world.offsite(["run"]), began);
}

#[test]
fn a_clock_that_is_wrong_is_no_refusal() {
    let world = World::new();
    world.write("a", "a");
    world
        .server
        .fault(Fault::on_any().always().status(403, "RequestTimeTooSkewed"));
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 1, "{output:?}");
    let failed = output.event("backup_failed");
    assert!(
        failed["hint"].as_str().unwrap().contains("clock"),
        "{failed}"
    );
}
