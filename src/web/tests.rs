//! Over a real port, with a hub that is fed by hand.

mod browser;
mod http;
mod limits;
mod metrics;
mod review;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::DateTime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::http::{ask, get};
use super::*;
use crate::clock::ManualClock;
use crate::detection::{Detections, FrameRef, Latency, ModelRef, Object, Rect, SCHEMA, Scored};
use crate::evidence::{Evidence, Pick, Reason};
use crate::frame::{Frame, Image, PixelFormat};
use crate::status::{
    CAMERA_SCHEMA, CameraState, CameraStats, CameraStatus, ConfigStatus, GpuMemoryStats, OutboxStats, Percentiles,
    STATS_SCHEMA, Stats, TracesStats,
};

const CAMERAS: [&str; 2] = ["line-1", "line-2"];

/// A served hub.
struct Page {
    hub: Arc<Hub>,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), WebError>>,
}

impl Page {
    async fn serve() -> Self {
        Self::serve_on(([127, 0, 0, 1], 0).into(), hub()).await
    }

    async fn serve_on(listen: SocketAddr, hub: Arc<Hub>) -> Self {
        let web = Web::bind(&WebConfig { listen, ..WebConfig::default() }).await.expect("a free port");
        let address = web.address();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let served = tokio::spawn(web.serve(Arc::clone(&hub), shutdown));
        Self { hub, address, stop, served }
    }

    async fn stop(self) {
        self.stop.send(()).expect("the server runs");
        self.served.await.expect("no panic").expect("a clean end");
    }
}

fn hub() -> Arc<Hub> {
    let info = NodeInfo {
        site: "plant-7".to_owned(),
        node: "edge-01".to_owned(),
        version: "0.1.0".to_owned(),
        device: "CPU".to_owned(),
    };
    let clock = ManualClock::new(DateTime::from_timestamp(1_767_225_600, 0).expect("a time"));
    Arc::new(Hub::new(info, CAMERAS.map(str::to_owned), Arc::new(clock)))
}

/// A grey picture in which `labels` were seen, one beside the other.
fn scored(camera: &str, seq: u64, labels: &[&str]) -> Scored {
    let (width, height) = (64, 48);
    let grey = vec![90; PixelFormat::Rgb8.bytes(width, height)];
    let image = Image::new(width, height, PixelFormat::Rgb8, grey.into()).expect("a picture");
    scored_image(camera, seq, labels, image)
}

#[allow(clippy::cast_precision_loss)]
fn scored_image(camera: &str, seq: u64, labels: &[&str], image: Image) -> Scored {
    let seconds = i64::try_from(seq).expect("a small number");
    let captured_at = DateTime::from_timestamp(1_767_225_600 + seconds, 0).expect("a time");
    let object = |(i, label): (usize, &&str)| Object {
        class: i,
        label: (*label).into(),
        score: 0.9 - 0.1 * i as f32,
        rect: Rect { x: 0.1 + 0.2 * i as f32, y: 0.4, w: 0.15, h: 0.4 },
        track: None,
        zones: Vec::new(),
    };
    let detections = Detections {
        schema: SCHEMA.to_owned(),
        id: format!("{seq:026}"),
        site: "plant-7".to_owned(),
        node: "edge-01".to_owned(),
        camera: camera.to_owned(),
        camera_state: None,
        frame: FrameRef { seq, captured_at, width: image.width(), height: image.height() },
        model: ModelRef { name: "conveyor".to_owned(), version: "1.2.0".to_owned(), digest: "sha256:0".to_owned() },
        config: "sha256:1".to_owned(),
        latency_ms: Latency::default(),
        objects: labels.iter().enumerate().map(object).collect(),
        embedding: None,
    };
    let frame =
        Frame { camera: camera.into(), seq, captured_at, captured: Instant::now(), state: CameraState::Ok, image };
    Scored { frame, detections: Arc::new(detections) }
}

fn status(state: CameraState, reason: &str) -> CameraStatus {
    let since = DateTime::from_timestamp(1_767_225_000, 0).expect("a time");
    CameraStatus { schema: CAMERA_SCHEMA.to_owned(), state, reason: reason.to_owned(), since }
}

