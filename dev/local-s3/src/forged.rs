//! Answers that are not the server's: of whatever may stand between a client and its store, or of a
//! store that is out of its mind.

use crate::hook::RequestInfo;
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{Response, StatusCode};
use s3s::HttpResponse;
use std::fmt;
use std::sync::Arc;

/// An answer that a test has made up.
#[derive(Clone, Debug)]
pub struct Answer {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl Answer {
    /// Nothing but a status.
    ///
    /// # Panics
    ///
    /// If there is no such status.
    #[must_use]
    pub fn new(status: u16) -> Self {
        let status = StatusCode::from_u16(status);
        Self {
            status: status.unwrap_or_else(|error| panic!("{error}")),
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// The page of a captive portal: status 200 and HTML, whatever was asked.
    #[must_use]
    pub fn portal() -> Self {
        let page = "<!DOCTYPE html><html><body>Please accept our terms.</body></html>";
        Self::new(200)
            .header("content-type", "text/html")
            .body(page)
    }

    /// With a header.
    ///
    /// # Panics
    ///
    /// If name or value cannot stand in an answer.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((header_name(name), header_value(value)));
        self
    }

    /// With a body.
    #[must_use]
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            ..self
        }
    }

    pub(crate) fn into_response(self) -> HttpResponse {
        let mut response = Response::new(s3s::Body::from(self.body));
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        response
    }
}

pub(crate) fn header_name(name: &str) -> HeaderName {
    name.parse()
        .unwrap_or_else(|error| panic!("header `{name}`: {error}"))
}

pub(crate) fn header_value(value: &str) -> HeaderValue {
    value
        .parse()
        .unwrap_or_else(|error| panic!("header value `{value}`: {error}"))
}

/// Makes up the answer to a request.
#[derive(Clone)]
pub(crate) struct Forge(Arc<dyn Fn(&RequestInfo) -> Answer + Send + Sync>);

impl Forge {
    pub(crate) fn new(forge: impl Fn(&RequestInfo) -> Answer + Send + Sync + 'static) -> Self {
        Self(Arc::new(forge))
    }

    pub(crate) fn response(&self, request: &RequestInfo) -> HttpResponse {
        (self.0)(request).into_response()
    }
}

impl fmt::Debug for Forge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Forge").finish_non_exhaustive()
    }
}

impl PartialEq for Forge {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Forge {}
