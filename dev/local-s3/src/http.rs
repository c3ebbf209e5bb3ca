//! What stands between the connection and the S3 service: log, hook, faults, clock.
//!
//! The order is fixed: note the request, ask the hook, strike with a fault, let the service handle
//! it, answer. To close a connection without an answer is to return [`Closed`]; nothing else makes
//! this service fail.

use crate::body::{Corruption, Download, Upload};
use crate::clock::Clock;
use crate::faults::{Damage, Effect, Faults};
use crate::hook::{HookAction, HookSlot, RequestInfo};
use crate::log::{Exchange, RequestLog};
use crate::operation::Target;
use crate::unsign;
use http::header::{CONTENT_LENGTH, DATE, EXPECT, RANGE, SERVER};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use s3s::service::S3Service;
use s3s::{HttpResponse, S3Error, S3ErrorCode};
use std::sync::Arc;

/// Everything a connection needs to serve requests.
#[derive(Debug)]
pub(crate) struct Frontend {
    pub(crate) service: S3Service,
    pub(crate) clock: Clock,
    pub(crate) log: Arc<RequestLog>,
    pub(crate) faults: Faults,
    pub(crate) hook: HookSlot,
    /// Whether signatures are removed instead of verified.
    pub(crate) is_anonymous: bool,
}

/// The connection is to be closed without an answer.
#[derive(Debug)]
pub(crate) struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("closed on purpose")
    }
}

impl std::error::Error for Closed {}

impl Frontend {
    pub(crate) async fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Download>, Closed> {
        let exchange = self.log.open(describe(&request));
        let after = match self.hook.ask(exchange.info()).await {
            HookAction::Proceed => None,
            HookAction::DropBefore => return Err(Closed),
            HookAction::HandleThenDrop(callback) => Some(callback),
            HookAction::DropThenHandle(held, after) => {
                self.handle_late(request, &exchange, held, after).await;
                return Err(Closed);
            }
        };
        let (fault, _counted) = self.faults.strike(exchange.info());
        let (delay, effect) = fault.map_or((None, Effect::None), |fault| {
            (Some(fault.delay), fault.effect)
        });
        if let Some(delay) = delay.filter(|delay| !delay.is_zero()) {
            tokio::time::sleep(delay).await;
        }
        let response = match &effect {
            Effect::DropBefore => return Err(Closed),
            Effect::Hang => std::future::pending().await,
            Effect::Status { status, code } => {
                swallow(request, &exchange).await;
                refusal(*status, code)
            }
            Effect::Forged { forge, is_applied } => {
                match is_applied {
                    true => drop(self.handle(request, &exchange, false).await?),
                    false => swallow(request, &exchange).await,
                }
                forge.response(exchange.info())
            }
            _ => {
                self.handle(request, &exchange, effect == Effect::CorruptUpload)
                    .await?
            }
        };
        if let Some(callback) = after {
            if let Some(callback) = callback {
                callback();
            }
            return Err(Closed);
        }
        match effect {
            Effect::DropAfter => Err(Closed),
            Effect::Download(damage) => Ok(self.answer(response, exchange, Some(damage))),
            Effect::Header(name, value) => {
                let mut answer = self.answer(response, exchange, None);
                // A length that is not the body's is the header's alone.
                if name == CONTENT_LENGTH {
                    answer.body_mut().hide_length();
                }
                answer.headers_mut().remove(&name);
                answer
                    .headers_mut()
                    .extend(value.map(|value| (name, value)));
                Ok(answer)
            }
            Effect::DateAhead(by) => {
                let mut answer = self.answer(response, exchange, None);
                let date = httpdate::fmt_http_date(self.clock.now() + by);
                if let Ok(date) = HeaderValue::from_str(&date) {
                    answer.headers_mut().insert(DATE, date);
                }
                Ok(answer)
            }
            _ => Ok(self.answer(response, exchange, None)),
        }
    }

