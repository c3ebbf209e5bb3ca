//! The options of a server, and starting it.

use crate::auth::{Credentials, ageless_signatures};
use crate::bucket::Bucket;
use crate::checksum::ChecksumsOfParts;
use crate::clock::Clock;
use crate::faults::Faults;
use crate::hook::HookSlot;
use crate::http::Frontend;
use crate::log::RequestLog;
use crate::s3::{Backend, COPY_LIMIT};
use crate::series;
use crate::server::LocalS3;
use crate::state::State;
use crate::versions::Versioning;
use s3s::service::S3ServiceBuilder;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

/// Options of a [`LocalS3`].
#[derive(Debug)]
#[must_use = "no server runs before `start`"]
pub struct Builder {
    address: SocketAddr,
    buckets: Vec<String>,
    versioned: Vec<String>,
    generated: Vec<(String, u64)>,
    credentials: Credentials,
    is_anonymous: bool,
    persist_in: Option<PathBuf>,
    restores_stay_pending: bool,
    ignores_if_match: bool,
    ignores_if_none_match: bool,
    ignores_conditions_of_parts: bool,
    ignores_conditions_of_copies: bool,
    ignores_conditions_of_sources: bool,
    copy_limit: u64,
    checksums_of_parts: ChecksumsOfParts,
    keeps_requests: bool,
    request_lines: Option<PathBuf>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            // Port 0: the system chooses a free one.
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            buckets: Vec::new(),
            versioned: Vec::new(),
            generated: Vec::new(),
            credentials: Credentials::default(),
            is_anonymous: false,
            persist_in: None,
            restores_stay_pending: false,
            ignores_if_match: false,
            ignores_if_none_match: false,
            ignores_conditions_of_parts: false,
            ignores_conditions_of_copies: false,
            ignores_conditions_of_sources: false,
            copy_limit: COPY_LIMIT,
            checksums_of_parts: ChecksumsOfParts::default(),
            keeps_requests: true,
            request_lines: None,
        }
    }
}

impl LocalS3 {
    /// The options; [`Builder::start`] starts a server.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Builder {
    /// Creates a bucket at the start, unless it was loaded from disk. May be called several times.
    pub fn bucket(mut self, name: impl Into<String>) -> Self {
        self.buckets.push(name.into());
        self
    }

    /// Creates a bucket at the start that keeps versions.
    pub fn versioned_bucket(mut self, name: impl Into<String>) -> Self {
        self.versioned.push(name.into());
        self
    }

    /// Creates a bucket at the start with `count` objects that are computed and need no memory, with
    /// keys such as `000012/0000012345.pdf` in the order of their numbers and up to 288 bytes each.
    /// Copies of them that keep that name behind another prefix need none either.
    pub fn generated_bucket(mut self, name: impl Into<String>, count: u64) -> Self {
        self.generated.push((name.into(), count));
        self
    }

    /// Listens on this port of 127.0.0.1 instead of a free one.
    pub fn port(mut self, port: u16) -> Self {
        self.address.set_port(port);
        self
    }

    /// Listens here. The start fails unless it is a loopback address.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Accepts signatures made with this key instead of `test` and `test`.
    pub fn credentials(
        mut self,
        access_key: impl Into<String>,
        secret_key: impl Into<String>,
    ) -> Self {
        self.credentials = Credentials {
            access_key: access_key.into(),
            secret_key: secret_key.into(),
        };
        self
    }

    /// Accepts everybody, with any signature or none.
    pub fn anonymous(mut self) -> Self {
        self.is_anonymous = true;
        self
    }

    /// Keeps objects in this folder, and starts with those that are there. Open uploads are not
    /// kept.
    pub fn persist_in(mut self, folder: impl Into<PathBuf>) -> Self {
        self.persist_in = Some(folder.into());
        self
    }

    /// `RestoreObject` is accepted, but archived objects never become readable.
    pub fn restores_stay_pending(mut self) -> Self {
        self.restores_stay_pending = true;
        self
    }

    /// Applies writes whatever their `If-Match` says, as stores do that do not know it.
    pub fn ignores_if_match(mut self) -> Self {
        self.ignores_if_match = true;
        self
    }

    /// Applies writes whatever their `If-None-Match` says, as stores do that do not know it.
    pub fn ignores_if_none_match(mut self) -> Self {
        self.ignores_if_none_match = true;
        self
    }

    /// Makes parts an object whatever the condition of that says.
    pub fn ignores_conditions_of_parts(mut self) -> Self {
        self.ignores_conditions_of_parts = true;
        self
    }

