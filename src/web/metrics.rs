//! `/metrics`: how the node is, for Prometheus (its text format, version 0.0.4).
//!
//! Counters are since the start of the daemon, times in seconds. Beyond this machine it is told only to who has the token.

use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::api::{ApiError, App};
use super::hub::{Camera, Hub, MqttState};
use super::{WebError, token};
use crate::config::WebConfig;
use crate::detection::Latency;
use crate::secret::SecretPlace;
use crate::status::{CameraState, ModelVerdicts, Stats};

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Upper bounds of a latency's buckets, seconds.
const BOUNDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Who may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody on this machine.
    Machine,
    /// Who knows the token.
    Token(String),
    /// Nobody: the page is open to the network, and there is no token.
    Nobody,
}

impl Access {
    pub(super) fn of(config: &WebConfig, ip: IpAddr) -> Result<Self, WebError> {
        let WebConfig { metrics_token_file: file, metrics_token_credential: credential, .. } = config;
        if file.is_none() && credential.is_none() {
            return Ok(if ip.is_loopback() { Self::Machine } else { Self::Nobody });
        }
        let place = SecretPlace { file: file.clone(), env: None, credential: credential.clone() };
        match place.read().map_err(|error| WebError::Token(error.to_string()))? {
            token if token.is_empty() => Err(WebError::Token("it is empty".to_owned())),
            token => Ok(Self::Token(token)),
        }
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        match self {
            Self::Machine => Ok(()),
            Self::Nobody => Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "beyond this machine metrics need a token: set `metrics_token_file` in the [web] table",
            )),
            Self::Token(token) => {
                if token::brought(headers) == token::digest(token) {
                    Ok(())
                } else {
                    Err(ApiError::new(StatusCode::UNAUTHORIZED, "metrics need `Authorization: Bearer` and the token"))
                }
            }
        }
    }
}

/// A latency's buckets.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Histogram {
    /// By upper bound, each without those below it; what is over the last bound is in the last.
    counts: [u64; BOUNDS.len() + 1],
    sum: f64,
}

impl Histogram {
    fn observe(&mut self, seconds: f64) {
        let at = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        if let Some(count) = self.counts.get_mut(at) {
            *count += 1;
        }
        self.sum += seconds;
    }
}

/// The latencies of one camera's frames, by stage.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Latencies {
    queue: Histogram,
    preprocess: Histogram,
    model: Histogram,
    total: Histogram,
}

impl Latencies {
    pub(super) fn observe(&mut self, latency: &Latency) {
        self.queue.observe(latency.queue / 1e3);
        self.preprocess.observe(latency.preprocess / 1e3);
        self.model.observe(latency.model / 1e3);
        self.total.observe(latency.total / 1e3);
    }
}

pub(super) async fn metrics(State(app): State<App>, headers: HeaderMap) -> Response {
    if let Err(error) = app.metrics.check(&headers) {
        let mut response = error.into_response();
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return response;
    }
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], render(&app.hub)).into_response()
}

fn render(hub: &Hub) -> String {
    let mut page = Text::default();
    let info = &hub.info;
    page.family("ocellus_build_info", "gauge", "Version of the daemon, and what its models run on.");
    let stats = hub.newest_stats();
    let device = stats.as_deref().map(|stats| &stats.device).filter(|device| !device.is_empty());
    let labels = [
        ("version", &*info.version),
        ("site", &*info.site),
        ("node", &*info.node),
        ("device", device.unwrap_or(&info.device)),
    ];
    page.sample("ocellus_build_info", &labels, 1);
    page.family("ocellus_uptime_seconds", "gauge", "Time since the daemon started.");
    page.sample("ocellus_uptime_seconds", &[], hub.uptime_s());
    if let Some(bytes) = resident_bytes(Path::new("/proc/self/status")) {
        page.family("process_resident_memory_bytes", "gauge", "Memory of the daemon, its children apart.");
        page.sample("process_resident_memory_bytes", &[], bytes);
    }
    cameras(&mut page, hub);
    page.family("ocellus_mqtt_connected", "gauge", "Whether the broker takes messages.");
    page.sample("ocellus_mqtt_connected", &[], u8::from(hub.mqtt_link().state == MqttState::Connected));
    if let Some(config) = stats.as_deref().and_then(|stats| stats.config.as_ref()) {
        page.family("ocellus_config_info", "gauge", "Digest of the configuration that is in force.");
        page.sample("ocellus_config_info", &[("digest", &config.digest)], 1);
        page.family("ocellus_config_loaded_timestamp_seconds", "gauge", "When it was read.");
        page.sample("ocellus_config_loaded_timestamp_seconds", &[], config.since.timestamp());
        page.family("ocellus_config_reload_refused", "gauge", "1 while the file as it is now is not in force.");
        page.sample("ocellus_config_reload_refused", &[], u8::from(config.refused.is_some()));
    }
    if let Some(memory) = stats.as_deref().and_then(|stats| stats.gpu_memory) {
        let help = "Memory of the GPU that the daemon has, by the allocator of its device: what buffers and textures take, \
                    and what is reserved from the driver for them. Other processes and the driver's own are not in it.";
        page.family("ocellus_gpu_memory_bytes", "gauge", help);
        page.sample("ocellus_gpu_memory_bytes", &[("kind", "used")], memory.used);
        page.sample("ocellus_gpu_memory_bytes", &[("kind", "reserved")], memory.reserved);
    }
    if let Some(traces) = stats.as_deref().and_then(|stats| stats.traces) {
        page.family("ocellus_traces_total", "counter", "Frames whose traces the collector took, or that were dropped.");
        page.sample("ocellus_traces_total", &[("outcome", "sent")], traces.sent);
        page.sample("ocellus_traces_total", &[("outcome", "dropped")], traces.dropped);
    }
    if let Some(stats) = stats {
        counters(&mut page, &stats);
        verdicts(&mut page, hub, &stats);
        outbox(&mut page, hub, &stats);
    }
    page.0
}