    async fn handle(
        &self,
        request: Request<Incoming>,
        exchange: &Exchange,
        is_corrupted: bool,
    ) -> Result<HttpResponse, Closed> {
        let corruption =
            is_corrupted.then(|| Corruption::new(unsign::is_chunked(request.headers())));
        let awaits_continue = request.headers().contains_key(EXPECT);
        let (parts, incoming) = request.into_parts();
        let (upload, rest) = Upload::new(incoming, Arc::clone(exchange.entry()), corruption);
        let mut request = Request::from_parts(parts, s3s::Body::http_body_unsync(upload));
        if self.is_anonymous {
            request = match unsign::remove_signature(request).await {
                Ok(request) => request,
                Err(error) => return Ok(xml(error)),
            };
        }
        // The service's futures are large; boxing one keeps that of the connection small.
        let response = Box::pin(self.service.call(request))
            .await
            .map_err(|_| Closed)?;
        if !(awaits_continue && exchange.entry().received() == 0) {
            rest.drain().await;
        }
        Ok(response)
    }

    /// Takes the whole request, and handles it when `held` returns.
    async fn handle_late(
        self: &Arc<Self>,
        request: Request<Incoming>,
        exchange: &Exchange,
        held: Box<dyn FnOnce() + Send>,
        after: Box<dyn FnOnce() + Send>,
    ) {
        let (parts, incoming) = request.into_parts();
        let (upload, _) = Upload::new(incoming, Arc::clone(exchange.entry()), None);
        let Ok(body) = upload.collect().await else {
            return;
        };
        let request = Request::from_parts(parts, s3s::Body::from(body.to_bytes()));
        let this = Arc::clone(self);
        tokio::spawn(async move {
            if tokio::task::spawn_blocking(held).await.is_ok() {
                let _ = this.service.call(request).await;
                after();
            }
        });
    }

    fn answer(
        &self,
        response: HttpResponse,
        exchange: Exchange,
        damage: Option<Damage>,
    ) -> Response<Download> {
        let (mut parts, body) = response.into_parts();
        let index = exchange.info().index;
        exchange.entry().set_status(parts.status.as_u16());
        let headers = &mut parts.headers;
        let date = httpdate::fmt_http_date(self.clock.now());
        headers.extend(HeaderValue::from_str(&date).ok().map(|date| (DATE, date)));
        headers.insert(SERVER, HeaderValue::from_static("local-s3"));
        headers.insert("x-amz-request-id", HeaderValue::from(index));
        if let Some(Damage::Shorten(length)) = damage
            && let Some(old) = headers
                .get(CONTENT_LENGTH)
                .and_then(|old| old.to_str().ok()?.parse::<u64>().ok())
        {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length.min(old)));
        }
        Response::from_parts(parts, Download::new(body, exchange, damage))
    }
}

/// Reads a request that nobody handles: a client that is still sending would lose the answer.
async fn swallow(request: Request<Incoming>, exchange: &Exchange) {
    let (upload, _) = Upload::new(request.into_body(), Arc::clone(exchange.entry()), None);
    let _ = upload.collect().await;
}

fn refusal(status: u16, code: &str) -> HttpResponse {
    let mut error = S3Error::with_message(
        S3ErrorCode::Custom(code.into()),
        "A fault that a test asked for.",
    );
    let status = StatusCode::from_u16(status);
    error.set_status_code(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    xml(error)
}

fn xml(error: S3Error) -> HttpResponse {
    error.to_http_response().unwrap_or_default()
}

fn describe(request: &Request<Incoming>) -> RequestInfo {
    let target = Target::of(request.method(), request.uri(), request.headers());
    let range = request
        .headers()
        .get(RANGE)
        .and_then(|range| range.to_str().ok());
    RequestInfo {
        // The log knows the number.
        index: 0,
        operation: target.operation,
        method: request.method().to_string(),
        bucket: target.bucket,
        key: target.key,
        query: request.uri().query().unwrap_or_default().to_owned(),
        range: range.map(str::to_owned),
        headers: request.headers().clone(),
    }
}
