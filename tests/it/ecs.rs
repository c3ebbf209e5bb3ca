//! Under ECS: who holds the lock, whether that task still runs, metrics, and starting a task.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use local_s3::{HookAction, Moto, Operation};
use serde_json::{Value, json};

use crate::support::http::serve;
use crate::support::{BUCKET, World, aws_cli};

const CLUSTER: &str = "arn:aws:ecs:us-east-1:123456789012:cluster/backups";
const TASK: &str =
    "arn:aws:ecs:us-east-1:123456789012:task/backups/158d1c8083dd49d6b527399fd6414f5c";

/// The metadata endpoint of a task, with what ECS documents and this program reads.
fn metadata_of(task: &str) -> String {
    let answer = json!({
        "Cluster": CLUSTER,
        "TaskARN": task,
        "Family": "offsite",
        "Revision": "3",
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "LaunchType": "FARGATE",
    })
    .to_string();
    let url = serve(move |asked| match asked.path.as_str() {
        "/v4/container/task" => (200, answer.clone()),
        path => panic!("asked for {path}"),
    });
    format!("{url}/v4/container")
}

fn world() -> World {
    let world = World::new();
    world.write("a", "a");
    world
}

/// Leaves a lock whose holder is `task` and was killed.
fn killed_as(world: &mut World, task: &str) {
    world.env("ECS_CONTAINER_METADATA_URI_V4", metadata_of(task));
    let (arrived, has_arrived) = std::sync::mpsc::channel();
    world.server.on_request(move |request| {
        let key = request.key.as_deref().unwrap_or_default();
        if request.operation == Operation::PutObject && key.contains("/files/") {
            let _ = arrived.send(());
            std::thread::sleep(Duration::from_secs(1));
        }
        HookAction::Proceed
    });
    let mut child = world.spawn(["run"]);
    has_arrived.recv_timeout(Duration::from_secs(60)).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    world.server.on_request(|_| HookAction::Proceed);
    world.unset("ECS_CONTAINER_METADATA_URI_V4");
}

/// moto, and the ARN of a task that runs there until it is stopped.
fn task_on_moto(world: &mut World) -> (Moto, String) {
    let moto = Moto::start();
    world.env("AWS_ENDPOINT_URL_ECS", moto.url());
    let runs_on = json!({"model_name": "ecs::task", "transition": {"progression": "manual", "times": 1_000_000}});
    post(
        &moto,
        "/moto-api/state-manager/set-transition",
        &runs_on.to_string(),
    );
    aws(&moto, &["create-cluster", "--cluster-name", "backups"]);
    let containers = r#"[{"name":"offsite","image":"offsite","memory":256}]"#;
    aws(
        &moto,
        &[
            "register-task-definition",
            "--family",
            "offsite",
            "--container-definitions",
            containers,
        ],
    );
    let started = aws(
        &moto,
        &[
            "run-task",
            "--cluster",
            "backups",
            "--task-definition",
            "offsite",
            "--launch-type",
            "FARGATE",
        ],
    );
    let task = started["tasks"][0]["taskArn"].as_str().unwrap().to_owned();
    (moto, task)
}

/// For what is moto's own, of which no client knows.
fn post(moto: &Moto, path: &str, body: &str) {
    let authority = moto.url().replace("http://", "");
    let mut stream = TcpStream::connect(&authority).unwrap();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
}

