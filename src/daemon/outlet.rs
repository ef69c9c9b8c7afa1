//! Where scored frames and states go: MQTT, the page, evidence, and the counters beside them.
//!
//! Nothing here waits: every output takes what it is given at once, or drops and counts it.

mod statistics;
mod traced;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ulid::Ulid;

use super::counts::Counts;
use super::entry::CameraEntry;
use super::insights::InsightsHandle;
use super::scenes::SharedScene;
use super::standing::Standing;
use crate::camera::mailbox::Mailbox;
use crate::clock::Clock;
use crate::config::Name;
use crate::detection::{Detections, FrameRef, Latency, ModelRef, SCHEMA, Scored};
use crate::event::{Count, Event};
use crate::evidence::{KeeperHandle, Reviews};
use crate::frame::Frame;
use crate::model::engine::Outcome;
use crate::outbox::OutboxHandle;
use crate::privacy::{Guard, MessageGuard};
use crate::publish::{IotHubHandle, MqttHandle};
use crate::scene::Scene;
use crate::serve::Desk;
use crate::ship::CourierHandle;
use crate::state::StateFile;
use crate::status::{CameraState, CameraStatus, ConfigStatus, Stats};
use crate::traces::TracesHandle;
use crate::web::Hub;

/// Where things go.
pub(super) struct Outputs {
    pub(super) mqtt: MqttHandle,
    pub(super) iothub: Option<IotHubHandle>,
    pub(super) hub: Arc<Hub>,
    /// What picks evidence, and what brings it to the store.
    pub(super) evidence: Option<(KeeperHandle, CourierHandle)>,
    /// What is said of evidence.
    pub(super) reviews: Option<Reviews>,
    /// What evidence must pass, where there is a policy.
    pub(super) guard: Option<Arc<Guard>>,
    /// What messages must pass on their way to the broker and to the hub.
    pub(super) to_broker: MessageGuard,
    pub(super) to_iothub: MessageGuard,
    pub(super) outbox: OutboxHandle,
    /// What scores pictures for others.
    pub(super) serve: Option<Arc<Desk>>,
    /// What counts for the fleet.
    pub(super) insights: Option<InsightsHandle>,
    /// What is told of what became of frames.
    pub(super) traces: Option<TracesHandle>,
}

/// Everything behind the engines.
pub(super) struct Outlet {
    pub(super) site: String,
    pub(super) node: String,
    /// Which configuration is in force.
    config: Mutex<ConfigStatus>,
    pub(super) outputs: Outputs,
    pub(super) clock: Arc<dyn Clock>,
    started: Instant,
    device: Mutex<String>,
    cameras: Mutex<BTreeMap<Name, CameraEntry>>,
    /// The running counts of all cameras.
    counts: Mutex<Counts>,
    /// Where they are kept. Locked by who writes, which may take long.
    saved: Mutex<StateFile>,
    /// The statistics that were published last.
    stats: Mutex<Option<Stats>>,
}

