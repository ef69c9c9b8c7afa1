//! What people ask of a camera's output while it runs: a frame that is kept, counts that begin anew.

use std::time::Duration;

use tokio::sync::oneshot;

use super::outlet::Outlet;
use crate::command::Refusal;
use crate::config::Name;
use crate::detection::Scored;
use crate::event::{COUNT_SCHEMA, Count};
use crate::evidence::KeeperHandle;
use crate::status::{CameraState, CameraStatus};

/// Frames are kept for operators no more often: who asks faster gets what was asked for already.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(1);
/// How many may wait for one frame.
const MAX_ASKED: usize = 64;

impl Outlet {
    /// Has the next frame of a camera kept; its id comes when it is.
    ///
    /// # Errors
    /// When there is nowhere to keep it, or no frame will come.
    pub(super) fn snapshot(&self, camera: &Name) -> Result<oneshot::Receiver<Result<String, String>>, Refusal> {
        if self.outputs.evidence.is_none() {
            return Err(Refusal::not_now("no evidence is kept: add a table [evidence] to the configuration"));
        }
        let now = self.clock.monotonic();
        let mut cameras = self.lock();
        let entry = cameras.get_mut(camera).ok_or_else(|| Refusal::not_now("the camera does not run"))?;
        let state = entry.effective();
        if let Some(CameraStatus { state: CameraState::Off | CameraState::Connecting, reason, .. }) = &state {
            let reason = if reason.is_empty() { "it is being opened" } else { reason };
            return Err(Refusal::not_now(format!("the camera gives no pictures: {reason}")));
        }
        if let Some((reason, _)) = &entry.blind {
            return Err(Refusal::not_now(format!("the camera's frames can't be scored: {reason}")));
        }
        let recent = entry.kept.is_some_and(|kept| now.saturating_duration_since(kept) < SNAPSHOT_EVERY);
        if recent || entry.asked.len() >= MAX_ASKED {
            return Err(Refusal::not_now("a frame was kept within the last second: ask again"));
        }
        let (asked, kept) = oneshot::channel();
        entry.asked.push(asked);
        Ok(kept)
    }

    /// Keeps a frame that somebody waits for.
    pub(super) fn keep_for_operator(&self, camera: &Name, evidence: &KeeperHandle, scored: &Scored) {
        let asked = match self.lock().get_mut(camera) {
            Some(entry) if !entry.asked.is_empty() => {
                entry.kept = Some(self.clock.monotonic());
                std::mem::take(&mut entry.asked)
            }
            _ => return,
        };
        evidence.keep(scored, asked);
    }

    /// Begins a camera's counts anew, publishes them, and says how many there are.
    pub(super) fn reset(&self, camera: &Name) -> usize {
        let shared = self.lock().get(camera).and_then(|entry| entry.scene.clone());
        let Some(shared) = shared else { return 0 };
        let now = self.clock.wall();
        // Held while they are told, so that no older count comes after them.
        let mut scene = shared.lock();
        let count = |(rule, counted)| Count {
            schema: COUNT_SCHEMA.to_owned(),
            site: self.site.clone(),
            node: self.node.clone(),
            camera: camera.to_string(),
            rule,
            since: now,
            at: now,
            counted,
        };
        let counts: Vec<Count> = scene.reset(now).into_iter().map(count).collect();
        self.tell_counts(&counts);
        counts.len()
    }
}
