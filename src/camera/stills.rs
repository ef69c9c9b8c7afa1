//! Cameras that give one picture a request over HTTP, which are asked again and again.
//!
//! Each picture is fetched by an `ffmpeg` of its own, which hands its bytes through as they are; decoding is within the
//! limits of [`super::images`].

use std::time::{Duration, Instant};

use super::error::CameraError;
use super::ffmpeg::{Ffmpeg, Network, fetch};
use super::stop::Stop;
use super::{Reader, Shot, images};

/// Asks for a picture every so often.
pub(super) struct StillsReader {
    network: Network,
    tools: Ffmpeg,
    every: Duration,
    /// When the next picture is due.
    due: Option<Instant>,
}

impl StillsReader {
    pub fn new(network: Network, tools: &Ffmpeg, every: Duration) -> Self {
        Self { network, tools: tools.clone(), every, due: None }
    }
}

impl Reader for StillsReader {
    fn next(&mut self, stop: &Stop) -> Result<Option<Shot>, CameraError> {
        let now = Instant::now();
        let due = self.due.unwrap_or(now);
        if stop.wait(due.saturating_duration_since(now)) {
            return Ok(None);
        }
        // A camera that is slower than it is asked is not asked all the faster afterwards.
        self.due = Some(due.max(Instant::now()) + self.every);
        let Some(bytes) = fetch(&self.network, &self.tools, stop)? else { return Ok(None) };
        let captured = Some(Instant::now());
        let from = self.network.url.to_string();
        let image = images::decode(&bytes).map_err(|reason| CameraError::Open { from, reason })?;
        Ok(Some(Shot { image, lasts: self.every, captured }))
    }
}
