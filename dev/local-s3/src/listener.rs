//! A thread with its own runtime that serves HTTP/1.1 on a loopback address until it is told to
//! stop.
//!
//! The runtime is not the caller's, so that a server works in plain tests, in async tests, and in
//! those that block their runtime.

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::oneshot;
use tracing::subscriber::{DefaultGuard, NoSubscriber, set_default};

/// Tests share a machine of few cores with what they test.
const WORKERS: usize = 2;

/// How long a stop waits for code that blocks a worker, such as a hook.
const PATIENCE: Duration = Duration::from_secs(5);

/// A running listener; dropping it closes every connection and waits for the thread.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Binds `address` and serves each request with `serve`. An error of `serve` closes its
    /// connection.
    pub(crate) fn start<Serve, Answer, Content, Failure>(
        address: SocketAddr,
        serve: Serve,
    ) -> io::Result<Self>
    where
        Serve: Fn(Request<Incoming>) -> Answer + Clone + Send + Sync + 'static,
        Answer: Future<Output = Result<Response<Content>, Failure>> + Send + 'static,
        Content: Body + Send + 'static,
        Content::Data: Send,
        Content::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        Failure: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        if !address.ip().is_loopback() {
            let message = format!(
                "{address} is not a loopback address, and this server is for this machine only"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let socket = TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .on_thread_start(be_silent)
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new()
            .name("local-s3".to_owned())
            .spawn(move || {
                runtime.spawn(accept(socket, serve));
                // Ends when the sender is dropped.
                let _ = runtime.block_on(stopped);
                runtime.shutdown_timeout(PATIENCE);
            })?;
        Ok(Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

async fn accept<Serve, Answer, Content, Failure>(
    socket: TcpListener,
    serve: Serve,
) -> io::Result<()>
where
    Serve: Fn(Request<Incoming>) -> Answer + Clone + Send + Sync + 'static,
    Answer: Future<Output = Result<Response<Content>, Failure>> + Send + 'static,
    Content: Body + Send + 'static,
    Content::Data: Send,
    Content::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    Failure: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
{
    let socket = tokio::net::TcpListener::from_std(socket)?;
    loop {
        // A connection that is gone before it is accepted is no reason to stop.
        let Ok((stream, _)) = socket.accept().await else {
            continue;
        };
        stream.set_nodelay(true)?;
        let serve = serve.clone();
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(None)
                .serve_connection(TokioIo::new(stream), service_fn(serve));
            // Connections end in errors when faults close them, and when clients die.
            let _ = connection.await;
        });
    }
}

/// s3s reports every refused request as an error. Those reports must not end up in what a program
/// under test in the same process says.
fn be_silent() {
    thread_local! {
        static SILENCE: DefaultGuard = set_default(NoSubscriber::new());
    }
    SILENCE.with(|_| ());
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
