//! Why a request could not be forwarded, and what the client is told.

use super::upstream::UpstreamError;
use crate::capture::BodyError;
use crate::record::{ErrorType, EventId};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Method, Response, StatusCode};
use std::io;
use thiserror::Error;

/// Why a request could not be forwarded.
#[derive(Debug, Error)]
pub enum ForwardError {
    /// No connection to the upstream could be made.
    #[error("cannot connect to the upstream {authority}")]
    Connect {
        /// The upstream.
        authority: String,
        /// Why.
        source: io::Error,
    },
    /// TLS with the upstream could not be agreed on: its certificate, or ours, or the versions.
    #[error("no TLS with the upstream {authority}")]
    Tls {
        /// The upstream.
        authority: String,
        /// Why.
        source: io::Error,
    },
    /// The connection to the upstream was not made in time.
    #[error("connecting to the upstream {authority} took too long")]
    ConnectTimeout {
        /// The upstream.
        authority: String,
    },
    /// The upstream did not answer in time.
    #[error("the upstream did not answer in time")]
    ResponseTimeout,
    /// The whole request took longer than allowed.
    #[error("the request took longer than allowed")]
    Deadline,
    /// The upstream broke off, or answered with what is not HTTP.
    #[error("the upstream did not complete its answer")]
    Upstream(#[source] UpstreamError),
    /// The request's own body failed; why is in the account.
    #[error("the request's body could not be read")]
    RequestBody(ErrorType),
    /// The upstream switched protocols, which was not asked for.
    #[error("the upstream switched protocols without being asked")]
    Switched,
    /// The request is refused here.
    #[error("{reason}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// What goes on record.
        error: ErrorType,
        /// What the client is told.
        reason: &'static str,
    },
}

impl ForwardError {
    /// A refusal.
    #[must_use]
    pub const fn refused(status: StatusCode, error: ErrorType, reason: &'static str) -> Self {
        Self::Refused { status, error, reason }
    }

    /// The status that the client gets.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Connect { .. } | Self::Tls { .. } | Self::Upstream(_) | Self::Switched => {
                StatusCode::BAD_GATEWAY
            }
            Self::ConnectTimeout { .. } | Self::ResponseTimeout | Self::Deadline => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::RequestBody(ErrorType::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RequestBody(ErrorType::ClientTimeout) => StatusCode::REQUEST_TIMEOUT,
            Self::RequestBody(_) => StatusCode::BAD_REQUEST,
            Self::Refused { status, .. } => *status,
        }
    }

    /// What goes on record.
    #[must_use]
    pub fn error_type(&self) -> ErrorType {
        match self {
            Self::Connect { .. } => ErrorType::UpstreamConnect,
            Self::Tls { .. } => ErrorType::UpstreamTls,
            Self::ConnectTimeout { .. } | Self::ResponseTimeout => ErrorType::UpstreamTimeout,
            Self::Deadline => ErrorType::Deadline,
            Self::Upstream(error) if error.is_of_form() => ErrorType::UpstreamProtocol,
            Self::Upstream(_) => ErrorType::UpstreamReset,
            Self::Switched => ErrorType::UpstreamProtocol,
            Self::RequestBody(error) | Self::Refused { error, .. } => *error,
        }
    }

    /// The response that the client gets: a small JSON object which names the error and
    /// the event, so that both sides can find it on record. Nothing of the upstream's
    /// address is told.
    #[must_use]
    pub fn response(&self, method: &Method, event: EventId) -> Response<Bytes> {
        let status = self.status();
        let reason = match self {
            Self::Refused { reason, .. } => reason,
            Self::Connect { .. } | Self::Tls { .. } => "the upstream cannot be reached",
            Self::ConnectTimeout { .. } | Self::ResponseTimeout => "the upstream did not answer in time",
            Self::Deadline => "the request took longer than allowed",
            Self::Upstream(_) | Self::Switched => "the upstream did not complete its answer",
            Self::RequestBody(ErrorType::TooLarge) => "the request body is too large",
            Self::RequestBody(ErrorType::ClientTimeout) => "the request body did not come in time",
            Self::RequestBody(_) => "the request body could not be read",
        };
        let error = self.error_type().as_str();
        let text = format!("{{\"error\":\"{error}\",\"message\":\"{reason}\",\"event.id\":\"{event}\"}}\n");
        let length = HeaderValue::from(text.len());
        let body = if *method == Method::HEAD { Bytes::new() } else { Bytes::from(text) };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().insert(http::header::CONTENT_LENGTH, length);
        if matches!(self, Self::Refused { error: ErrorType::Malformed, .. }) {
            // Whoever sends this may mean what follows it in another way than we read it.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        // A client's rate is at least one a second: by then there is room again.
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Why a response body broke off.
#[derive(Debug, Error)]
pub enum ResponseBodyError {
    /// The upstream broke off.
    #[error("the upstream broke off in the response body")]
    Upstream(#[source] UpstreamError),
    /// The upstream paused for too long.
    #[error("the upstream paused for too long in the response body")]
    Timeout,
    /// The whole exchange took longer than allowed.
    #[error("the request took longer than allowed")]
    Deadline,
}

impl BodyError for ResponseBodyError {
    fn error_type(&self) -> ErrorType {
        match self {
            Self::Upstream(error) if error.is_of_form() => ErrorType::UpstreamProtocol,
            Self::Upstream(_) => ErrorType::UpstreamReset,
            Self::Timeout => ErrorType::UpstreamTimeout,
            Self::Deadline => ErrorType::Deadline,
        }
    }
}