/// What is known of each camera at once.
fn cameras(page: &mut Text, hub: &Hub) {
    let cameras = hub.cameras();
    page.family("ocellus_camera_state", "gauge", "1 for the state that a camera is in.");
    for (name, camera) in &cameras {
        let now = camera.status().state;
        for state in CameraState::ALL {
            page.sample("ocellus_camera_state", &[("camera", name), ("state", state.name())], u8::from(now == state));
        }
    }
    page.family(
        "ocellus_model_info",
        "gauge",
        "The model that scored a camera's last frame, by digest, and the configuration.",
    );
    for (name, camera) in &cameras {
        if let Some(shown) = camera.newest() {
            let detections = &shown.scored.detections;
            let model = &detections.model;
            let labels = [
                ("camera", &**name),
                ("model", &*model.name),
                ("version", &*model.version),
                ("digest", &*model.digest),
                ("config", &*detections.config),
            ];
            page.sample("ocellus_model_info", &labels, 1);
        }
    }
    page.family(
        "ocellus_latency_seconds",
        "histogram",
        "Time of a scored frame: waiting, preprocessing, model, in all.",
    );
    for (name, camera) in &cameras {
        latencies(page, name, camera);
    }
}

fn latencies(page: &mut Text, name: &str, camera: &Camera) {
    let Latencies { queue, preprocess, model, total } = camera.latencies();
    for (stage, histogram) in [("queue", queue), ("preprocess", preprocess), ("model", model), ("total", total)] {
        let mut sum = 0;
        let bounds = BOUNDS.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(histogram.counts) {
            sum += count;
            page.sample("ocellus_latency_seconds_bucket", &[("camera", name), ("stage", stage), ("le", &bound)], sum);
        }
        page.sample("ocellus_latency_seconds_sum", &[("camera", name), ("stage", stage)], histogram.sum);
        page.sample("ocellus_latency_seconds_count", &[("camera", name), ("stage", stage)], sum);
    }
}

/// What is counted by camera.
fn counters(page: &mut Text, stats: &Stats) {
    page.family("ocellus_frames_scored_total", "counter", "Frames that a model has looked at.");
    for (name, camera) in &stats.cameras {
        page.sample("ocellus_frames_scored_total", &[("camera", name)], camera.scored);
    }
    page.family("ocellus_frames_dropped_total", "counter", "Frames that no model has looked at, by reason.");
    for (name, camera) in &stats.cameras {
        page.sample("ocellus_frames_dropped_total", &[("camera", name), ("reason", "busy")], camera.dropped);
        page.sample("ocellus_frames_dropped_total", &[("camera", name), ("reason", "unchanged")], camera.unchanged);
    }
    page.family("ocellus_events_total", "counter", "Events of tracks, zones and lines.");
    for (name, camera) in &stats.cameras {
        page.sample("ocellus_events_total", &[("camera", name)], camera.events);
    }
    page.family("ocellus_objects_total", "counter", "Detections by label.");
    for (name, camera) in &stats.cameras {
        for (label, count) in &camera.objects {
            page.sample("ocellus_objects_total", &[("camera", name), ("label", label)], count);
        }
    }
    evidence(page, stats);
    for (name, help, value) in [
        ("ocellus_mqtt_dropped_total", "Messages that MQTT had no room for.", stats.mqtt_dropped),
        ("ocellus_evidence_kept_total", "Pieces of evidence that the store has.", stats.evidence_kept),
        ("ocellus_evidence_dropped_total", "Pieces of evidence that were lost.", stats.evidence_dropped),
        (
            "ocellus_evidence_withheld_total",
            "Frames worth keeping that the policy lets nothing of go, or that could not be made fit to go.",
            stats.evidence_withheld,
        ),
    ] {
        page.family(name, "counter", help);
        page.sample(name, &[], value);
    }
}

