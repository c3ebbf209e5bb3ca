//! The program `local-s3`, started as a demo or a benchmark starts it.

use crate::support::client::{Endpoint, refusal};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running program; its process ends with this value.
struct Program {
    child: Child,
    endpoint: Endpoint,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_local-s3"));
        command
            .args(["--listen", "127.0.0.1:0", "--bucket", "demo"])
            .args(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let url = line.trim().to_owned();
        let endpoint = Endpoint {
            url,
            access_key: "test".to_owned(),
            secret_key: "test".to_owned(),
        };
        Self { child, endpoint }
    }

    /// Waits for the end; it has to come by itself.
    fn ended(mut self) -> i32 {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap();
            }
            assert!(start.elapsed() < Duration::from_secs(20), "it runs on");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn it_serves_and_says_where_and_keeps_what_it_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (data, port_file, log) = (path("data"), path("endpoint"), path("log"));
    let arguments = [
        "--persist",
        &data,
        "--port-file",
        &port_file,
        "--log-requests",
        &log,
    ];
    let program = Program::start(&arguments);
    assert_eq!(text(port_file.as_ref()).trim(), program.endpoint.url);
    let put = program
        .endpoint
        .client()
        .put_object()
        .bucket("demo")
        .key("k")
        .body(b"content".to_vec().into());
    put.send().await.unwrap();
    program.signal("-TERM");
    assert_eq!(program.ended(), 0);
    assert_eq!(text(log.as_ref()).lines().count(), 1);

    let again = Program::start(&arguments);
    let got = again
        .endpoint
        .client()
        .get_object()
        .bucket("demo")
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(got.body.collect().await.unwrap().to_vec(), b"content");
    again.signal("-INT");
    assert_eq!(again.ended(), 0);
}

#[tokio::test]
async fn it_accepts_the_given_key_or_anybody() {
    let program = Program::start(&["--access-key", "one", "--secret-key", "two"]);
    let wrong = program.endpoint.client().list_buckets().send().await;
    assert_eq!(refusal(wrong), "403 InvalidAccessKeyId");
    let right = Endpoint {
        access_key: "one".to_owned(),
        secret_key: "two".to_owned(),
        ..program.endpoint.clone()
    };
    right.client().list_buckets().send().await.unwrap();
    let open = Program::start(&["--anonymous"]);
    open.endpoint.client().list_buckets().send().await.unwrap();
}

#[tokio::test]
async fn it_runs_a_sink() {
    let program = Program::start(&["--sink", "--sink-md5", "--sink-discard", "k"]);
    let client = program.endpoint.client();
    let put = client
        .put_object()
        .bucket("demo")
        .key("k")
        .body(b"123456789".to_vec().into());
    let etag = put.send().await.unwrap().e_tag.unwrap();
    assert_eq!(etag, "\"25f9e794323b453885f5181f1b624d0b\"");
    let got = client.get_object().bucket("demo").key("k").send().await;
    assert_eq!(refusal(got), "501 NotImplemented");
}

#[test]
fn it_stops_by_itself() {
    assert_eq!(Program::start(&["--stop-after", "0"]).ended(), 0);
}

#[test]
fn it_stops_with_its_parent() {
    let folder = tempfile::tempdir().unwrap();
    let port_file = folder.path().join("endpoint");
    // The shell is the parent; it ends once the server has started.
    let script = r#""$1" --exit-with-parent --stop-after 60 --listen 127.0.0.1:0 \
            --port-file "$2" >/dev/null &
        while [ ! -e "$2" ]; do sleep 0.05; done; echo $!"#;
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        script,
        "sh",
        env!("CARGO_BIN_EXE_local-s3"),
        port_file.to_str().unwrap(),
    ]);
    let mut shell = shell.stdout(Stdio::piped()).spawn().unwrap();
    let mut pid = String::new();
    shell
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut pid)
        .unwrap();
    assert!(shell.wait().unwrap().success());
    let start = Instant::now();
    while Path::new("/proc").join(pid.trim()).exists() {
        assert!(start.elapsed() < Duration::from_secs(20), "it runs on");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn it_refuses_other_machines() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_local-s3"));
    let output = command.args(["--listen", "0.0.0.0:0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with("error: 0.0.0.0:0 is not a loopback address"),
        "{said}"
    );
}
