//! Pictures for people: MJPEG streams and single JPEGs of the newest frame.
//!
//! A frame is encoded when a viewer asks and nobody did before; all viewers of a camera get the same bytes. Who can't
//! follow gets the newest frame when it is ready for the next, never a backlog.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::SecondsFormat;
use futures::stream;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until};

use super::api::{ApiError, App, stopped};
use super::hub::{Camera, Shown};
use crate::draw::{Canvas, annotate, jpeg};

/// Least time between two pictures of a stream: 15 a second.
const INTERVAL: Duration = Duration::from_millis(66);
/// Live pictures are shrunk by a whole factor until they are within this.
const LIVE_SIZE: (u32, u32) = (1280, 960);
/// The type of a stream: each part takes the place of the one before.
pub(super) const KIND: &str = "multipart/x-mixed-replace; boundary=frame";
const LIVE_QUALITY: u8 = 75;
const SNAPSHOT_QUALITY: u8 = 90;

/// A picture of the live stream, ready to send.
#[derive(Debug, Clone)]
pub(super) struct Encoded {
    pub(super) number: u64,
    pub(super) made: Instant,
    captured_at: String,
    jpeg: Bytes,
}

/// `/api/cameras/{name}/live.mjpeg`
pub(super) async fn stream(State(app): State<App>, Path(name): Path<String>) -> Result<Response, ApiError> {
    let camera = app.camera(&name)?;
    let viewer = Viewer {
        newest: camera.newest.subscribe(),
        last: 0,
        begun: false,
        _places: [place(&app.hub.viewers)?, place(&camera.viewers)?],
        name,
        app,
    };
    let parts = stream::unfold(viewer, |mut viewer| async {
        let part = viewer.next().await?;
        Some((Ok::<_, std::convert::Infallible>(part), viewer))
    });
    Ok(([(header::CONTENT_TYPE, KIND)], Body::from_stream(parts)).into_response())
}

/// One of the places for viewers, which are not endless.
pub(super) fn place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, ApiError> {
    Arc::clone(places).try_acquire_owned().map_err(|_| {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many people watch already; close another live view or ask for snapshot.jpg",
        )
    })
}

/// Someone who watches one camera.
struct Viewer {
    app: App,
    name: String,
    newest: watch::Receiver<Option<Arc<Shown>>>,
    /// Number of the last picture sent.
    last: u64,
    begun: bool,
    _places: [OwnedSemaphorePermit; 2],
}

impl Viewer {
    /// The next part of the stream; nothing when it is to end.
    async fn next(&mut self) -> Option<Bytes> {
        let mut stopping = self.app.stopping.clone();
        tokio::select! {
            () = stopped(&mut stopping) => None,
            part = self.part() => part,
        }
    }

    async fn part(&mut self) -> Option<Bytes> {
        let last = self.last;
        let is_new = |shown: &Option<Arc<Shown>>| shown.as_ref().is_some_and(|s| s.number > last);
        self.newest.wait_for(is_new).await.ok()?;
        let camera = self.app.camera(&self.name).ok()?;
        match live(&self.app, &camera, last).await {
            Ok(picture) => {
                self.last = picture.number;
                Some(part(&picture, &self.name, !std::mem::replace(&mut self.begun, true)))
            }
            Err(error) => {
                tracing::warn!(camera = self.name, ?error, "A live view ended.");
                None
            }
        }
    }
}

/// A part, with the boundary behind it: browsers show a picture only when they see the next boundary.
pub(super) fn part(picture: &Encoded, camera: &str, first: bool) -> Bytes {
    let head = format!(
        "{}Content-Type: image/jpeg\r\nContent-Length: {}\r\nX-Camera: {camera}\r\nX-Captured-At: {}\r\n\r\n",
        if first { "--frame\r\n" } else { "" },
        picture.jpeg.len(),
        picture.captured_at,
    );
    [head.as_bytes(), &picture.jpeg, b"\r\n--frame\r\n"].concat().into()
}