fn stats(camera: &str, objects: &[(&str, u64)]) -> Stats {
    let of_camera = CameraStats {
        captured_fps: 30.0,
        scored_fps: 12.5,
        dropped: 7,
        scored: 100,
        events: 12,
        objects: objects.iter().map(|(label, n)| ((*label).to_owned(), *n)).collect(),
        latency_ms: Percentiles { p50: 10.0, p95: 20.0, p99: 30.0 },
        ..CameraStats::default()
    };
    Stats {
        schema: STATS_SCHEMA.to_owned(),
        at: DateTime::UNIX_EPOCH,
        uptime_s: 1,
        device: String::new(),
        cameras: [(camera.to_owned(), of_camera)].into(),
        mqtt_dropped: 3,
        evidence_kept: 4,
        evidence_withheld: 7,
        evidence_reasons: std::collections::BTreeMap::new(),
        withheld: None,
        evidence_dropped: 5,
        outbox: OutboxStats::default(),
        iothub: None,
        config: Some(ConfigStatus { digest: "sha256:0".to_owned(), since: DateTime::UNIX_EPOCH, refused: None }),
        gpu_memory: Some(GpuMemoryStats { used: 5, reserved: 8 }),
        traces: Some(TracesStats { sent: 3, dropped: 2 }),
    }
}

/// Whether a text in quotes is a file of the page, like `/app.js`.
fn is_file(text: &str) -> bool {
    let name = text.strip_prefix('/').and_then(|text| text.split_once('.'));
    name.is_some_and(|(stem, kind)| [stem, kind].iter().all(|part| part.chars().all(|c| c.is_ascii_alphanumeric())))
}

fn decoded(jpeg: &[u8]) -> image::RgbImage {
    image::load_from_memory_with_format(jpeg, image::ImageFormat::Jpeg).expect("a JPEG").to_rgb8()
}

#[tokio::test]
async fn the_page_is_served_whole_with_its_types_and_its_guards() {
    let page = Page::serve().await;
    // The page and everything that it and its scripts ask for by name.
    let mut wanted = vec!["/".to_owned()];
    let mut kinds = std::collections::BTreeMap::new();
    while let Some(path) = wanted.pop() {
        let answer = get(page.address, &path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("cache-control"), "no-cache");
        assert!(answer.header("content-security-policy").starts_with("default-src 'self'"), "{path}");
        kinds.insert(path, answer.header("content-type").to_owned());
        let text = answer.text().await;
        let files = text.split('"').filter(|word| is_file(word));
        wanted.extend(files.filter(|file| !kinds.contains_key(*file)).map(str::to_owned));
    }
    let kind = |path: &str| kinds.get(path).map(String::as_str);
    assert_eq!(kind("/"), Some("text/html; charset=utf-8"));
    assert_eq!(kind("/style.css"), Some("text/css; charset=utf-8"));
    for script in ["/app.js", "/camera.js", "/format.js", "/live.js"] {
        assert_eq!(kind(script), Some("text/javascript; charset=utf-8"), "{script}");
    }
    assert_eq!(kind("/favicon.svg"), Some("image/svg+xml"));
    page.stop().await;
}

#[tokio::test]
async fn the_state_says_what_the_hub_knows() {
    let page = Page::serve().await;
    page.hub.camera_status("line-1", status(CameraState::Ok, ""));
    page.hub.camera_status("line-2", status(CameraState::Blind, "the GPU was lost"));
    page.hub.scored(&scored("line-1", 7, &["bolt", "nut", "bolt"]));
    page.hub.scored(&scored("no such camera", 1, &["bolt"]));
    page.hub.stats(stats("line-1", &[("nut", 5), ("bolt", 9), ("gear", 5)]));
    let broker = "broker:8883".to_owned();
    page.hub.mqtt(MqttLink { state: MqttState::Connecting, broker, reason: "refused".to_owned() });

    let answer = get(page.address, "/api/state").await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"));
    let state = answer.json().await;
    assert_eq!(state["schema"], api::SCHEMA);
    assert_eq!((&state["site"], &state["node"]), (&"plant-7".into(), &"edge-01".into()));
    assert_eq!((&state["device"], &state["uptime_s"]), (&"CPU".into(), &0.into()));
    let link = serde_json::json!({"state": "connecting", "broker": "broker:8883", "reason": "refused"});
    assert_eq!(state["mqtt"], link);
    assert_eq!((&state["mqtt_dropped"], &state["evidence_kept"]), (&3.into(), &4.into()));
    assert_eq!(state["evidence_dropped"], 5);

    let [first, second] = state["cameras"].as_array().expect("cameras").as_slice() else { panic!("{state}") };
    assert_eq!((&first["name"], &first["status"]["state"]), (&"line-1".into(), &"ok".into()));
    assert_eq!(first["stats"]["scored_fps"], 12.5);
    assert_eq!(first["stats"]["latency_ms"]["p95"], 20.0);
    let counts = first["counts"].as_array().expect("counts").iter();
    let counts: Vec<_> = counts.map(|c| (c["label"].as_str(), c["count"].as_u64())).collect();
    assert_eq!(counts, [(Some("bolt"), Some(9)), (Some("gear"), Some(5)), (Some("nut"), Some(5))]);
    assert_eq!(first["counts"][0]["colour"], crate::draw::hex(crate::draw::colour("bolt")));
    assert_eq!(first["last"]["frame"]["seq"], 7);
    assert_eq!(first["last"]["model"]["version"], "1.2.0");
    assert_eq!(first["recent"][0]["seen"][0]["label"], "bolt");
    assert_eq!(first["recent"][0]["seen"][0]["count"], 2);
    assert_eq!((&second["name"], &second["status"]["state"]), (&"line-2".into(), &"blind".into()));
    assert_eq!(second["status"]["reason"], "the GPU was lost");
    assert!(second["last"].is_null() && second["stats"].is_null(), "{second}");
    page.stop().await;
}

