//! Against a real broker, seen by another client.

mod commands;
mod durable_delivery;
mod outage;
mod security;
mod version5;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::runtime::Runtime;

use super::*;
use crate::clock::ManualClock;
use crate::detection::{FrameRef, Latency, ModelRef, Object, Rect, SCHEMA};
use crate::event::{self, Counted, Direction, EventType, LineEvent, Tally};
use crate::outbox::Outbox;
use crate::publish::testing::{Listener, Mosquitto, PATIENCE, eventually};
use crate::status::{CAMERA_SCHEMA, CameraState, OutboxStats, STATS_SCHEMA};

/// The detections in frame `seq` of a camera. Their ids are in the order of `seq`.
pub(in crate::publish) fn detections(camera: &str, seq: u64) -> Arc<Detections> {
    let object = Object {
        class: 0,
        label: "bolt".into(),
        score: 0.9,
        rect: Rect { x: 0.1, y: 0.2, w: 0.3, h: 0.4 },
        track: None,
        zones: Vec::new(),
    };
    Arc::new(Detections {
        schema: SCHEMA.to_owned(),
        id: format!("{seq:026}"),
        site: "plant-7".to_owned(),
        node: "edge-01".to_owned(),
        camera: camera.to_owned(),
        camera_state: None,
        frame: FrameRef { seq, captured_at: at(0), width: 640, height: 360 },
        model: ModelRef { name: "m".to_owned(), version: "1".to_owned(), digest: "sha256:0".to_owned() },
        config: "sha256:1".to_owned(),
        latency_ms: Latency::default(),
        objects: vec![object],
        embedding: None,
    })
}

/// An event of a part that crossed a line.
pub(in crate::publish) fn event(camera: &str, number: u64) -> Arc<Event> {
    let seen = detections(camera, number);
    Arc::new(Event {
        schema: event::SCHEMA.to_owned(),
        id: format!("{number:026}"),
        kind: EventType::Update,
        site: seen.site.clone(),
        node: seen.node.clone(),
        camera: camera.to_owned(),
        frame: seen.frame.clone(),
        model: seen.model.clone(),
        config: seen.config.clone(),
        track: "7".to_owned(),
        track_id: format!("{:026}", 7),
        label: "bolt".to_owned(),
        score: 0.93,
        rect: Rect { x: 0.1, y: 0.2, w: 0.3, h: 0.4 },
        started_at: at(0),
        duration_s: 1.5,
        frames: 15,
        zones: vec!["belt".to_owned()],
        zone: None,
        line: Some(LineEvent {
            name: "exit".to_owned(),
            direction: Direction::Right,
            group: Some("ok".to_owned()),
            count: 17,
        }),
    })
}

/// The count of a line.
pub(in crate::publish) fn count(camera: &str, total: u64) -> Count {
    let tally = Tally {
        total,
        labels: [("bolt".to_owned(), total)].into(),
        groups: [("ok".to_owned(), total), ("ng".to_owned(), 0)].into(),
    };
    Count {
        schema: event::COUNT_SCHEMA.to_owned(),
        site: "plant-7".to_owned(),
        node: "edge-01".to_owned(),
        camera: camera.to_owned(),
        rule: "exit".to_owned(),
        since: at(0),
        at: at(1),
        counted: Counted::Line { crossed: [(Direction::Right, tally)].into() },
    }
}

/// A time, some seconds into 2026.
fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600 + seconds, 0).expect("a time")
}

fn camera_status(state: CameraState, reason: &str) -> CameraStatus {
    CameraStatus { schema: CAMERA_SCHEMA.to_owned(), state, reason: reason.to_owned(), since: at(1) }
}

pub(in crate::publish) fn stats(uptime_s: u64) -> Stats {
    Stats {
        schema: STATS_SCHEMA.to_owned(),
        at: at(2),
        uptime_s,
        device: "cpu".to_owned(),
        cameras: BTreeMap::new(),
        mqtt_dropped: 0,
        evidence_kept: 0,
        evidence_withheld: 0,
        evidence_reasons: std::collections::BTreeMap::new(),
        withheld: None,
        evidence_dropped: 0,
        outbox: OutboxStats::default(),
        iothub: None,
        config: None,
        gpu_memory: None,
        traces: None,
    }
}

/// A runtime on threads of its own, so that the test's thread may wait for peers.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

fn local(port: u16) -> MqttConfig {
    MqttConfig { url: format!("mqtt://127.0.0.1:{port}"), ..MqttConfig::default() }
}

/// An outbox in memory, which ends with the process.
pub(in crate::publish) fn durable() -> Durable {
    let outbox = Outbox::in_memory(Arc::new(ManualClock::new(at(0)))).expect("started");
    let handle = outbox.handle();
    std::mem::forget(outbox);
    Durable { outbox: handle, backlog_rate: 1000 }
}

