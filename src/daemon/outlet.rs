//! Where scored frames and states go: MQTT, the page, evidence, and the counters beside them.
//!
//! Nothing here waits: every output takes what it is given at once, or drops and counts it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use chrono::{DateTime, Utc};
use ulid::Ulid;

use super::meter::Meter;
use crate::camera::mailbox::Mailbox;
use crate::clock::Clock;
use crate::config::{Loaded, Name};
use crate::detection::{Detections, FrameRef, Latency, ModelRef, SCHEMA, Scored};
use crate::evidence::KeeperHandle;
use crate::frame::Frame;
use crate::model::engine::Outcome;
use crate::publish::MqttHandle;
use crate::status::{CAMERA_SCHEMA, CameraState, CameraStatus, STATS_SCHEMA, Stats};
use crate::web::{Hub, MqttLink, MqttState};

/// Where things go.
pub(super) struct Outputs {
    pub(super) mqtt: MqttHandle,
    pub(super) hub: Arc<Hub>,
    pub(super) evidence: Option<KeeperHandle>,
}

/// Everything behind the engines.
pub(super) struct Outlet {
    site: String,
    node: String,
    /// The digest of the configuration.
    config: Mutex<String>,
    outputs: Outputs,
    clock: Arc<dyn Clock>,
    started: Instant,
    device: Mutex<String>,
    cameras: Mutex<BTreeMap<Name, CameraEntry>>,
}

struct CameraEntry {
    meter: Meter,
    mailbox: Arc<Mailbox>,
    /// What the camera's own supervision says.
    camera: Option<CameraStatus>,
    /// Why frames can't be scored, and since when.
    blind: Option<(String, DateTime<Utc>)>,
    /// What was last published.
    published: Option<CameraStatus>,
}

impl CameraEntry {
    /// A camera that delivers, but whose frames can't be scored, is blind.
    fn effective(&self) -> Option<CameraStatus> {
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

impl Outlet {
    pub(super) fn new(loaded: &Loaded, outputs: Outputs, clock: Arc<dyn Clock>, device: String) -> Self {
        Self {
            site: loaded.config.site.to_string(),
            node: loaded.config.node.to_string(),
            config: Mutex::new(loaded.digest.clone()),
            outputs,
            started: clock.monotonic(),
            clock,
            device: Mutex::new(device),
            cameras: Mutex::default(),
        }
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(super) fn add_camera(&self, name: &Name, mailbox: Arc<Mailbox>) {
        let entry = CameraEntry {
            meter: Meter::new(self.clock.monotonic()),
            mailbox,
            camera: None,
            blind: None,
            published: None,
        };
        self.lock().insert(name.clone(), entry);
        self.outputs.hub.add_camera(name);
    }

    /// Forgets a camera that was stopped.
    pub(super) fn remove_camera(&self, name: &Name) {
        self.lock().remove(name);
        self.outputs.hub.remove_camera(name);
        self.outputs.mqtt.forget_camera(name);
    }

    /// Notes that another configuration is in force.
    pub(super) fn set_config(&self, digest: &str) {
        digest.clone_into(&mut self.config.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Sends one scored frame everywhere. `taken` is when the engine took it from its mailbox.
    pub(super) fn scored(&self, camera: &Name, frame: Frame, outcome: Outcome, model: &ModelRef, taken: Instant) {
        let scored = Scored { detections: Arc::new(self.message(camera, &frame, outcome, model, taken)), frame };
        if let Some(entry) = self.lock().get_mut(camera) {
            entry.meter.scored(&scored.detections);
        }
        self.outputs.mqtt.detections(Arc::clone(&scored.detections));
        self.outputs.hub.scored(&scored);
        if let Some(evidence) = &self.outputs.evidence {
            evidence.offer(&scored);
        }
    }

    fn message(&self, camera: &Name, frame: &Frame, outcome: Outcome, model: &ModelRef, taken: Instant) -> Detections {
        let since = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64() * 1e3;
        Detections {
            schema: SCHEMA.to_owned(),
            id: Ulid::generate().to_string(),
            site: self.site.clone(),
            node: self.node.clone(),
            camera: camera.to_string(),
            frame: FrameRef {
                seq: frame.seq,
                captured_at: frame.captured_at,
                width: frame.image.width(),
                height: frame.image.height(),
            },
            model: model.clone(),
            config: self.config.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            latency_ms: Latency {
                queue: since(frame.captured, taken),
                preprocess: outcome.preprocess_ms,
                model: outcome.model_ms,
                total: since(frame.captured, self.clock.monotonic()),
            },
            objects: outcome.objects,
            embedding: outcome.embedding,
        }
    }

    /// Notes what a camera's supervision says.
    pub(super) fn camera_status(&self, camera: &Name, status: CameraStatus) {
        if let Some(entry) = self.lock().get_mut(camera) {
            entry.camera = Some(status);
            self.publish_status(camera, entry);
        }
    }

    /// Notes that a camera's frames can't be scored, or can be again.
    pub(super) fn set_blind(&self, camera: &Name, reason: Option<&str>) {
        if let Some(entry) = self.lock().get_mut(camera) {
            entry.blind = reason.map(|r| (r.to_owned(), self.clock.wall()));
            self.publish_status(camera, entry);
        }
    }

    /// Publishes a camera's state, once per change.
    fn publish_status(&self, camera: &Name, entry: &mut CameraEntry) {
        let status = entry.effective();
        if status == entry.published {
            return;
        }
        entry.published.clone_from(&status);
        if let Some(status) = status {
            self.outputs.mqtt.camera_status(camera, &status);
            self.outputs.hub.camera_status(camera, status);
        }
    }

    /// Notes that models now run elsewhere.
    pub(super) fn set_device(&self, device: &str) {
        device.clone_into(&mut self.device.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn publish_stats(&self) {
        let now = self.clock.monotonic();
        let mut cameras = BTreeMap::new();
        for (name, entry) in self.lock().iter_mut() {
            let (captured, dropped) = (entry.mailbox.captured(), entry.mailbox.dropped());
            cameras.insert(name.to_string(), entry.meter.read(now, captured, dropped));
        }
        let (kept, lost) = self.outputs.evidence.as_ref().map_or((0, 0), |e| (e.kept(), e.dropped()));
        let stats = Stats {
            schema: STATS_SCHEMA.to_owned(),
            at: self.clock.wall(),
            uptime_s: now.saturating_duration_since(self.started).as_secs(),
            device: self.device.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            cameras,
            mqtt_dropped: self.outputs.mqtt.dropped(),
            evidence_kept: kept,
            evidence_dropped: lost,
        };
        self.outputs.hub.mqtt(mqtt_link(&self.outputs.mqtt));
        self.outputs.mqtt.stats(&stats);
        self.outputs.hub.stats(stats);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Name, CameraEntry>> {
        self.cameras.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn mqtt_link(mqtt: &MqttHandle) -> MqttLink {
    let state = if mqtt.connected() { MqttState::Connected } else { MqttState::Connecting };
    MqttLink { state, broker: mqtt.broker().to_owned(), reason: mqtt.last_error().unwrap_or_default() }
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
        CameraEntry {
            meter: Meter::new(Instant::now()),
            mailbox: Arc::new(Mailbox::new(Arc::new(Notifier::new()))),
            camera: state.map(status),
            blind: blind.map(|reason| (reason.to_owned(), DateTime::UNIX_EPOCH)),
            published: None,
        }
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
}