#[tokio::test]
async fn the_state_is_pushed_while_it_changes() {
    let page = Page::serve().await;
    let mut events = get(page.address, "/api/events").await;
    assert_eq!(events.header("content-type"), "text/event-stream");
    let first = events.event().await.expect("a state at once");
    assert_eq!(first["cameras"][0]["status"]["state"], "connecting");
    page.hub.camera_status("line-1", status(CameraState::Ok, ""));
    let second = events.event().await.expect("a state");
    assert_eq!(second["cameras"][0]["status"]["state"], "ok");
    page.stop().await;
    assert!(events.event().await.is_none(), "the stream ends with the server");
}

#[tokio::test]
async fn what_many_labels_there_are_is_bounded_and_sums_up() {
    let page = Page::serve().await;
    let labels: Vec<String> = (0..50).map(|i| format!("label {i:02}")).collect();
    let counts: Vec<(&str, u64)> = labels.iter().map(|label| (label.as_str(), 10)).collect();
    page.hub.stats(stats("line-1", &counts));
    let state = get(page.address, "/api/state").await.json().await;
    let shown = state["cameras"][0]["counts"].as_array().expect("counts").clone();
    assert_eq!(shown.len(), 21);
    assert_eq!(shown[20]["label"], serde_json::Value::Null);
    assert_eq!(shown.iter().filter_map(|c| c["count"].as_u64()).sum::<u64>(), 500);
    page.stop().await;
}

#[tokio::test]
async fn a_live_stream_has_a_picture_of_each_new_frame_with_its_boxes() {
    let page = Page::serve().await;
    page.hub.scored(&scored("line-1", 1, &["bolt"]));
    let mut stream = get(page.address, "/api/cameras/line-1/live.mjpeg").await;
    assert_eq!(stream.header("content-type"), "multipart/x-mixed-replace; boundary=frame");
    let first = stream.part().await.expect("a picture");
    assert_eq!(first.headers["content-type"], "image/jpeg");
    assert_eq!(first.headers["x-captured-at"], "2026-01-01T00:00:01.000000Z");
    let picture = decoded(&first.body);
    assert_eq!(picture.dimensions(), (64, 48));
    assert!(picture.pixels().any(|p| p.0.iter().any(|v| v.abs_diff(90) > 40)), "a box is drawn");

    page.hub.scored(&scored("line-1", 2, &[]));
    let second = stream.part().await.expect("a picture");
    assert_eq!(second.headers["x-captured-at"], "2026-01-01T00:00:02.000000Z");
    assert!(decoded(&second.body).pixels().all(|p| p.0.iter().all(|v| v.abs_diff(90) < 8)), "nothing is drawn");
    page.stop().await;
    assert!(stream.part().await.is_none(), "the stream ends with the server");
}

#[tokio::test]
async fn one_stream_carries_all_cameras() {
    let page = Page::serve().await;
    let mut wall = get(page.address, "/api/live.mjpeg").await;
    page.hub.scored(&scored("line-2", 5, &["nut"]));
    let part = wall.part().await.expect("a picture");
    assert_eq!(part.headers["x-camera"], "line-2");
    decoded(&part.body);

    for seq in 6..9 {
        for camera in CAMERAS {
            page.hub.scored(&scored(camera, seq, &["nut"]));
        }
    }
    let parts = [wall.part().await.expect("a picture"), wall.part().await.expect("a picture")];
    let mut seen = parts.map(|p| (p.headers["x-camera"].clone(), p.headers["x-captured-at"].clone()));
    seen.sort();
    let newest = "2026-01-01T00:00:08.000000Z".to_owned();
    assert_eq!(seen, CAMERAS.map(|camera| (camera.to_owned(), newest.clone())));
    page.stop().await;
    assert!(wall.part().await.is_none(), "the stream ends with the server");
}

