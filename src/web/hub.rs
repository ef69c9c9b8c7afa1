//! What the daemon knows, as the page needs it.
//!
//! Writers never wait for viewers: a frame is kept by handing over shared pixels, and the locks here are held for
//! moments only, never over an `.await`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Instant;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::sync::{Semaphore, watch};

use super::kept::Album;
use super::live::Encoded;
use super::metrics::Latencies;
use super::review::ReviewDesk;
use crate::clock::Clock;
use crate::detection::{Rect, Scored};
use crate::event::Count;
use crate::evidence::Evidence;
use crate::status::{CAMERA_SCHEMA, CameraState, CameraStatus, Stats};

/// Seconds with detections that are remembered for each camera.
const MOMENTS: usize = 8;
/// Labels remembered of one such second.
const LABELS: usize = 12;
/// Live streams of one camera at one time.
pub(super) const VIEWERS_PER_CAMERA: usize = 12;
/// Live streams at one time.
pub(super) const VIEWERS: usize = 48;
/// Pictures that are encoded at one time, for all cameras: scoring needs the processor more.
const ENCODERS: usize = 2;

/// Who this node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeInfo {
    /// The site, as configured.
    pub site: String,
    /// The node, as configured.
    pub node: String,
    /// Version of the daemon.
    pub version: String,
    /// The compute device that models run on, as people know it.
    pub device: String,
}

/// Whether messages reach the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MqttState {
    /// No broker is configured.
    #[default]
    Off,
    /// Not connected, or not yet.
    Connecting,
    /// Connected.
    Connected,
}

/// The connection to the MQTT broker.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct MqttLink {
    /// Whether messages reach the broker.
    pub state: MqttState,
    /// The broker's host and port. Never credentials.
    pub broker: String,
    /// Why it is not connected, in a sentence; empty while all is well.
    pub reason: String,
}

/// What the daemon shows the world: fed by the pipeline, read by the page.
#[derive(Debug)]
pub struct Hub {
    pub(super) info: NodeInfo,
    cameras: RwLock<BTreeMap<String, Arc<Camera>>>,
    pub(super) viewers: Arc<Semaphore>,
    pub(super) encoders: Arc<Semaphore>,
    /// Changes with each frame of any camera.
    pub(super) frames: watch::Sender<()>,
    clock: Arc<dyn Clock>,
    started: Instant,
    stats: Mutex<Option<Arc<Stats>>>,
    mqtt: Mutex<MqttLink>,
    /// What makes no progress, in words; empty while all does.
    stuck: Mutex<String>,
    review: OnceLock<ReviewDesk>,
}

impl Hub {
    /// A hub for these cameras; all of them are connecting and have no picture yet.
    #[must_use]
    pub fn new(info: NodeInfo, cameras: impl IntoIterator<Item = String>, clock: Arc<dyn Clock>) -> Self {
        let since = clock.wall();
        let cameras = cameras.into_iter().map(|name| (name, Arc::new(Camera::new(since))));
        Self {
            info,
            cameras: RwLock::new(cameras.collect()),
            viewers: Arc::new(Semaphore::new(VIEWERS)),
            encoders: Arc::new(Semaphore::new(ENCODERS)),
            frames: watch::channel(()).0,
            started: clock.monotonic(),
            clock,
            stats: Mutex::default(),
            mqtt: Mutex::default(),
            stuck: Mutex::default(),
            review: OnceLock::new(),
        }
    }

    /// Takes verdicts on kept frames from now on.
    pub fn review(&self, desk: ReviewDesk) {
        // There is one from the start to the end.
        let _ = self.review.set(desk);
    }

    pub(super) fn review_desk(&self) -> Option<&ReviewDesk> {
        self.review.get()
    }

    /// Shows a camera from now on, without a picture yet. One that is shown already stays, with its last picture.
    pub fn add_camera(&self, name: &str) {
        if self.camera(name).is_some() {
            return;
        }
        let camera = Arc::new(Camera::new(self.clock.wall()));
        self.cameras.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), camera);
    }

    /// Shows a camera no longer; who watches it sees its stream end.
    pub fn remove_camera(&self, name: &str) {
        self.cameras.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// A camera that is shown.
    pub(super) fn camera(&self, name: &str) -> Option<Arc<Camera>> {
        self.cameras.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The cameras that are shown, by their names.
    pub(super) fn cameras(&self) -> BTreeMap<String, Arc<Camera>> {
        self.cameras.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes a scored frame: the newest one is shown, older ones are forgotten.
    /// Frames of cameras that are not shown are ignored.
    pub fn scored(&self, scored: &Scored) {
        if let Some(camera) = self.camera(&scored.frame.camera) {
            camera.scored(scored);
            self.frames.send_replace(());
        }
    }

    /// Takes the running count of a zone or line.
    pub fn count(&self, count: &Count) {
        if let Some(camera) = self.camera(&count.camera) {
            lock(&camera.rules).insert(count.rule.clone(), count.clone());
        }
    }

    /// Takes a frame that the store has kept: the page shows the last ones.
    pub fn kept(&self, item: &Evidence) {
        if let Some(camera) = self.camera(&item.camera) {
            lock(&camera.album).add(item);
        }
    }

    /// Takes the state that a camera has reached.
    pub fn camera_status(&self, name: &str, status: CameraStatus) {
        if let Some(camera) = self.camera(name) {
            *lock(&camera.status) = status;
        }
    }

    /// Takes the newest statistics.
    pub fn stats(&self, stats: Stats) {
        *lock(&self.stats) = Some(Arc::new(stats));
    }

    /// Takes the state of the connection to the broker.
    pub fn mqtt(&self, link: MqttLink) {
        *lock(&self.mqtt) = link;
    }

    /// Takes what makes no progress, in words: the node is not healthy until this is empty again.
    pub fn stuck(&self, what: String) {
        *lock(&self.stuck) = what;
    }

    pub(super) fn stuck_now(&self) -> String {
        lock(&self.stuck).clone()
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.wall()
    }

    pub(super) fn uptime_s(&self) -> u64 {
        let running = self.clock.monotonic().saturating_duration_since(self.started);
        running.as_secs()
    }

    pub(super) fn newest_stats(&self) -> Option<Arc<Stats>> {
        lock(&self.stats).clone()
    }

    pub(super) fn mqtt_link(&self) -> MqttLink {
        lock(&self.mqtt).clone()
    }
}

/// A frame, numbered in the order in which the hub got them.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) number: u64,
    pub(super) scored: Scored,
}

/// What was seen in one second.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Moment {
    /// When the first of it was captured.
    pub(super) at: DateTime<Utc>,
    /// By label.
    pub(super) seen: BTreeMap<Arc<str>, Sighting>,
}