fn evidence(page: &mut Text, stats: &Stats) {
    page.family("ocellus_evidence_picked_total", "counter", "Frames that were picked to be kept, by reason.");
    for (reason, of) in &stats.evidence_reasons {
        page.sample("ocellus_evidence_picked_total", &[("reason", reason)], of.picked);
    }
    let name = "ocellus_evidence_refused_total";
    page.family(name, "counter", "Frames worth keeping that were not, by reason and by what was against it.");
    for (reason, of) in &stats.evidence_reasons {
        page.sample(name, &[("reason", reason), ("limit", "repeated")], of.repeated);
        for (limit, count) in &of.refused {
            page.sample(name, &[("reason", reason), ("limit", limit)], count);
        }
    }
}

/// What people say of kept frames.
fn verdicts(page: &mut Text, hub: &Hub, stats: &Stats) {
    let Some(desk) = hub.review_desk() else { return };
    page.family("ocellus_verdicts", "gauge", "Kept frames by what people last said of them, and by model.");
    for (camera, ModelVerdicts { model, right, wrong, corrected }) in
        stats.cameras.iter().flat_map(|(name, camera)| camera.verdicts.iter().map(move |of| (name, of)))
    {
        for (verdict, frames) in [("right", right), ("wrong", wrong), ("corrected", corrected)] {
            let labels = [
                ("camera", &**camera),
                ("model", &*model.name),
                ("version", &*model.version),
                ("digest", &*model.digest),
                ("verdict", verdict),
            ];
            page.sample("ocellus_verdicts", &labels, frames);
        }
    }
    page.family("ocellus_verdicts_waiting", "gauge", "Verdicts that wait for the store.");
    page.sample("ocellus_verdicts_waiting", &[], desk.reviews.last_waiting());
}

fn outbox(page: &mut Text, hub: &Hub, stats: &Stats) {
    let outbox = &stats.outbox;
    page.family("ocellus_outbox_items", "gauge", "What waits to be delivered, by kind.");
    page.sample("ocellus_outbox_items", &[("kind", "event")], outbox.events);
    page.sample("ocellus_outbox_items", &[("kind", "evidence")], outbox.evidence);
    #[allow(clippy::cast_precision_loss)]
    let age = outbox.oldest_at.map_or(0.0, |at| (hub.now() - at).num_milliseconds().max(0) as f64 / 1e3);
    page.family("ocellus_outbox_oldest_seconds", "gauge", "Age of the oldest that waits; 0 where nothing does.");
    page.sample("ocellus_outbox_oldest_seconds", &[], age);
    for (name, help, value) in [
        ("ocellus_outbox_bytes", "Room that what waits takes.", outbox.bytes),
        ("ocellus_outbox_memory_items", "Items that only memory has: a crash would lose them.", outbox.in_memory),
        ("ocellus_outbox_trouble", "1 while the disk takes nothing.", u64::from(outbox.trouble.is_some())),
    ] {
        page.family(name, "gauge", help);
        page.sample(name, &[], value);
    }
    page.family("ocellus_outbox_dropped_total", "counter", "Items given up for want of room, or lost with a disk.");
    page.sample("ocellus_outbox_dropped_total", &[], outbox.dropped);
}

/// The line `VmRSS:    1234 kB` of `/proc/self/status` (proc(5)).
fn resident_bytes(status: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}

/// The text format.
#[derive(Debug, Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string can't fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (i, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if i == 0 { '{' } else { ',' });
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_what_is_at_most_their_bound() {
        let mut histogram = Histogram::default();
        for seconds in [0.0, 0.001, 0.0011, 9.0, 10.0, 11.0] {
            histogram.observe(seconds);
        }
        assert_eq!(histogram.counts[..2], [2, 1]);
        assert_eq!(histogram.counts[BOUNDS.len() - 1..], [2, 1]);
        assert!((histogram.sum - 30.0021).abs() < 1e-9);
    }

    #[test]
    fn labels_are_escaped() {
        let mut text = Text::default();
        text.sample("m", &[("a", "b\"c\\d\ne"), ("f", "g")], 1.5);
        text.sample("n", &[], 2);
        assert_eq!(text.0, "m{a=\"b\\\"c\\\\d\\ne\",f=\"g\"} 1.5\nn 2\n");
    }

    #[test]
    fn the_size_of_this_process_is_known() {
        assert!(resident_bytes(Path::new("/proc/self/status")).is_some_and(|bytes| bytes > 1 << 20));
        assert_eq!(resident_bytes(Path::new("/no/such/file")), None);
    }
}
