//! The JSON interface, and the errors of all routes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract;
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use futures::stream::{self, Stream};
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::hub::{Camera, Hub, Moment, MqttLink};
use super::kept::{Album, KeptView};
use super::metrics::Access;
use crate::detection::Detections;
use crate::draw;
use crate::status::{CameraStats, CameraStatus, Stats};

/// The `schema` field of [`State`].
pub const SCHEMA: &str = "ocellus.state/1";

/// Labels that are counted by name; the rest is one sum.
const COUNTS: usize = 20;
/// Objects of the last frame that are listed.
const OBJECTS: usize = 50;
/// How often the state is pushed.
const PUSH: Duration = Duration::from_secs(1);

/// What the handlers share.
#[derive(Debug, Clone)]
pub(super) struct App {
    pub(super) hub: Arc<Hub>,
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) metrics: Access,
    /// Whether the server is for this machine only.
    pub(super) local: bool,
}

impl App {
    pub(super) fn new(hub: Arc<Hub>, stopping: watch::Receiver<bool>, metrics: Access, local: bool) -> Self {
        Self { hub, stopping, metrics, local }
    }

    pub(super) fn camera(&self, name: &str) -> Result<Arc<Camera>, ApiError> {
        self.hub
            .camera(name)
            .ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, format!("there is no camera named {name:?}")))
    }
}

/// Resolves once the server is to stop.
pub(super) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error means that the server is gone, and then it is time as well.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// A request that can't be answered: `{"error": "…"}`.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    message: String,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({"error": self.message}))).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("2"));
        }
        response
    }
}

/// Whether it gets on: what is stuck is for whoever restarts it.
pub(super) async fn healthy(extract::State(app): extract::State<App>) -> Result<&'static str, ApiError> {
    match app.hub.stuck_now() {
        stuck if stuck.is_empty() => Ok("ok\n"),
        stuck => Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, format!("no progress: {stuck}"))),
    }
}

/// Whether there is anything to see: statistics come once everything has started, and while it runs.
pub(super) async fn ready(extract::State(app): extract::State<App>) -> Result<&'static str, ApiError> {
    match app.hub.newest_stats() {
        Some(_) if !*app.stopping.borrow() => Ok("ok\n"),
        _ => Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "models are being opened, or the daemon stops")),
    }
}

/// The node and its cameras at one moment.
#[derive(Debug, Serialize)]
pub struct State {
    /// Always [`SCHEMA`].
    pub schema: &'static str,
    /// When it was made.
    pub at: DateTime<Utc>,
    /// The site, as configured.
    pub site: String,
    /// The node, as configured.
    pub node: String,
    /// Version of the daemon.
    pub version: String,
    /// The compute device that models run on.
    pub device: String,
    /// Seconds since the daemon started.
    pub uptime_s: u64,
    /// The connection to the broker.
    pub mqtt: MqttLink,
    /// Messages that MQTT had no room for, since the start.
    pub mqtt_dropped: u64,
    /// Evidence items kept since the start.
    pub evidence_kept: u64,
    /// Evidence items lost since the start.
    pub evidence_dropped: u64,
    /// In the order of their names.
    pub cameras: Vec<CameraView>,
}

/// One camera in a [`State`].
#[derive(Debug, Serialize)]
pub struct CameraView {
    /// Its name, as configured.
    pub name: String,
    /// What it is doing.
    pub status: CameraStatus,
    /// Its rates; nothing before the first statistics.
    pub stats: Option<CameraStats>,
    /// Objects seen since the start by label, most frequent first.
    pub counts: Vec<Count>,
    /// The running counts of its zones and lines, as on MQTT.
    pub rules: Vec<crate::event::Count>,
    /// The last scored frame; its model is the camera's. At most 50 objects are listed.
    pub last: Option<Detections>,
    /// What was seen in the last seconds in which something was seen, newest first.
    pub recent: Vec<Recent>,
    /// The last frames that the store has kept, newest first.
    pub kept: Vec<KeptView>,
}

/// How often a label was seen.
#[derive(Debug, Serialize)]
pub struct Count {
    /// The label; nothing for the sum of those that are not listed.
    pub label: Option<String>,
    /// Detections since the start.
    pub count: u64,
    /// Its colour in the pictures, `#rrggbb`.
    pub colour: String,
}

