//! What tests stand on: a server, a place for files, and the program as a process.

pub(crate) mod acts;
pub(crate) mod calls;
pub(crate) mod http;
pub(crate) mod tree;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use local_s3::{LocalS3, LoggedRequest, Operation};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The bucket of every test.
pub(crate) const BUCKET: &str = "backups";
/// The prefix of every test.
pub(crate) const PREFIX: &str = "team/";
/// The source of most tests.
pub(crate) const SOURCE: &str = "data";

/// A store and a machine with one directory to back up.
pub(crate) struct World {
    pub(crate) server: LocalS3,
    pub(crate) home: tempfile::TempDir,
    settings: BTreeMap<String, String>,
}

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_server(LocalS3::builder().bucket(BUCKET).start().unwrap())
    }

    pub(crate) fn with_server(server: LocalS3) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(SOURCE)).unwrap();
        let world = Self {
            server,
            home,
            // A pass that fails is looked at. Tests of further attempts set the time for them.
            settings: BTreeMap::from([("OFFSITE_RETRY__FOR".to_owned(), "0".to_owned())]),
        };
        world.configure(&format!(
            "backup:\n  s3: {{bucket: {BUCKET}, prefix: {PREFIX}}}\n  \
             sources: [{{name: {SOURCE}, directory: {}}}]\n",
            world.data().display()
        ));
        world
    }

    /// Replaces the configuration file.
    pub(crate) fn configure(&self, yaml: &str) {
        std::fs::write(self.home.path().join("backup_config.yaml"), yaml).unwrap();
    }

    /// Sets an environment variable for all runs from now on, as `S3__BUCKET` for the setting.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "numbers and strings are given as they stand at the call"
    )]
    pub(crate) fn set(&mut self, setting: &str, value: impl ToString) {
        self.settings
            .insert(format!("OFFSITE_{setting}"), value.to_string());
    }

    /// Sets any environment variable.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "numbers and strings are given as they stand at the call"
    )]
    pub(crate) fn env(&mut self, name: &str, value: impl ToString) {
        self.settings.insert(name.to_owned(), value.to_string());
    }

    /// Takes an environment variable back.
    pub(crate) fn unset(&mut self, name: &str) {
        self.settings.remove(name);
    }

    /// The directory that is backed up.
    pub(crate) fn data(&self) -> PathBuf {
        self.home.path().join(SOURCE)
    }

    /// A place in the home directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a file below the source, with the directories above it.
    pub(crate) fn write(&self, path: &str, contents: impl AsRef<[u8]>) {
        let path = self.data().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, contents).unwrap();
    }

    /// The program with its environment, not started.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_offsite"));
        let credentials = self.server.credentials();
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("AWS_ACCESS_KEY_ID", &credentials.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &credentials.secret_key)
            .env("AWS_ENDPOINT_URL", self.server.endpoint())
            .envs(&self.settings)
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .args(args);
        command
    }

    /// Runs the program to its end.
    pub(crate) fn offsite<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Output {
        finish(self.command(args).output().unwrap())
    }

    /// Runs the program to its end, which must come in time.
    pub(crate) fn offsite_within<A: AsRef<OsStr>>(
        &self,
        time: Duration,
        args: impl IntoIterator<Item = A>,
    ) -> Output {
        self.offsite_measured(time, args).0
    }

    /// The same, and the most memory that was resident, in MiB.
    pub(crate) fn offsite_measured<A: AsRef<OsStr>>(
        &self,
        time: Duration,
        args: impl IntoIterator<Item = A>,
    ) -> (Output, u64) {
        let child = self.spawn(args);
        let id = child.id();
        let (ended, has_ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || ended.send(finish(child.wait_with_output().unwrap())));
        let (deadline, mut peak) = (Instant::now() + time, 0);
        loop {
            peak = high_water_mib(id).max(peak);
            match has_ended.recv_timeout(Duration::from_millis(2)) {
                Ok(output) => return (output, peak),
                Err(_) if Instant::now() < deadline => {}
                Err(_) => {
                    let child = Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
                    kill_process(child, Signal::KILL).unwrap();
                    panic!("still running after {time:?}: {:?}", has_ended.recv());
                }
            }
        }
    }

    /// Runs the program as root without some of root's capabilities.
    pub(crate) fn offsite_without<A: AsRef<OsStr>>(
        &self,
        capabilities: &[&str],
        args: impl IntoIterator<Item = A>,
    ) -> Output {
        let without = format!("-{}", capabilities.join(",-"));
        let without = ["--inh-caps", &without, "--bounding-set", &without];
        finish(self.command_by("setpriv", &without, args).output().unwrap())
    }

    /// Runs the program as somebody else than root, who may do everything in the home directory.
    pub(crate) fn offsite_as<A: AsRef<OsStr>>(
        &self,
        user: u32,
        args: impl IntoIterator<Item = A>,
    ) -> Output {
        tree::set_mode(self.home.path(), 0o777);
        let user = user.to_string();
        let who = ["--reuid", &user, "--regid", &user, "--clear-groups"];
        finish(self.command_by("setpriv", &who, args).output().unwrap())
    }

    /// The program, not started, for another one to start.
    pub(crate) fn command_by<A: AsRef<OsStr>>(
        &self,
        starter: &str,
        its_args: &[&str],
        args: impl IntoIterator<Item = A>,
    ) -> Command {
        let command = self.command(args);
        let environment = command.get_envs();
        let mut by = Command::new(starter);
        by.args(its_args)
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear()
            .envs(environment.filter_map(|(name, value)| Some((name, value?))))
            .current_dir(self.home.path());
        by
    }

    /// Starts the program.
    pub(crate) fn spawn<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Child {
        let mut command = self.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Runs a pass, which must succeed.
    pub(crate) fn back_up(&self) -> Output {
        let output = self.offsite(["run"]);
        assert_eq!(output.code, 0, "{output:?}");
        output
    }

    /// The ids of all snapshots, the earliest first.
    pub(crate) fn snapshots(&self) -> Vec<String> {
        let output = self.offsite(["list", "--json"]);
        if output.code == 10 {
            return Vec::new();
        }
        assert_eq!(output.code, 0, "{output:?}");
        let listed: Vec<Value> = serde_json::from_str(&output.stdout).unwrap();
        let id = |snapshot: &Value| snapshot["id"].as_str().unwrap().to_owned();
        listed.iter().map(id).collect()
    }

    /// Restores a snapshot into a fresh directory, which it returns.
    pub(crate) fn restored(&self, snapshot: &str) -> PathBuf {
        let target = self.path(&format!("restored-{snapshot}"));
        let _ = std::fs::remove_dir_all(&target);
        let to = target.to_str().unwrap();
        let output = self.offsite([
            "restore",
            "--to",
            to,
            "--source",
            SOURCE,
            "--snapshot",
            snapshot,
        ]);
        assert_eq!(output.code, 0, "{output:?}");
        target
    }

    /// The latest snapshot, restored into a fresh directory.
    pub(crate) fn restored_latest(&self) -> PathBuf {
        self.restored(self.snapshots().last().unwrap())
    }

    /// Keys in the store, without the prefix.
    pub(crate) fn keys(&self) -> Vec<String> {
        let keys = self.server.keys(BUCKET);
        let own = |key: String| key.strip_prefix(PREFIX).unwrap().to_owned();
        keys.into_iter().map(own).collect()
    }

    /// A key as the store has it.
    pub(crate) fn full_key(&self, key: &str) -> String {
        format!("{PREFIX}{key}")
    }

    /// The shared objects of the latest snapshot.
    pub(crate) fn objects(&self) -> Vec<Value> {
        let keys = self.keys();
        let commits = keys.iter().filter(|key| key.starts_with("snapshots/"));
        let record = self.get(commits.max().expect("a snapshot"));
        let record: Value = serde_json::from_slice(&record).unwrap();
        let table = self.get(
            record["objects"]["key"]
                .as_str()
                .expect("a table of objects"),
        );
        let lines = String::from_utf8(zstd::decode_all(&table[..]).unwrap()).unwrap();
        let lines: Vec<Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        lines[1..lines.len() - 1].to_vec()
    }

    /// What lies under a key.
    fn get(&self, key: &str) -> Vec<u8> {
        let object = self.server.object(BUCKET, &self.full_key(key)).unwrap();
        object.bytes.to_vec()
    }

    /// The key of the only table of objects.
    pub(crate) fn table_key(&self) -> String {
        let keys = self.keys();
        let mut found = keys.iter().filter(|key| key.contains("/objects."));
        let key = found.next().expect("a table of objects");
        assert_eq!(found.next(), None, "{keys:#?}");
        key.clone()
    }

    /// The key of the only segment below this one.
    pub(crate) fn segment_key(&self, start: &str) -> String {
        let keys = self.keys();
        let is_segment = |key: &&String| {
            key.starts_with(start) && key.ends_with(".ndjson.zst") && !key.contains("/objects.")
        };
        let mut found = keys.iter().filter(is_segment);
        let key = found.next().expect("a segment");
        assert_eq!(found.next(), None, "{keys:#?}");
        key.clone()
    }

    /// The one key that begins and ends so.
    pub(crate) fn key_like(&self, start: &str, end: &str) -> String {
        let keys = self.keys();
        let mut found = keys
            .iter()
            .filter(|key| key.starts_with(start) && key.ends_with(end));
        let key = found
            .next()
            .unwrap_or_else(|| panic!("no {start}…{end} in {keys:#?}"));
        assert_eq!(found.next(), None, "{keys:#?}");
        key.clone()
    }

    /// The requests that `work` makes.
    pub(crate) fn requests_of(&self, work: impl FnOnce()) -> Vec<LoggedRequest> {
        self.server.clear_requests();
        work();
        self.server.requests()
    }

    /// Moves the store's clock past the end of any lease.
    pub(crate) fn expire_leases(&self) {
        self.server.clock().advance(Duration::from_secs(3600));
    }
}