#[tokio::test]
async fn single_pictures_are_live_or_in_full() {
    let page = Page::serve().await;
    for picture in ["live.jpg", "snapshot.jpg"] {
        let answer = get(page.address, &format!("/api/cameras/line-1/{picture}")).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "2"));
        assert!(answer.json().await["error"].as_str().is_some_and(|e| e.contains("no picture")));
    }
    let large = vec![90; PixelFormat::Rgb8.bytes(2000, 1500)];
    let large = Image::new(2000, 1500, PixelFormat::Rgb8, large.into()).expect("a picture");
    page.hub.scored(&scored_image("line-1", 1, &["bolt"], large));
    let live = decoded(&get(page.address, "/api/cameras/line-1/live.jpg").await.body().await);
    assert_eq!(live.dimensions(), (1000, 750));
    let full = decoded(&get(page.address, "/api/cameras/line-1/snapshot.jpg").await.body().await);
    assert_eq!(full.dimensions(), (2000, 1500));
    let plain = decoded(&get(page.address, "/api/cameras/line-1/snapshot.jpg?plain=true").await.body().await);
    assert!(plain.pixels().all(|p| p.0.iter().all(|v| v.abs_diff(90) < 8)), "nothing is drawn");
    assert_ne!(full, plain);
    page.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_said_so() {
    let page = Page::serve().await;
    let paths = [
        "/nothing",
        "/api/cameras/line-9/live.jpg",
        "/api/cameras/line-9/live.mjpeg",
        "/api/cameras/line-1/kept/01ID",
        "/../Cargo.toml",
    ];
    for path in paths {
        let answer = get(page.address, path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.json().await["error"].is_string(), "{path}");
    }
    let post = format!("POST /api/state HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\n\r\n", page.address);
    assert_eq!(ask(page.address, &post).await.status, 405);
    assert_eq!(get(page.address, "/healthz").await.text().await, "ok\n");
    page.stop().await;
}

#[tokio::test]
async fn kept_frames_are_shown_and_bounded() {
    let page = Page::serve().await;
    let kept = |seq: u64| {
        let reason = Reason::Band { label: "nut".to_owned(), score: 0.8 };
        let pick = Pick { reason, value: 1.0, scored: scored("line-1", seq, &["bolt", "nut"]) };
        Evidence::encode(&format!("{seq:026}"), &pick).expect("encoded")
    };
    for seq in 1..=10 {
        page.hub.kept(&kept(seq));
        page.hub.kept(&kept(seq));
    }
    let state = get(page.address, "/api/state").await.json().await;
    let frames = state["cameras"][0]["kept"].as_array().expect("kept frames").clone();
    let at: Vec<_> = frames.iter().map(|k| k["at"].as_str().unwrap_or_default()[17..19].to_owned()).collect();
    assert_eq!(at, ["10", "09", "08", "07", "06", "05", "04", "03"]);
    assert_eq!(frames[0]["reason"]["kind"], "band");
    assert_eq!(frames[0]["box"], serde_json::json!([0.3, 0.4, 0.15, 0.4]), "the nut's");
    assert_eq!((&frames[0]["width"], &frames[0]["height"]), (&64.into(), &48.into()));
    assert_eq!(state["cameras"][1]["kept"], serde_json::json!([]));

    let picture = |seq: u64| format!("/api/cameras/line-1/kept/{seq:026}");
    let answer = get(page.address, &picture(10)).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "image/jpeg"));
    assert_eq!(answer.body().await, kept(10).jpeg.expect("a picture"));
    assert_eq!(get(page.address, &picture(2)).await.status, 404, "it had to go");

    let huge = Evidence { id: "huge".to_owned(), jpeg: Some(Bytes::from(vec![0; 9 << 20])), ..kept(1) };
    page.hub.kept(&huge);
    let state = get(page.address, "/api/state").await.json().await;
    assert_eq!(state["cameras"][0]["kept"], serde_json::json!([]), "no room beside what is too large");
    page.stop().await;
}