/// What was seen in one second.
#[derive(Debug, Serialize)]
pub struct Recent {
    /// When the first of it was captured.
    pub at: DateTime<Utc>,
    /// By label.
    pub seen: Vec<Seen>,
}

/// What was seen of one label in one second.
#[derive(Debug, Serialize)]
pub struct Seen {
    /// The label.
    pub label: String,
    /// The most in one frame.
    pub count: usize,
    /// The best score.
    pub score: f32,
    /// Its colour in the pictures, `#rrggbb`.
    pub colour: String,
}

impl State {
    pub(super) fn of(hub: &Hub) -> Self {
        let stats = hub.newest_stats();
        let stats = stats.as_deref();
        let cameras = hub.cameras();
        let info = &hub.info;
        let device = stats.map(|s| &s.device).filter(|device| !device.is_empty());
        Self {
            schema: SCHEMA,
            at: hub.now(),
            site: info.site.clone(),
            node: info.node.clone(),
            version: info.version.clone(),
            device: device.unwrap_or(&info.device).clone(),
            uptime_s: hub.uptime_s(),
            mqtt: hub.mqtt_link(),
            mqtt_dropped: stats.map_or(0, |s| s.mqtt_dropped),
            evidence_kept: stats.map_or(0, |s| s.evidence_kept),
            evidence_dropped: stats.map_or(0, |s| s.evidence_dropped),
            cameras: cameras.iter().map(|(name, camera)| view(name, camera, stats)).collect(),
        }
    }
}

fn view(name: &str, camera: &Camera, stats: Option<&Stats>) -> CameraView {
    let stats = stats.and_then(|s| s.cameras.get(name));
    let last = camera.newest().map(|shown| {
        let mut last = Detections::clone(&shown.scored.detections);
        last.objects.truncate(OBJECTS);
        last
    });
    CameraView {
        name: name.into(),
        status: camera.status(),
        counts: stats.map(counts).unwrap_or_default(),
        rules: camera.rules(),
        stats: stats.cloned().map(|s| CameraStats {
            // They are in `counts`, sorted and bounded.
            objects: std::collections::BTreeMap::new(),
            ..s
        }),
        last,
        recent: camera.moments().into_iter().map(recent).collect(),
        kept: camera.album(Album::views),
    }
}

fn counts(stats: &CameraStats) -> Vec<Count> {
    let mut all: Vec<(&String, u64)> = stats.objects.iter().map(|(l, n)| (l, *n)).collect();
    // Stable: labels with the same count stay in the order of their names.
    all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let rest: u64 = all.iter().skip(COUNTS).map(|(_, count)| count).sum();
    let named = all.iter().take(COUNTS).map(|(label, count)| Count {
        label: Some((*label).clone()),
        count: *count,
        colour: draw::hex(draw::colour(label)),
    });
    let rest = (rest > 0).then(|| Count { label: None, count: rest, colour: "#888888".into() });
    named.chain(rest).collect()
}

fn recent(moment: Moment) -> Recent {
    let seen = moment.seen.into_iter().map(|(label, sighting)| Seen {
        label: label.to_string(),
        count: sighting.count,
        score: (sighting.score * 1e4).round() / 1e4,
        colour: draw::hex(draw::colour(&label)),
    });
    Recent { at: moment.at, seen: seen.collect() }
}

/// `/api/state`
pub(super) async fn state(extract::State(app): extract::State<App>) -> Json<State> {
    Json(State::of(&app.hub))
}

/// `/api/events`: the first at once, then one each second.
pub(super) async fn events(
    extract::State(app): extract::State<App>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut ticks = tokio::time::interval(PUSH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Sse::new(stream::unfold((app, ticks), |(mut app, mut ticks)| async {
        tokio::select! {
            () = stopped(&mut app.stopping) => return None,
            _ = ticks.tick() => {}
        }
        let state = serde_json::to_string(&State::of(&app.hub));
        let event = state.map(|json| Event::default().event("state").data(json));
        let event = event.unwrap_or_else(|error| {
            tracing::error!(%error, "The state of the node can't be written as JSON.");
            Event::default().comment("no state")
        });
        Some((Ok(event), (app, ticks)))
    }))
}
