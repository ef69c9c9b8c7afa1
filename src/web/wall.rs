//! The live pictures of all cameras over one connection.
//!
//! Browsers open six connections to a server and no more: with a stream for each camera, a page with six cameras
//! would never get its seventh answer. Here the parts name their camera. Who can't follow gets the newest frame
//! of each camera in turn, never a backlog.

use std::collections::BTreeMap;
use std::ops::Bound;

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
        sent: BTreeMap::new(),
        last: String::new(),
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
    /// Number of the last picture sent of each camera.
    sent: BTreeMap<String, u64>,
    /// The camera that had its turn; those behind it in the order of their names are next.
    last: String,
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
        let cameras = self.app.hub.cameras();
        // A camera that is gone may come back, with pictures that count from the start.
        self.sent.retain(|name, _| cameras.contains_key(name));
        let behind = (Bound::Excluded(self.last.clone()), Bound::Unbounded);
        let turns = cameras.range(behind).chain(cameras.range(..=self.last.clone()));
        for (name, camera) in turns {
            let sent = self.sent.entry(name.clone()).or_default();
            let newest = camera.newest().map_or(0, |shown| shown.number);
            if newest < *sent {
                *sent = 0;
            }
            if newest <= *sent {
                continue;
            }
            self.last.clone_from(name);
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
