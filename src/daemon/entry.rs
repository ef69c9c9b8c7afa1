//! What is known of a camera behind its engine.

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};

use super::meter::Meter;
use super::scenes::SharedScene;
use crate::camera::mailbox::Mailbox;
use crate::evidence::Asked;
use crate::scene::Scene;
use crate::status::{CAMERA_SCHEMA, CameraState, CameraStatus};

pub(super) struct CameraEntry {
    pub(super) meter: Meter,
    /// What becomes of its detections over time, where that is asked for.
    pub(super) scene: Option<Arc<SharedScene>>,
    pub(super) mailbox: Arc<Mailbox>,
    /// What the camera's own supervision says.
    pub(super) camera: Option<CameraStatus>,
    /// That it is not to run, and why.
    pub(super) off: Option<CameraStatus>,
    /// Why frames can't be scored, and since when.
    pub(super) blind: Option<(String, DateTime<Utc>)>,
    /// What was last published.
    pub(super) published: Option<CameraStatus>,
    /// Who waits for its next frame to be kept.
    pub(super) asked: Vec<Asked>,
    /// When a frame was last kept for somebody.
    pub(super) kept: Option<Instant>,
}

impl CameraEntry {
    pub(super) fn new(mailbox: Arc<Mailbox>, scene: Option<Scene>, off: Option<CameraStatus>, now: Instant) -> Self {
        Self {
            meter: Meter::new(now),
            scene: scene.map(|scene| Arc::new(SharedScene::new(scene, now))),
            mailbox,
            camera: None,
            off,
            blind: None,
            published: None,
            asked: Vec::new(),
            kept: None,
        }
    }

    /// The same camera as before: what was said of it already need not be said again.
    pub(super) fn follow(&mut self, before: Self) {
        self.published = before.published;
        match (&mut self.off, before.off) {
            // It is off for no shorter a time than it was.
            (Some(now), Some(then)) if now.reason == then.reason => now.since = then.since,
            _ => {}
        }
    }

    /// A camera that delivers, but whose frames can't be scored, is blind; one that is not to run is off.
    pub(super) fn effective(&self) -> Option<CameraStatus> {
        if self.off.is_some() {
            return self.off.clone();
        }
        match (&self.camera, &self.blind) {
            (Some(status), Some((reason, since))) if status.state == CameraState::Ok => Some(CameraStatus {
                schema: CAMERA_SCHEMA.to_owned(),
                state: CameraState::Blind,
                reason: reason.clone(),
                since: *since,
            }),
            (status, _) => status.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::mailbox::Notifier;

    fn entry(state: Option<CameraState>, blind: Option<&str>) -> CameraEntry {
        let status = |state| CameraStatus {
            schema: CAMERA_SCHEMA.to_owned(),
            state,
            reason: "its own".to_owned(),
            since: DateTime::UNIX_EPOCH,
        };
        let mailbox = Arc::new(Mailbox::new(Arc::new(Notifier::new())));
        let mut entry = CameraEntry::new(mailbox, None, None, Instant::now());
        entry.camera = state.map(status);
        entry.blind = blind.map(|reason| (reason.to_owned(), DateTime::UNIX_EPOCH));
        entry
    }

    #[test]
    fn a_camera_that_delivers_to_a_dead_device_is_blind() {
        let status = entry(Some(CameraState::Ok), Some("the GPU is gone")).effective().unwrap();
        assert_eq!((status.state, status.reason.as_str()), (CameraState::Blind, "the GPU is gone"));
    }

    #[test]
    fn a_cameras_own_trouble_comes_first() {
        for state in [CameraState::Connecting, CameraState::Off, CameraState::Frozen] {
            let status = entry(Some(state), Some("the GPU is gone")).effective().unwrap();
            assert_eq!((status.state, status.reason.as_str()), (state, "its own"));
        }
        assert_eq!(entry(Some(CameraState::Ok), None).effective().unwrap().state, CameraState::Ok);
        assert!(entry(None, Some("the GPU is gone")).effective().is_none(), "nothing is known of it yet");
    }

    #[test]
    fn a_camera_that_is_to_be_off_is_off_whatever_it_says() {
        for state in [None, Some(CameraState::Ok), Some(CameraState::Off), Some(CameraState::Connecting)] {
            let mut entry = entry(state, Some("the GPU is gone"));
            let off = CameraStatus {
                schema: CAMERA_SCHEMA.to_owned(),
                state: CameraState::Off,
                reason: "paused by command".to_owned(),
                since: DateTime::UNIX_EPOCH,
            };
            entry.off = Some(off.clone());
            assert_eq!(entry.effective(), Some(off));
        }
    }
}
