//! Requests that can't be answered.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// How long who is turned away should wait, in seconds.
const RETRY_AFTER: &str = "1";
/// The most characters of a message: it may repeat what came.
const MAX_MESSAGE: usize = 600;

/// Why a request is not answered: a status, and `{"error": "…"}` as the Open Inference Protocol has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) message: String,
}

impl Refused {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// The request makes no sense.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// What it names is not here.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// It is larger than any request may be.
    pub(super) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    /// It came in a form that is not read here.
    pub(super) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    }

    /// It may come again.
    pub(super) fn not_now(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }
}

impl IntoResponse for Refused {
    fn into_response(mut self) -> Response {
        if let Some((at, _)) = self.message.char_indices().nth(MAX_MESSAGE) {
            self.message.truncate(at);
            self.message.push('…');
        }
        let mut response = (self.status, Json(json!({"error": self.message}))).into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}

/// A name out of a request, short enough to be repeated.
pub(super) fn shown(name: &str) -> String {
    const MOST: usize = 80;
    let short: String = name.chars().take(MOST).collect();
    let more = if short.len() < name.len() { "…" } else { "" };
    format!("{short:?}{more}")
}