/// The live picture behind number `last`: the one that another viewer has had made, else a new one,
/// made no sooner than [`INTERVAL`] after the one before.
pub(super) async fn live(app: &App, camera: &Camera, last: u64) -> Result<Encoded, ApiError> {
    // Held while the picture is made: all who want it wait here and find it.
    let mut encoded = camera.encoded.lock().await;
    let newest = camera.newest().map_or(0, |shown| shown.number);
    if let Some(known) = &*encoded {
        let due = known.made + INTERVAL;
        if known.number == newest || (known.number > last && Instant::now() < due) {
            return Ok(known.clone());
        }
        sleep_until(due).await;
    }
    let shown = camera.newest().ok_or_else(no_picture)?;
    let made = Instant::now();
    let number = shown.number;
    let captured_at = captured_at(&shown);
    let jpeg = blocking(app, move || {
        let mut canvas = Canvas::within(&shown.scored.frame.image, LIVE_SIZE.0, LIVE_SIZE.1);
        annotate(&mut canvas, &shown.scored.detections.objects);
        jpeg(canvas.pixels(), canvas.width(), canvas.height(), LIVE_QUALITY)
    })
    .await?;
    let picture = Encoded { number, made, captured_at, jpeg };
    *encoded = Some(picture.clone());
    Ok(picture)
}

/// `/api/cameras/{name}/live.jpg`
pub(super) async fn picture(State(app): State<App>, Path(name): Path<String>) -> Result<Response, ApiError> {
    let camera = app.camera(&name)?;
    camera.newest().ok_or_else(no_picture)?;
    let picture = live(&app, &camera, 0).await?;
    Ok(one(picture.jpeg, &picture.captured_at))
}

/// What `snapshot.jpg` can be asked for.
#[derive(Debug, Deserialize)]
pub(super) struct SnapshotQuery {
    #[serde(default)]
    plain: bool,
}

/// `/api/cameras/{name}/snapshot.jpg`
pub(super) async fn snapshot(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(query): Query<SnapshotQuery>,
) -> Result<Response, ApiError> {
    let shown = app.camera(&name)?.newest().ok_or_else(no_picture)?;
    let captured_at = captured_at(&shown);
    let jpeg = blocking(&app, move || {
        let mut canvas = Canvas::new(&shown.scored.frame.image);
        if !query.plain {
            annotate(&mut canvas, &shown.scored.detections.objects);
        }
        jpeg(canvas.pixels(), canvas.width(), canvas.height(), SNAPSHOT_QUALITY)
    })
    .await?;
    Ok(one(jpeg, &captured_at))
}

fn one(jpeg: Bytes, captured_at: &str) -> Response {
    let headers = [(header::CONTENT_TYPE, "image/jpeg"), (HeaderName::from_static("x-captured-at"), captured_at)];
    (headers, jpeg).into_response()
}

fn captured_at(shown: &Shown) -> String {
    let at = shown.scored.frame.captured_at;
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn no_picture() -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "there is no picture of this camera yet; its state is in /api/state")
}

/// Runs an encoder beside the async threads, a few at a time.
async fn blocking<E: std::error::Error + Send + 'static>(
    app: &App,
    work: impl FnOnce() -> Result<Vec<u8>, E> + Send + 'static,
) -> Result<Bytes, ApiError> {
    let failed = |why: String| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, why);
    let encoders = Arc::clone(&app.hub.encoders);
    let place = encoders.acquire_owned().await.map_err(|e| failed(e.to_string()))?;
    let worked = tokio::task::spawn_blocking(move || {
        // Kept to the end of the work: a viewer who leaves does not free it early.
        let _place = place;
        work()
    });
    match worked.await {
        Ok(Ok(jpeg)) => Ok(jpeg.into()),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(error) => Err(failed(format!("the picture could not be made: {error}"))),
    }
}
