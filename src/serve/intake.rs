//! A request's body, read within its limits.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::App;
use super::error::Refused;
use super::limits::Held;

/// A request that was read.
#[derive(Debug)]
pub(super) struct Intake {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// What the body takes.
    pub(super) held: Arc<Held>,
    /// When it must be answered.
    pub(super) deadline: Instant,
    _place: OwnedSemaphorePermit,
}

impl Intake {
    /// Reads a request.
    ///
    /// # Errors
    /// When there is no place or memory for it, or it is too large, too slow or compressed.
    pub(super) async fn read(app: &App, request: Request) -> Result<Self, Refused> {
        let place = app.places.take()?;
        let deadline = Instant::now() + app.timeout();
        let (parts, body) = request.into_parts();
        let coding = parts.headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes());
        if coding.is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
            return Err(Refused::unsupported("compressed bodies are not read: send it without `Content-Encoding`"));
        }
        let most = u64::from(app.desk.settings.max_body_mib) << 20;
        let announced = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let length: u64 = announced.unwrap_or(most);
        if length > most {
            return Err(too_large(most));
        }
        let held = Arc::new(app.memory.hold(length)?);
        let body = timeout_at(deadline, collect(body, announced.unwrap_or(0), most)).await;
        let body = body.map_err(|_| Refused::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"))??;
        Ok(Self { headers: parts.headers, body, held, deadline, _place: place })
    }

    /// A header's text; empty where there is none, or it is none.
    pub(super) fn header(&self, name: impl axum::http::header::AsHeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

fn too_large(most: u64) -> Refused {
    Refused::too_large(format!("a body has at most {} MiB (`max_body_mib` in the [serve] table)", most >> 20))
}

async fn collect(body: Body, announced: u64, most: u64) -> Result<Bytes, Refused> {
    let mut stream = body.into_data_stream();
    let mut whole = BytesMut::with_capacity(usize::try_from(announced).unwrap_or(0));
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|_| Refused::bad("the body was cut short"))?;
        if (whole.len() + piece.len()) as u64 > most {
            return Err(too_large(most));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}
