//! A moto server: another opinion on what S3 does, and all there is on other services of AWS.

use std::env;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Importing moto takes seconds on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running moto server; its process ends with this value.
#[derive(Debug)]
pub struct Moto {
    child: Child,
    port: u16,
}

impl Moto {
    /// Starts one, of `make test`'s installation or the executable that `MOTO_SERVER` names.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn start() -> Self {
        // The port is free now and hardly taken by another in the moment until moto binds it.
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("loopback has a free port")
            .port();
        let mut command = Command::new(executable());
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto starts");
        let mut moto = Self { child, port };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < PATIENCE, "moto does not listen");
            assert!(matches!(moto.child.try_wait(), Ok(None)), "moto ended");
            thread::sleep(Duration::from_millis(50));
        }
        moto
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn executable() -> PathBuf {
    if let Some(path) = env::var_os("MOTO_SERVER") {
        return path.into();
    }
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/moto_server");
    assert!(
        installed.exists(),
        "there is no moto server; run `make test`, which installs it"
    );
    installed
}
