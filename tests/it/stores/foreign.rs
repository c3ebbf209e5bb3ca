//! Servers that nobody here wrote, as `dev/setup test` installs them.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use local_s3::Moto;

/// For a server to listen, on a busy machine; one of them starts a Java.
const PATIENCE: Duration = Duration::from_secs(240);

/// The access key and the secret key that each of them takes.
pub(crate) const KEY: &str = "test";

/// A server; its process ends with this value.
pub(crate) struct Foreign {
    pub(crate) url: String,
    _running: Running,
}

enum Running {
    Moto {
        _moto: Moto,
    },
    Process {
        child: Child,
        _folder: tempfile::TempDir,
    },
}

impl Foreign {
    pub(crate) fn moto() -> Self {
        let moto = Moto::start();
        Self {
            url: moto.url(),
            _running: Running::Moto { _moto: moto },
        }
    }

    /// `None` where there is no Go that builds it.
    pub(crate) fn versitygw() -> Option<Self> {
        let installed = installed("bin/versitygw")?;
        Some(Self::start(|address, folder| {
            let mut command = Command::new(installed);
            command
                .args(["--port", &address.to_string(), "posix"])
                .arg(folder)
                .env("ROOT_ACCESS_KEY", KEY)
                .env("ROOT_SECRET_KEY", KEY);
            command
        }))
    }

    /// `None` where there is no Java that runs it.
    pub(crate) fn s3mock() -> Option<Self> {
        let installed = installed("s3mock.jar")?;
        Some(Self::start(|address, folder| {
            let mut command = Command::new("java");
            command
                .arg(format!("-Djava.io.tmpdir={}", folder.display()))
                .arg("-jar")
                .arg(installed)
                // Its other port speaks TLS.
                .arg("--server.port=0")
                .arg(format!(
                    "--com.adobe.testing.s3mock.httpPort={}",
                    address.port()
                ));
            command
        }))
    }

    fn start(command: impl FnOnce(SocketAddr, &Path) -> Command) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let folder = tempfile::tempdir().unwrap();
        let mut command = command(address, folder.path());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let server = Self {
            url: format!("http://{address}"),
            _running: Running::Process {
                child: command.spawn().unwrap(),
                _folder: folder,
            },
        };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(begun.elapsed() < PATIENCE, "{command:?} does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// Asks it as somebody else than the program.
    pub(crate) fn client(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .endpoint_url(&self.url)
            .credentials_provider(Credentials::new(KEY, KEY, None, None, "test"))
            .force_path_style(true)
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }

    /// Makes a bucket, unless it is there.
    pub(crate) async fn create_bucket(&self, bucket: &str) {
        let client = self.client();
        if client.head_bucket().bucket(bucket).send().await.is_err() {
            client.create_bucket().bucket(bucket).send().await.unwrap();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Self::Process { child, .. } = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn installed(name: &str) -> Option<PathBuf> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools");
    let installed = tools.join(name);
    if installed.exists() {
        return Some(installed);
    }
    // Not by a macro whose output the test harness keeps.
    let _ = writeln!(
        std::io::stderr(),
        "skipped: {name} could not be installed here"
    );
    None
}
