//! The live pictures of all cameras over one connection.
//!
//! Browsers open six connections to a server and no more: with a stream for each camera, a page with six cameras
//! would never get its seventh answer. Here the parts name their camera. Who can't follow gets the newest frame
//! of each camera in turn, never a backlog.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::stream;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::api::{ApiError, App, stopped};
use super::live::{KIND, live, part, place};

/// `/api/live.mjpeg`
pub(super) async fn stream(State(app): State<App>) -> Result<Response, ApiError> {
    let wall = Wall {
        _place: place(&app.hub.viewers)?,
        scored: app.hub.frames.subscribe(),
        sent: vec![0; app.hub.cameras.len()],
        next: 0,
        begun: false,
        app,
    };
    let parts = stream::unfold(wall, |mut wall| async {
        let part = wall.next().await?;
        Some((Ok::<_, std::convert::Infallible>(part), wall))
    });
    Ok(([(header::CONTENT_TYPE, KIND)], Body::from_stream(parts)).into_response())
}

/// Someone who watches all cameras.
struct Wall {
    app: App,
    /// Changes with each frame of any camera.
    scored: watch::Receiver<()>,
    /// Number of the last picture sent of each camera, in the order of their names.
    sent: Vec<u64>,
    /// The camera whose turn it is.
    next: usize,
    begun: bool,
    _place: OwnedSemaphorePermit,
}

impl Wall {
    /// The next part of the stream; nothing when it is to end.
    async fn next(&mut self) -> Option<Bytes> {
        let mut stopping = self.app.stopping.clone();
        tokio::select! {
            () = stopped(&mut stopping) => None,
            part = self.part() => part,
        }
    }

    async fn part(&mut self) -> Option<Bytes> {
        loop {
            // Seen before looking: a frame that comes while looking wakes again.
            self.scored.borrow_and_update();
            if let Some(part) = self.newest().await {
                return Some(part);
            }
            self.scored.changed().await.ok()?;
        }
    }

    /// A picture of the next camera in turn that has one which was not sent.
    async fn newest(&mut self) -> Option<Bytes> {
        let hub = std::sync::Arc::clone(&self.app.hub);
        let turns = hub.cameras.iter().enumerate().cycle().skip(self.next);
        for (index, (name, camera)) in turns.take(hub.cameras.len()) {
            let sent = self.sent.get_mut(index)?;
            let newest = camera.newest().map_or(0, |shown| shown.number);
            if newest <= *sent {
                continue;
            }
            self.next = index + 1;
            match live(&self.app, camera, *sent).await {
                Ok(picture) => {
                    *sent = picture.number;
                    return Some(part(&picture, name, !std::mem::replace(&mut self.begun, true)));
                }
                Err(error) => {
                    // The other cameras are none the worse; this one gets its next frame.
                    *sent = newest;
                    tracing::debug!(camera = name, ?error, "A frame can't be shown.");
                }
            }
        }
        None
    }
}
