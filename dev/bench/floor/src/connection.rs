//! A connection that puts or gets one piece after the other.

use crate::Failure;
use crate::body::Whole;
use crate::piece::{Piece, Pieces};
use crate::target::Target;
use hyper::body::{Body as _, Bytes, Frame};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::future::poll_fn;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use tokio::net::TcpStream;

/// As long as a signature is, and as opaque to the sink.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 \
    Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
    SignedHeaders=content-length;host;if-none-match;x-amz-content-sha256;x-amz-date, \
    Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd";

/// The SHA-256 of no bytes.
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

pub(crate) struct Connection {
    sender: SendRequest<Whole>,
    authority: String,
    prefix: String,
    /// Used again for each piece.
    buffer: Arc<Vec<u8>>,
}

impl Connection {
    pub(crate) async fn open(authority: &str, prefix: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(authority).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self {
            sender,
            authority: authority.to_owned(),
            prefix: prefix.to_owned(),
            buffer: Arc::default(),
        })
    }

    /// Reads, hashes and sends a piece, and waits for the answer.
    pub(crate) async fn put(&mut self, piece: &Piece, pieces: &Pieces) -> Result<(), Failure> {
        // hyper has given it back by now; if it had not, this would be another one.
        pieces.read(piece, Arc::make_mut(&mut self.buffer))?;
        let request = self.request(piece)?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        read_to_end(answer).await?;
        if !status.is_success() {
            return Err(format!("{status} for {}", piece.path.display()).into());
        }
        Ok(())
    }

    /// Fetches a piece, and writes what arrives as it arrives.
    pub(crate) async fn get(&mut self, piece: &Piece, target: &Target) -> Result<(), Failure> {
        let path = piece.path.to_str().ok_or("a name is not UTF-8")?;
        let mut request = Request::get(format!("{}/{path}", self.prefix))
            .header("host", &self.authority)
            .header("x-amz-content-sha256", EMPTY_SHA256)
            .header("x-amz-date", "20130524T000000Z")
            .header("authorization", AUTHORIZATION);
        if !piece.is_whole {
            let last = piece.offset + piece.bytes - 1;
            request = request.header("range", format!("bytes={}-{last}", piece.offset));
        }
        self.sender.ready().await?;
        let answer = self.sender.send_request(request.body(Whole(None))?).await?;
        if !answer.status().is_success() {
            return Err(format!("{} for {path}", answer.status()).into());
        }
        let file = target.open(piece)?;
        let mut at = piece.offset;
        let mut body = answer.into_body();
        while let Some(frame) = next_frame(&mut body).await {
            if let Ok(data) = frame?.into_data() {
                file.write_all_at(&data, at)?;
                at += data.len() as u64;
            }
        }
        Ok(())
    }

    fn request(&self, piece: &Piece) -> Result<Request<Whole>, Failure> {
        let path = piece.path.to_str().ok_or("a name is not UTF-8")?;
        let mut target = format!("{}/{path}", self.prefix);
        if piece.offset > 0 {
            write!(target, ".{}", piece.offset)?;
        }
        let mut sha256 = String::with_capacity(64);
        for byte in Sha256::digest(self.buffer.as_slice()) {
            write!(sha256, "{byte:02x}")?;
        }
        let request = Request::put(target)
            .header("host", &self.authority)
            .header("content-length", self.buffer.len())
            .header("if-none-match", "*")
            .header("x-amz-content-sha256", sha256)
            .header("x-amz-date", "20130524T000000Z")
            .header("authorization", AUTHORIZATION);
        Ok(request.body(Whole::new(Arc::clone(&self.buffer)))?)
    }
}

async fn read_to_end(answer: Response<Incoming>) -> hyper::Result<()> {
    let mut body = answer.into_body();
    while let Some(frame) = next_frame(&mut body).await {
        frame?;
    }
    Ok(())
}

async fn next_frame(body: &mut Incoming) -> Option<hyper::Result<Frame<Bytes>>> {
    poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await
}
