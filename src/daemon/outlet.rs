//! Where scored frames and states go: MQTT, the page, evidence, and the counters beside them.
//!
//! Nothing here waits: every output takes what it is given at once, or drops and counts it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use chrono::{DateTime, Utc};
use ulid::Ulid;

use super::meter::Meter;
use super::scenes::SharedScene;
use crate::camera::mailbox::Mailbox;
use crate::clock::Clock;
use crate::config::{Loaded, Name};
use crate::detection::{Detections, FrameRef, Latency, ModelRef, SCHEMA, Scored};
use crate::event::{Count, Event};
use crate::evidence::KeeperHandle;
use crate::frame::Frame;
use crate::model::engine::Outcome;
use crate::outbox::{self, Kind, OutboxHandle};
use crate::publish::MqttHandle;
use crate::scene::Scene;
use crate::ship::CourierHandle;
use crate::status::{CAMERA_SCHEMA, CameraState, CameraStats, CameraStatus, OutboxStats, STATS_SCHEMA, Stats};
use crate::web::{Hub, MqttLink, MqttState};

/// Where things go.
pub(super) struct Outputs {
    pub(super) mqtt: MqttHandle,
    pub(super) hub: Arc<Hub>,
    /// What picks evidence, and what brings it to the store.
    pub(super) evidence: Option<(KeeperHandle, CourierHandle)>,
    pub(super) outbox: OutboxHandle,
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
    /// What becomes of its detections over time, where that is asked for.
    scene: Option<Arc<SharedScene>>,
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

    pub(super) fn add_camera(&self, name: &Name, mailbox: Arc<Mailbox>, scene: Option<Scene>) {
        let entry = CameraEntry {
            meter: Meter::new(self.clock.monotonic()),
            scene: scene.map(|scene| Arc::new(SharedScene::new(scene, self.clock.monotonic()))),
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

    /// Sends one scored frame everywhere, and what it brought about. `taken` is when the engine took it from its mailbox.
    pub(super) fn scored(&self, camera: &Name, frame: Frame, outcome: Outcome, model: &ModelRef, taken: Instant) {
        let mut detections = self.message(camera, &frame, outcome, model, taken);
        let shared = self.lock().get(camera).and_then(|entry| entry.scene.clone());
        let mut scene = shared.as_ref().map(|shared| shared.lock());
        let (mut events, mut counts) = (Vec::new(), Vec::new());
        if let (Some(shared), Some(scene)) = (&shared, &mut scene) {
            let step = scene.step(detections, shared.time(frame.captured));
            (detections, events, counts) = (step.detections, step.events, step.counts);
        }
        let scored = Scored { detections: Arc::new(detections), frame };
        if let Some(entry) = self.lock().get_mut(camera) {
            entry.meter.scored(&scored.detections);
        }
        self.outputs.mqtt.detections(Arc::clone(&scored.detections));
        self.happened(camera, events, &counts);
        drop(scene);
        self.outputs.hub.scored(&scored);
        if let Some((evidence, _)) = &self.outputs.evidence {
            evidence.offer(&scored);
        }
    }

    /// Sends off what happened before a camera, and the counts that changed by it.
    fn happened(&self, camera: &Name, events: Vec<Event>, counts: &[Count]) {
        if let Some(entry) = self.lock().get_mut(camera) {
            entry.meter.happened(events.len());
        }
        for event in &events {
            self.outputs.mqtt.event(event);
        }
        for count in counts {
            self.outputs.mqtt.count(count);
            self.outputs.hub.count(count);
        }
    }

    /// Ends what is followed before a camera that shows nothing any more.
    pub(super) fn end_tracks(&self, camera: &Name) {
        let shared = self.lock().get(camera).and_then(|entry| entry.scene.clone());
        if let Some(shared) = shared {
            let mut scene = shared.lock();
            let (events, counts) = scene.finish();
            self.happened(camera, events, &counts);
        }
    }

    /// Ends everything that is followed: the daemon stops.
    pub(super) fn finish(&self) {
        let cameras: Vec<Name> = self.lock().keys().cloned().collect();
        for camera in &cameras {
            self.end_tracks(camera);
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
            camera_state: (frame.state != CameraState::Ok).then_some(frame.state),
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
        let away = matches!(status.state, CameraState::Connecting | CameraState::Off);
        if let Some(entry) = self.lock().get_mut(camera) {
            entry.camera = Some(status);
            self.publish_status(camera, entry);
        }
        if away {
            self.end_tracks(camera);
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
            let (unchanged, trust) = (entry.mailbox.unchanged(), entry.mailbox.trust());
            let rates = entry.meter.read(now, captured, dropped);
            cameras.insert(name.to_string(), CameraStats { unchanged, trust, ..rates });
        }
        let evidence = self.outputs.evidence.as_ref();
        let (kept, lost) =
            evidence.map_or((0, 0), |(keeper, courier)| (courier.kept(), keeper.dropped() + courier.dropped()));
        let stats = Stats {
            schema: STATS_SCHEMA.to_owned(),
            at: self.clock.wall(),
            uptime_s: now.saturating_duration_since(self.started).as_secs(),
            device: self.device.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            cameras,
            mqtt_dropped: self.outputs.mqtt.dropped(),
            evidence_kept: kept,
            evidence_dropped: lost,
            outbox: outbox_stats(&self.outputs.outbox.status()),
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

fn outbox_stats(status: &outbox::Status) -> OutboxStats {
    OutboxStats {
        events: status.loads.of(Kind::Event).items,
        evidence: status.loads.of(Kind::Evidence).items,
        bytes: status.loads.total().bytes,
        in_memory: status.in_memory,
        oldest_at: status.oldest_at,
        dropped: status.dropped + status.evicted,
        trouble: status.trouble.clone(),
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
        CameraEntry {
            meter: Meter::new(Instant::now()),
            scene: None,
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