fn aws(moto: &Moto, arguments: &[&str]) -> Value {
    let output = Command::new(aws_cli())
        .args([
            "--endpoint-url",
            &moto.url(),
            "--region",
            "us-east-1",
            "--output",
            "json",
            "ecs",
        ])
        .args(arguments)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_lock_and_every_event_name_the_task() {
    let mut world = world();
    world.env("ECS_CONTAINER_METADATA_URI_V4", metadata_of(TASK));
    let output = world.back_up();
    for event in output.events() {
        assert_eq!(event["ecs_task"], TASK, "{event}");
        assert_eq!(event["ecs_cluster"], CLUSTER, "{event}");
    }
    let lock = world
        .server
        .object(BUCKET, &world.full_key("lock"))
        .unwrap();
    let lock: Value = serde_json::from_slice(&lock.bytes).unwrap();
    assert_eq!(lock["holder"]["ecs_task"], TASK);
    assert_eq!(lock["holder"]["ecs_cluster"], CLUSTER);
}

#[test]
fn a_metadata_endpoint_that_fails_costs_no_backup() {
    let mut world = world();
    world.env(
        "ECS_CONTAINER_METADATA_URI_V4",
        serve(|_| (500, "{}".to_owned())),
    );
    let output = world.back_up();
    let notice = output.event("notice")["message"].to_string();
    assert!(notice.contains("answers with status 500"), "{notice}");
}

#[test]
fn the_lock_of_a_task_is_taken_over_once_the_task_has_stopped_and_not_before() {
    let mut world = world();
    let (moto, task) = task_on_moto(&mut world);
    killed_as(&mut world, &task);

    let output = world.offsite(["run"]);
    assert_eq!(output.code, 11, "{output:?}");
    assert!(
        output.event("lock_held")["holder"]
            .to_string()
            .contains(&task)
    );

    aws(
        &moto,
        &[
            "stop-task",
            "--cluster",
            "backups",
            "--task",
            &task,
            "--reason",
            "test",
        ],
    );
    let began = Instant::now();
    let output = world.back_up();
    assert!(began.elapsed() < Duration::from_secs(30));
    let taken_from = output.event("lock_acquired")["taken_from"].to_string();
    assert!(taken_from.contains(&task), "{taken_from}");
    let notice = output.event("notice")["message"].to_string();
    assert!(notice.contains("its lease is taken over"), "{notice}");
}

#[test]
fn a_task_that_ecs_does_not_know_any_more_is_gone() {
    let mut world = world();
    // As ECS documents it; moto says neither task nor failure.
    let failures = json!([{"arn": TASK, "reason": "MISSING"}]);
    let missing = json!({"tasks": [], "failures": failures}).to_string();
    world.env(
        "AWS_ENDPOINT_URL_ECS",
        serve(move |_| (200, missing.clone())),
    );
    killed_as(&mut world, TASK);
    let output = world.back_up();
    let notice = output.event("notice")["message"].to_string();
    assert!(notice.contains("ECS does not know it any more"), "{notice}");
}

#[test]
fn without_permission_to_ask_the_lease_has_to_expire() {
    let mut world = world();
    let refused =
        json!({"__type": "AccessDeniedException", "message": "no ecs:DescribeTasks"}).to_string();
    world.env(
        "AWS_ENDPOINT_URL_ECS",
        serve(move |_| (400, refused.clone())),
    );
    killed_as(&mut world, TASK);
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 11, "{output:?}");
    let notice = output.event("notice")["message"].to_string();
    assert!(notice.contains("ECS refused DescribeTasks"), "{notice}");
    world.expire_leases();
    world.back_up();
}