/// Starts within the runtime.
fn start(runtime: &Runtime, config: &MqttConfig) -> Mqtt {
    let _inside = runtime.enter();
    let clock = Arc::new(ManualClock::new(at(0)));
    Mqtt::start(config, "plant-7", "edge-01", clock, durable()).expect("good settings")
}

fn close(runtime: &Runtime, mqtt: Mqtt) -> usize {
    runtime.block_on(mqtt.close(PATIENCE))
}

const NODE: &str = "ocellus/plant-7/edge-01/status";
const CAMERA: &str = "ocellus/plant-7/edge-01/line3/status";

#[test]
fn the_node_is_online_while_it_is_connected_and_stopped_after() {
    let (broker, runtime) = (Mosquitto::start(), runtime());
    let witness = Listener::on(broker.port());
    let mqtt = start(&runtime, &local(broker.port()));
    let online = witness.wait_for_state(NODE, "online", &["offline", "stopped"]);
    assert_eq!((online.topic.as_str(), online.qos), (NODE, 1));
    assert_eq!(online.payload["schema"], "ocellus.status/1");
    assert_eq!(online.payload["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(online.payload["since"], "2026-01-01T00:00:00.000Z");
    assert!(Listener::on(broker.port()).next_on(NODE).retained, "who comes later learns it too");

    assert_eq!(close(&runtime, mqtt), 0);
    witness.wait_for_state(NODE, "stopped", &["offline"]);
    let late = Listener::on(broker.port()).next();
    assert_eq!((late.topic.as_str(), late.retained), (NODE, true));
    assert_eq!(late.payload["state"], "stopped", "the last will was not published");
}

#[test]
fn the_node_is_offline_when_it_is_gone_without_a_word() {
    let (broker, runtime) = (Mosquitto::start(), runtime());
    let witness = Listener::on(broker.port());
    let mqtt = start(&runtime, &local(broker.port()));
    witness.wait_for_state(NODE, "online", &[]);
    // The socket is closed without a DISCONNECT, as the kernel does it after `kill -9`.
    drop(mqtt);
    let offline = witness.wait_for_state(NODE, "offline", &["stopped"]);
    assert_eq!((offline.qos, &offline.payload["schema"]), (1, &"ocellus.status/1".into()));
    let late = Listener::on(broker.port()).next();
    assert!(late.retained && late.payload["state"] == "offline", "{late:?}");
}

#[test]
fn a_camera_s_state_is_retained_and_published_once_per_change() {
    let (broker, runtime) = (Mosquitto::start(), runtime());
    let witness = Listener::on(broker.port());
    let mqtt = start(&runtime, &local(broker.port()));
    witness.wait_for_state(NODE, "online", &[]);
    let handle = mqtt.handle();
    let mut seen = Vec::new();
    for (state, reason) in
        [(CameraState::Connecting, ""), (CameraState::Ok, ""), (CameraState::Off, "the clip has ended")]
    {
        handle.camera_status("line3", &camera_status(state, reason));
        let message = witness.next();
        assert_eq!((message.topic.as_str(), message.qos), (CAMERA, 1));
        seen.push(message.payload["state"].as_str().expect("a state").to_owned());
    }
    assert_eq!(seen, ["connecting", "ok", "off"]);
    let late = Listener::on(broker.port());
    let last = late.next_on("line3/status");
    assert!(last.retained, "{last:?}");
    assert_eq!(last.payload["reason"], "the clip has ended");
    assert_eq!(last.payload["since"], "2026-01-01T00:00:01.000Z");
    // Nothing that can't be a level of a topic is sent anywhere.
    handle.camera_status("a/b", &camera_status(CameraState::Ok, ""));
    handle.stats(&stats(1));
    assert_eq!(witness.next().topic, "ocellus/plant-7/edge-01/stats");
    close(&runtime, mqtt);
}

#[test]
fn detections_and_statistics_arrive_as_they_are_and_are_not_retained() {
    let (broker, runtime) = (Mosquitto::start(), runtime());
    for qos in [0, 1] {
        let witness = Listener::on(broker.port());
        let mqtt = start(&runtime, &MqttConfig { detections_qos: qos, ..local(broker.port()) });
        let handle = mqtt.handle();
        witness.wait_for_state(NODE, "online", &["offline"]);
        for seq in 0..300 {
            handle.detections(detections("line3", seq));
            let message = witness.next_on("/detections");
            assert_eq!(message.topic, "ocellus/plant-7/edge-01/line3/detections");
            assert_eq!((message.qos, message.retained), (qos, false));
            assert_eq!(message.payload["frame"]["seq"], seq);
        }
        handle.event(&event("line3", 3));
        let message = witness.next_on("/events");
        assert_eq!(message.topic, "ocellus/plant-7/edge-01/line3/events");
        assert_eq!((message.qos, message.retained), (1, false));
        assert_eq!((&message.payload["type"], &message.payload["line"]["count"]), (&"update".into(), &17.into()));
        handle.count(&count("line3", 17));
        let message = witness.next_on("/counts/exit");
        assert_eq!(message.topic, "ocellus/plant-7/edge-01/line3/counts/exit");
        assert_eq!((message.qos, message.payload["crossed"]["right"]["total"].as_u64()), (1, Some(17)));
        handle.stats(&stats(77));
        let message = witness.next_on("/stats");
        assert_eq!((message.qos, message.retained, &message.payload["uptime_s"]), (0, false, &77.into()));
        assert_eq!(handle.dropped(), 0);

        let late = Listener::on(broker.port());
        assert_eq!(close(&runtime, mqtt), 0);
        loop {
            let message = late.next();
            let retained = message.topic == NODE || message.topic.ends_with("/line3/counts/exit");
            assert!(retained, "only states and counts are retained: {}", message.topic);
            if message.payload["state"] == "stopped" {
                break;
            }
        }
    }
}

#[test]
fn the_message_is_as_designed() {
    let (broker, runtime) = (Mosquitto::start(), runtime());
    let witness = Listener::on(broker.port());
    let mqtt = start(&runtime, &local(broker.port()));
    mqtt.handle().detections(detections("line3", 123));
    let payload = witness.next_on("/detections").payload;
    let wanted = serde_json::json!({
        "schema": "ocellus.detections/1", "id": format!("{:026}", 123),
        "site": "plant-7", "node": "edge-01", "camera": "line3",
        "frame": {"seq": 123, "captured_at": "2026-01-01T00:00:00.000000Z", "width": 640, "height": 360},
        "model": {"name": "m", "version": "1", "digest": "sha256:0"}, "config": "sha256:1",
        "latency_ms": {"queue": 0.0, "preprocess": 0.0, "model": 0.0, "total": 0.0},
        "objects": [{"label": "bolt", "score": 0.9, "box": [0.1, 0.2, 0.3, 0.4]}],
    });
    // `f32` widened to `f64` differs behind the digits that matter.
    let rounded = |value: &serde_json::Value| value.to_string().replace("0000001", "");
    assert_eq!(payload["objects"][0]["label"], "bolt");
    for key in ["schema", "id", "site", "node", "camera", "frame", "model", "config", "latency_ms"] {
        assert_eq!(payload[key], wanted[key], "{key}");
    }
    assert_eq!(payload.as_object().map(|o| o.len()), wanted.as_object().map(|o| o.len()));
    assert_eq!(rounded(&payload["objects"][0]["box"]), "[0.1,0.2,0.3,0.4]");
    close(&runtime, mqtt);
}

#[test]
fn what_is_too_large_is_dropped_and_counted_and_the_rest_goes_on() {
    let (broker, runtime) = (Mosquitto::start(), runtime());
    let witness = Listener::on(broker.port());
    let mqtt = start(&runtime, &local(broker.port()));
    let handle = mqtt.handle();
    let mut large = Arc::unwrap_or_clone(detections("line3", 1));
    large.objects[0].label = "x".repeat(2 * 1024 * 1024).into();
    handle.detections(Arc::new(large));
    handle.detections(detections("line3", 2));
    assert_eq!(witness.next_on("/detections").payload["frame"]["seq"], 2);
    assert_eq!(handle.dropped(), 1);
    assert_eq!(close(&runtime, mqtt), 0);
}

#[test]
fn two_sites_share_a_broker() {
    let (broker, runtime) = (Mosquitto::start(), runtime());
    let witness = Listener::on(broker.port());
    let one = start(&runtime, &local(broker.port()));
    let other = {
        let _inside = runtime.enter();
        let clock = Arc::new(ManualClock::new(at(0)));
        let config = MqttConfig { prefix: "factory/vision".to_owned(), ..local(broker.port()) };
        Mqtt::start(&config, "plant-8", "edge-01", clock, durable()).expect("good settings")
    };
    let mut online = [witness.next().topic, witness.next().topic];
    online.sort();
    assert_eq!(online, ["factory/vision/plant-8/edge-01/status", NODE]);
    assert_eq!(close(&runtime, one) + close(&runtime, other), 0);
}

#[test]
fn settings_that_can_not_work_are_refused_at_once() {
    let runtime = runtime();
    let _inside = runtime.enter();
    let clock = || Arc::new(ManualClock::new(at(0)));
    let config = |url: &str| MqttConfig { url: url.to_owned(), ..MqttConfig::default() };
    assert!(matches!(Mqtt::start(&config("nonsense"), "s", "n", clock(), durable()), Err(MqttError::Url(_))));
    for (site, node) in [("a/b", "n"), ("s", "+"), ("", "n"), ("s", "a b")] {
        assert!(matches!(Mqtt::start(&config("mqtt://b"), site, node, clock(), durable()), Err(MqttError::Topic(_))));
    }
    let without_ca = MqttConfig { ca_file: Some("/no/such/ca.pem".into()), ..config("mqtts://b") };
    let error = Mqtt::start(&without_ca, "s", "n", clock(), durable()).expect_err("no file").to_string();
    assert!(error.contains("/no/such/ca.pem"), "{error}");
}