/// Keys of files that the requests have sent, without pass and prefix.
pub(crate) fn uploads(requests: &[LoggedRequest]) -> Vec<String> {
    let mut sent: Vec<String> = requests
        .iter()
        .filter(|request| request.status == Some(200))
        .filter(|request| {
            let operation = request.operation;
            operation == Operation::PutObject || operation == Operation::CompleteMultipartUpload
        })
        .filter_map(|request| {
            let key = request.key.as_deref()?.strip_prefix(PREFIX)?;
            let rest = key.strip_prefix("files/data/")?;
            Some(rest.split_once('/')?.1.to_owned())
        })
        .collect();
    sent.sort();
    sent
}

/// The most memory of a process that was resident at once, in MiB; 0 once it is gone.
pub(crate) fn high_water_mib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.map_or(0, |kib| kib.parse::<u64>().unwrap() >> 10)
}

/// Collects a process's output.
pub(crate) fn finish(output: std::process::Output) -> Output {
    use std::os::unix::process::ExitStatusExt;
    let code = output.status.code();
    Output {
        code: code.unwrap_or_else(|| -output.status.signal().unwrap_or(0)),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Output {
    /// The events on standard output.
    pub(crate) fn events(&self) -> Vec<Value> {
        let lines = self.stdout.lines();
        let event =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        lines.map(event).collect()
    }

    /// The events of one name.
    pub(crate) fn events_named(&self, name: &str) -> Vec<Value> {
        let mut events = self.events();
        events.retain(|event| event["event"] == name);
        events
    }

    /// The only event of one name.
    pub(crate) fn event(&self, name: &str) -> Value {
        let mut events = self.events_named(name);
        assert_eq!(events.len(), 1, "{name} in {self:?}");
        events.remove(0)
    }
}

/// The AWS CLI, which `make test` installs.
pub(crate) fn aws_cli() -> PathBuf {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/aws");
    match std::env::var_os("AWS_CLI") {
        Some(path) => path.into(),
        None if venv.exists() => venv,
        None => panic!("there is no AWS CLI: run `make test`, which installs it"),
    }
}

/// Deterministic bytes that do not compress.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&next());
    }
    bytes.truncate(length);
    bytes
}

/// A file name as a path.
pub(crate) fn os(bytes: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(OsStr::from_bytes(bytes))
}

/// Whether a key is that of the record of a shared object that is complete.
pub(crate) fn is_object_record(key: &str) -> bool {
    key.contains("/object-") && key.ends_with(".json")
}

/// Whether tests may take hours, as `make test-long` has it.
pub(crate) fn long() -> bool {
    std::env::var_os("OFFSITE_TEST_LONG").is_some()
}