/// What was seen of one label in one second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Sighting {
    /// The most in one frame.
    pub(super) count: usize,
    /// The best score.
    pub(super) score: f32,
}

/// One camera.
#[derive(Debug)]
pub(super) struct Camera {
    pub(super) viewers: Arc<Semaphore>,
    pub(super) newest: watch::Sender<Option<Arc<Shown>>>,
    pub(super) encoded: tokio::sync::Mutex<Option<Encoded>>,
    status: Mutex<CameraStatus>,
    moments: Mutex<VecDeque<Moment>>,
    album: Mutex<Album>,
    /// Running counts by the rule's name.
    rules: Mutex<BTreeMap<String, Count>>,
    latencies: Mutex<Latencies>,
}

impl Camera {
    fn new(since: DateTime<Utc>) -> Self {
        let status =
            CameraStatus { schema: CAMERA_SCHEMA.into(), state: CameraState::Connecting, reason: String::new(), since };
        Self {
            viewers: Arc::new(Semaphore::new(VIEWERS_PER_CAMERA)),
            newest: watch::channel(None).0,
            encoded: tokio::sync::Mutex::default(),
            status: Mutex::new(status),
            moments: Mutex::default(),
            album: Mutex::default(),
            rules: Mutex::default(),
            latencies: Mutex::default(),
        }
    }

    fn scored(&self, scored: &Scored) {
        lock(&self.latencies).observe(&scored.detections.latency_ms);
        self.remember(scored);
        let scored = scored.clone();
        self.newest.send_modify(|newest| {
            let number = newest.as_ref().map_or(1, |shown| shown.number + 1);
            *newest = Some(Arc::new(Shown { number, scored }));
        });
    }

    /// Adds what a frame shows to its second.
    fn remember(&self, scored: &Scored) {
        let objects = &scored.detections.objects;
        let Some(first) = objects.first() else {
            return;
        };
        // Of a classifier's answers only the best is something seen.
        let seen = if first.rect == Rect::FULL { &objects[..1] } else { &objects[..] };
        let at = scored.detections.frame.captured_at;
        let mut counts: BTreeMap<&Arc<str>, Sighting> = BTreeMap::new();
        for object in seen {
            let entry = counts.entry(&object.label).or_insert(Sighting { count: 0, score: 0.0 });
            entry.count += 1;
            entry.score = entry.score.max(object.score);
        }
        let mut moments = lock(&self.moments);
        if moments.back().is_none_or(|last| last.at.timestamp() != at.timestamp()) {
            let seen = BTreeMap::new();
            moments.push_back(Moment { at, seen });
        }
        if moments.len() > MOMENTS {
            moments.pop_front();
        }
        let Some(moment) = moments.back_mut() else {
            return;
        };
        for (label, sighting) in counts {
            if let Some(known) = moment.seen.get_mut(label) {
                known.count = known.count.max(sighting.count);
                known.score = known.score.max(sighting.score);
            } else if moment.seen.len() < LABELS {
                moment.seen.insert(Arc::clone(label), sighting);
            }
        }
    }

    pub(super) fn status(&self) -> CameraStatus {
        lock(&self.status).clone()
    }

    /// The running counts of its zones and lines, in the order of their names.
    pub(super) fn rules(&self) -> Vec<Count> {
        lock(&self.rules).values().cloned().collect()
    }

    /// How long its frames took since it is shown.
    pub(super) fn latencies(&self) -> Latencies {
        *lock(&self.latencies)
    }

    /// The newest frame.
    pub(super) fn newest(&self) -> Option<Arc<Shown>> {
        self.newest.borrow().clone()
    }

    /// Looks at the kept frames.
    pub(super) fn album<T>(&self, look: impl FnOnce(&Album) -> T) -> T {
        look(&lock(&self.album))
    }

    /// What was seen lately, newest first.
    pub(super) fn moments(&self) -> Vec<Moment> {
        lock(&self.moments).iter().rev().cloned().collect()
    }
}

/// A poisoned lock still holds a whole value: every write above is a single replacement or addition.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