#[test]
fn metrics_are_there_under_ecs_or_when_asked_for() {
    let mut world = world();
    let metrics = |output: crate::support::Output| output.event("backup_completed")["_aws"].clone();
    assert!(metrics(world.back_up()).is_null());
    world.set("LOG__METRICS", "emf");
    let output = world.back_up();
    let completed = output.event("backup_completed");
    let directive = &completed["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(directive["Namespace"], "Offsite");
    assert!(completed["_aws"]["Timestamp"].as_i64().unwrap() > 1_700_000_000_000);
    for metric in directive["Metrics"].as_array().unwrap() {
        let name = metric["Name"].as_str().unwrap();
        assert!(completed[name].is_number(), "{name} is not in {completed}");
        let units = ["Milliseconds", "Count", "Bytes", "None"];
        assert!(
            units.contains(&metric["Unit"].as_str().unwrap()),
            "{metric}"
        );
    }
    for dimension in directive["Dimensions"][0].as_array().unwrap() {
        assert!(
            completed[dimension.as_str().unwrap()].is_string(),
            "{completed}"
        );
    }
    world.set("LOG__METRICS", "auto");
    world.env("ECS_CONTAINER_METADATA_URI_V4", metadata_of(TASK));
    assert!(metrics(world.back_up()).is_object());
    world.set("LOG__METRICS", "none");
    assert!(metrics(world.back_up()).is_null());
}

#[test]
fn launch_starts_a_task_and_waits_for_it() {
    let mut world = world();
    let (moto, running) = task_on_moto(&mut world);
    world.env("AWS_REGION", "us-east-1");
    let launch = [
        "launch",
        "--cluster",
        "backups",
        "--task-definition",
        "offsite",
    ];
    let child = world.spawn([&launch[..], &["--json", "--", "verify"]].concat());
    let deadline = Instant::now() + Duration::from_secs(60);
    let task = loop {
        let tasks = aws(&moto, &["list-tasks", "--cluster", "backups"]);
        let found = tasks["taskArns"].as_array().unwrap();
        let other = found
            .iter()
            .filter_map(Value::as_str)
            .find(|arn| *arn != running);
        match other {
            Some(task) => break task.to_owned(),
            None => assert!(Instant::now() < deadline, "no task"),
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let described = aws(
        &moto,
        &["describe-tasks", "--cluster", "backups", "--tasks", &task],
    );
    let overrides = &described["tasks"][0]["overrides"]["containerOverrides"][0];
    assert_eq!(overrides["name"], "offsite");
    assert_eq!(overrides["command"], json!(["verify"]));
    aws(
        &moto,
        &[
            "stop-task",
            "--cluster",
            "backups",
            "--task",
            &task,
            "--reason",
            "done",
        ],
    );
    let output = crate::support::finish(child.wait_with_output().unwrap());
    assert_eq!(output.code, 0, "{output:?}");
    let launched: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(launched["task_arn"], task);
    assert_eq!(launched["stopped_reason"], "done");
}

#[test]
fn launch_exits_as_the_container_did() {
    let mut world = world();
    world.env("AWS_REGION", "us-east-1");
    let answers = |code: Value| {
        serve(move |asked| {
            let containers = json!([{"name": "offsite", "exitCode": code.clone(), "reason": "CannotPullContainerError"}]);
            let task = json!({"taskArn": TASK, "lastStatus": "STOPPED", "containers": containers, "stoppedReason": "Essential container in task exited"});
            assert!(
                asked.target.ends_with("RunTask") || asked.target.ends_with("DescribeTasks"),
                "{}",
                asked.target
            );
            (200, json!({"tasks": [task], "failures": []}).to_string())
        })
    };
    let launch = [
        "launch",
        "--cluster",
        "backups",
        "--task-definition",
        "offsite",
    ];
    for (exited, expected) in [(json!(3), 3), (json!(0), 0), (Value::Null, 1)] {
        world.env("AWS_ENDPOINT_URL_ECS", answers(exited));
        let output = world.offsite(launch);
        assert_eq!(output.code, expected, "{output:?}");
        assert!(
            output.stdout.contains("Essential container in task exited"),
            "{output:?}"
        );
    }
    let refused = json!({"__type": "AccessDeniedException", "message": "no"}).to_string();
    world.env(
        "AWS_ENDPOINT_URL_ECS",
        serve(move |_| (400, refused.clone())),
    );
    assert_eq!(world.offsite(launch).code, 12);
    let page = format!("<html>{}</html>", "x".repeat(5000));
    world.env("AWS_ENDPOINT_URL_ECS", serve(move |_| (400, page.clone())));
    let output = world.offsite(launch);
    assert_eq!(output.code, 1);
    assert_eq!(
        output.stderr.trim(),
        "error: ECS could not do RunTask: it answers with status 400"
    );
    let none = json!({"tasks": [], "failures": [{"arn": CLUSTER, "reason": "RESOURCE:MEMORY"}]})
        .to_string();
    world.env("AWS_ENDPOINT_URL_ECS", serve(move |_| (200, none.clone())));
    let output = world.offsite(launch);
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("RESOURCE:MEMORY"), "{output:?}");
}

#[test]
fn launch_runs_on_fargate_unless_told_otherwise() {
    let mut world = world();
    world.env("AWS_REGION", "us-east-1");
    let run = |world: &mut World, args: &[&str]| -> Value {
        let (sent, received) = std::sync::mpsc::channel();
        let none = json!({"tasks": [], "failures": []}).to_string();
        let url = serve(move |asked| {
            sent.send(asked.body.clone()).unwrap();
            (200, none.clone())
        });
        world.env("AWS_ENDPOINT_URL_ECS", url);
        let launch = ["launch", "--task-definition", "offsite"];
        assert_eq!(world.offsite([&launch[..], args].concat()).code, 1);
        serde_json::from_str(&received.recv().unwrap()).unwrap()
    };
    let vpc = [
        "--subnets",
        "subnet-1,subnet-2",
        "--security-groups",
        "sg-1",
    ];
    let asked = run(&mut world, &vpc);
    assert_eq!(asked["launchType"], "FARGATE");
    let network = &asked["networkConfiguration"]["awsvpcConfiguration"];
    assert_eq!(network["subnets"], json!(["subnet-1", "subnet-2"]));
    assert_eq!(network["securityGroups"], json!(["sg-1"]));
    assert_eq!(network["assignPublicIp"], "DISABLED");
    assert_eq!(
        run(&mut world, &["--launch-type", "EC2"])["launchType"],
        "EC2"
    );
    let asked = run(&mut world, &["--capacity-provider", "FARGATE_SPOT"]);
    assert_eq!(asked["launchType"], Value::Null);
    assert_eq!(
        asked["capacityProviderStrategy"],
        json!([{"base": 0, "capacityProvider": "FARGATE_SPOT", "weight": 1}])
    );
}

#[test]
fn launch_says_what_it_lacks_to_ask_with() {
    let mut world = world();
    world.env("AWS_EC2_METADATA_DISABLED", "true");
    let launch = ["launch", "--task-definition", "offsite"];
    let output = world.offsite(launch);
    assert_eq!(output.code, 2, "{output:?}");
    assert!(output.stderr.contains("set AWS_REGION"), "{output:?}");
    world.env("AWS_REGION", "us-east-1");
    world.env("AWS_ACCESS_KEY_ID", "");
    world.env("AWS_SECRET_ACCESS_KEY", "");
    let output = world.offsite(launch);
    assert_eq!(output.code, 12, "{output:?}");
    assert!(
        output.stderr.contains("no usable credentials"),
        "{output:?}"
    );
    assert!(output.stderr.lines().count() < 12, "{output:?}");
}