    /// Writes copies whatever the `If-Match` and `If-None-Match` of their target say, as most servers
    /// do that are not AWS's. Other writes keep their conditions.
    pub fn ignores_conditions_of_copies(mut self) -> Self {
        self.ignores_conditions_of_copies = true;
        self
    }

    /// Copies objects and parts whatever the conditions on the source say.
    pub fn ignores_conditions_of_sources(mut self) -> Self {
        self.ignores_conditions_of_sources = true;
        self
    }

    /// Refuses to copy more than this many bytes in one request instead of more than 5 GiB, so that a
    /// test reaches the limit without gigabytes.
    pub fn copy_limit(mut self, bytes: u64) -> Self {
        self.copy_limit = bytes;
        self
    }

    /// Knows less of the checksums of objects that are sent in parts than AWS does.
    pub fn checksums_of_parts(mut self, known: ChecksumsOfParts) -> Self {
        self.checksums_of_parts = known;
        self
    }

    /// Keeps no requests in memory: [`LocalS3::requests`] is always empty. For servers that run for
    /// long.
    pub fn forget_requests(mut self) -> Self {
        self.keeps_requests = false;
        self
    }

    /// Appends one JSON line for each finished request to this file.
    pub fn log_requests(mut self, file: impl Into<PathBuf>) -> Self {
        self.request_lines = Some(file.into());
        self
    }

    /// Starts the server on a thread of its own and returns once it listens. Works within and
    /// without an async runtime.
    ///
    /// # Errors
    ///
    /// The address is not a loopback address or is taken; a bucket's name is not a valid one; a
    /// folder or file cannot be used.
    pub fn start(self) -> io::Result<LocalS3> {
        let clock = Clock::default();
        let state = match &self.persist_in {
            Some(root) => State::load(root, clock.now())?,
            None => State::default(),
        };
        let state = Arc::new(state);
        let mut backend = Backend::new(Arc::clone(&state), clock.clone());
        backend.persist_in = self.persist_in;
        backend.restores_stay_pending = self.restores_stay_pending;
        backend.ignores_if_match = self.ignores_if_match;
        backend.ignores_if_none_match = self.ignores_if_none_match;
        backend.ignores_conditions_of_parts = self.ignores_conditions_of_parts;
        backend.ignores_conditions_of_copies = self.ignores_conditions_of_copies;
        backend.ignores_conditions_of_sources = self.ignores_conditions_of_sources;
        backend.copy_limit = self.copy_limit;
        backend.checksums_of_parts = self.checksums_of_parts;
        for name in &self.buckets {
            create_bucket(&backend, name)?;
        }
        for name in &self.versioned {
            create_bucket(&backend, name)?;
            let enable = |bucket: &mut Bucket| bucket.set_versioning(Versioning::Enabled);
            let enabled = backend.state.with_bucket(name, enable);
            enabled.map_err(io::Error::other)?;
        }
        for (name, count) in &self.generated {
            generate(&backend, name, *count)?;
        }
        let lines = self
            .request_lines
            .map(|path| File::options().create(true).append(true).open(path))
            .transpose()?;
        let mut service = S3ServiceBuilder::new(backend);
        service.set_config(ageless_signatures());
        if !self.is_anonymous {
            service.set_auth(self.credentials.clone());
        }
        let frontend = Frontend {
            service: service.build(),
            clock,
            log: Arc::new(RequestLog::new(self.keeps_requests, lines)),
            faults: Faults::default(),
            hook: HookSlot::default(),
            is_anonymous: self.is_anonymous,
        };
        LocalS3::listen(self.address, Arc::new(frontend), state, self.credentials)
    }
}

fn generate(backend: &Backend, name: &str, count: u64) -> io::Result<()> {
    if count > series::MOST || backend.persist_in.is_some() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "`{name}`: at most {} objects are generated, and none on disk",
                series::MOST
            ),
        ));
    }
    create_bucket(backend, name)?;
    let generated = backend.state.with_bucket(name, |bucket| {
        bucket.generate(count);
        Ok(())
    });
    generated.map_err(io::Error::other)
}

fn create_bucket(backend: &Backend, name: &str) -> io::Result<()> {
    if !s3s::path::check_bucket_name(name) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "`{name}` is not a bucket name: 3 to 63 lower-case letters, digits, dots and \
                 hyphens"
            ),
        ));
    }
    match backend.create_bucket(name) {
        Err(error) if *error.code() != s3s::S3ErrorCode::BucketAlreadyOwnedByYou => {
            Err(io::Error::other(error))
        }
        _ => Ok(()),
    }
}
