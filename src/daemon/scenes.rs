//! A camera's scene, shared by the thread that scores its frames and the one that knows when it is away.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::scene::Scene;

/// A camera's scene and the moment from which its time counts.
pub(super) struct SharedScene {
    scene: Mutex<Scene>,
    started: Instant,
}

impl SharedScene {
    pub(super) fn new(scene: Scene, started: Instant) -> Self {
        Self { scene: Mutex::new(scene), started }
    }

    /// The scene, for as long as what happened in it is on its way: so events leave in the order of their ids.
    pub(super) fn lock(&self) -> MutexGuard<'_, Scene> {
        self.scene.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time of a frame in the scene.
    pub(super) fn time(&self, captured: Instant) -> Duration {
        captured.saturating_duration_since(self.started)
    }
}