impl Outlet {
    pub(super) fn new(
        standing: &Standing,
        outputs: Outputs,
        (counts, saved): (Counts, StateFile),
        clock: Arc<dyn Clock>,
        device: String,
    ) -> Self {
        Self {
            site: standing.config().site.to_string(),
            node: standing.config().node.to_string(),
            config: Mutex::new(ConfigStatus { digest: standing.digest(), since: clock.wall(), refused: None }),
            outputs,
            started: clock.monotonic(),
            clock,
            device: Mutex::new(device),
            cameras: Mutex::default(),
            counts: Mutex::new(counts),
            saved: Mutex::new(saved),
            stats: Mutex::default(),
        }
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// A camera that runs from now on, or is off for the reason that is given.
    pub(super) fn add_camera(
        &self,
        name: &Name,
        mailbox: Arc<Mailbox>,
        scene: Option<Scene>,
        off: Option<CameraStatus>,
    ) {
        let scene = scene.map(|mut scene| {
            scene.resume(&self.counts().of(name));
            scene
        });
        let mut entry = CameraEntry::new(mailbox, scene, off, self.clock.monotonic());
        self.outputs.hub.add_camera(name);
        let mut cameras = self.lock();
        if let Some(before) = cameras.remove(name) {
            entry.follow(before);
        }
        self.publish_status(name, &mut entry);
        cameras.insert(name.clone(), entry);
    }

    /// Notes that a camera is about to be stopped, and is to be off for this reason.
    pub(super) fn set_off(&self, name: &Name, off: CameraStatus) {
        if let Some(entry) = self.lock().get_mut(name) {
            entry.off = Some(off);
            self.publish_status(name, entry);
        }
    }

    /// Forgets a camera that was stopped.
    pub(super) fn remove_camera(&self, name: &Name) {
        self.lock().remove(name);
        self.outputs.hub.remove_camera(name);
        if let Some(iothub) = &self.outputs.iothub {
            iothub.forget_camera(name);
        }
    }

    /// Which configuration is in force.
    pub(super) fn config(&self) -> ConfigStatus {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes which configuration is in force, and tells who listens.
    pub(super) fn set_config(&self, status: ConfigStatus) {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&status);
        if let Some(desk) = &self.outputs.serve {
            desk.set_config(&status.digest);
        }
        if let Some(iothub) = &self.outputs.iothub {
            iothub.node("config", serde_json::to_value(&status).unwrap_or_default());
        }
        self.outputs.mqtt.config(status);
    }

    /// Puts another scene before a camera that goes on; what was followed ends, counts go on.
    pub(super) fn set_scene(&self, camera: &Name, scene: Option<Scene>) {
        // Ends what is followed, so that its counts are known to the next scene.
        self.end_tracks(camera);
        let scene = scene.map(|mut scene| {
            scene.resume(&self.counts().of(camera));
            Arc::new(SharedScene::new(scene, self.clock.monotonic()))
        });
        if let Some(entry) = self.lock().get_mut(camera) {
            entry.scene = scene;
        }
    }

    /// Sends one scored frame everywhere, and what it brought about. `taken` is when the engine took it from its mailbox.
    pub(super) fn scored(&self, camera: &Name, frame: Frame, outcome: Outcome, model: &ModelRef, taken: Instant) {
        let mut detections = self.message(camera, &frame, outcome, model, taken);
        let scored_at = self.clock.monotonic();
        let shared = self.lock().get(camera).and_then(|entry| entry.scene.clone());
        let mut scene = shared.as_ref().map(|shared| shared.lock());
        let (mut events, mut counts) = (Vec::new(), Vec::new());
        if let (Some(shared), Some(scene)) = (&shared, &mut scene) {
            let step = scene.step(detections, shared.time(frame.captured));
            (detections, events, counts) = (step.detections, step.events, step.counts);
        }
        let tracked_at = self.clock.monotonic();
        let scored = Scored { detections: Arc::new(detections), frame };
        if let Some(entry) = self.lock().get_mut(camera) {
            entry.meter.scored(&scored.detections);
        }
        if let Some(insights) = &self.outputs.insights {
            insights.scored(&scored.detections);
        }
        if let Some(detections) = self.outputs.to_broker.detections(&scored.detections) {
            self.outputs.mqtt.detections(detections);
        }
        if let Some(iothub) = &self.outputs.iothub
            && let Some(detections) = self.outputs.to_iothub.detections(&scored.detections)
        {
            iothub.detections(&detections);
        }
        self.happened(camera, &events, &counts);
        drop(scene);
        self.outputs.hub.scored(&scored);
        if let Some((evidence, _)) = &self.outputs.evidence {
            self.keep_for_operator(camera, evidence, &scored);
            evidence.offer(&scored, &events);
        }
        self.trace(&scored.detections, scored_at, tracked_at);
    }

    /// Sends off what happened before a camera, and the counts that changed by it.
    fn happened(&self, camera: &Name, events: &[Event], counts: &[Count]) {
        if let Some(entry) = self.lock().get_mut(camera) {
            entry.meter.happened(events.len());
        }
        for event in events {
            if let Some(event) = self.outputs.to_broker.event(event) {
                self.outputs.mqtt.event(&event);
            }
            if let Some(insights) = &self.outputs.insights {
                insights.happened(event);
            }
            if let Some(iothub) = &self.outputs.iothub
                && let Some(event) = self.outputs.to_iothub.event(event)
            {
                iothub.event(&event);
            }
        }
        self.tell_counts(counts);
    }

    pub(super) fn tell_counts(&self, counts: &[Count]) {
        for count in counts {
            self.counts().note(count);
            if self.outputs.to_broker.count(count) {
                self.outputs.mqtt.count(count);
            }
            if let Some(iothub) = self.outputs.iothub.as_ref().filter(|_| self.outputs.to_iothub.count(count)) {
                iothub.count(count);
            }
            self.outputs.hub.count(count);
        }
    }

    /// Ends what is followed before a camera that shows nothing any more.
    pub(super) fn end_tracks(&self, camera: &Name) {
        let shared = self.lock().get(camera).and_then(|entry| entry.scene.clone());
        if let Some(shared) = shared {
            let mut scene = shared.lock();
            let (events, counts) = scene.finish();
            self.happened(camera, &events, &counts);
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
            config: self.config().digest,
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
        let Some(status) = entry.effective() else { return };
        if entry.published.as_ref() == Some(&status) {
            return;
        }
        entry.published = Some(status.clone());
        self.outputs.mqtt.camera_status(camera, &status);
        if let Some(iothub) = &self.outputs.iothub {
            iothub.camera_status(camera, &status);
        }
        self.outputs.hub.camera_status(camera, status);
    }

    /// Notes that models now run elsewhere.
    pub(super) fn set_device(&self, device: &str) {
        device.clone_into(&mut self.device.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(iothub) = &self.outputs.iothub {
            iothub.node("device", device.into());
        }
    }

    /// What models run on.
    pub(super) fn device(&self) -> String {
        self.device.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The statistics that were published last.
    pub(super) fn last_stats(&self) -> Option<Stats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes the running counts to the disk, where they changed.
    pub(super) fn save_counts(&self) {
        let file = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(counts) = self.counts().news() else { return };
        let written = file.write(&counts);
        let news = self.counts().written(written.is_ok());
        if let Some(error) = written.err().filter(|_| news) {
            tracing::warn!(%error, "The running counts can't be kept: after a restart they go on from earlier ones.");
        }
    }

    /// Notes in the audit log which messages left and which stayed, where that is due, or of all.
    pub(super) fn note_messages(&self, all: bool) {
        self.outputs.to_broker.write_tallies(all);
        self.outputs.to_iothub.write_tallies(all);
    }

    pub(super) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, CameraEntry>> {
        self.cameras.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
