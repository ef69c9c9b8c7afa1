//! `ocellus demo`: the whole loop with nothing to configure.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::peers::{Running, Subscriber, children, files, free_port, is_alive, ocellus, text, until};
use crate::samples;

/// Starts a demo and waits until it has said where to look; gives it with the broker's port and the page's address.
fn demo(folder: &Path, more: &[&str]) -> (Running, u16, String) {
    let (mqtt, web) = (free_port().to_string(), free_port().to_string());
    let mut command = ocellus();
    command.args(["demo", "--device", "cpu", "--dir"]).arg(folder).args(["--mqtt-port", &mqtt, "--web-port", &web]);
    let mut running = Running::start(command.args(more));
    let page = running.wait_for("the page's address", |line| {
        line.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned)
    });
    let port = running.wait_for("the broker's port", |line| line.split("-p ").nth(1)?.split(' ').next()?.parse().ok());
    (running, port, page)
}

/// Opens the page in Chromium and gives what `page.mjs` says of it.
fn browse(page: &str, screenshot: &Path) -> Value {
    let peers = std::env::var("OCELLUS_PEERS").unwrap_or_else(|_| {
        let cache = std::env::var("XDG_CACHE_HOME")
            .unwrap_or_else(|_| format!("{}/.cache", std::env::var("HOME").unwrap_or_default()));
        format!("{cache}/ocellus/peers")
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/page.mjs");
    let output = Command::new("node").arg(script).arg(page).arg(screenshot).env("OCELLUS_PEERS", peers).output();
    let output = output.expect("node runs");
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&output.stdout)))
}

#[test]
fn the_simulated_line_is_seen_by_mqtt_page_and_store() {
    let folder = tempfile::tempdir().unwrap();
    let (mut running, port, page) = demo(folder.path(), &[]);
    let mut subscriber = Subscriber::to(port, "ocellus/#");

    let status = subscriber.wait_for("/status", |m| m.topic.split('/').count() == 4);
    assert_eq!(status.json()["state"], "online");
    // Whoever subscribes later finds it.
    let status = Subscriber::to(port, &status.topic).next();
    assert_eq!((status.json()["state"].as_str(), status.retained), (Some("online"), true));
    let camera = subscriber.wait_for("line-1/status", |m| m.json()["state"] == "ok");
    assert!(camera.topic.starts_with("ocellus/demo/"), "{camera:?}");
    let mut seen = std::collections::BTreeSet::new();
    let known = ocellus::camera::sim::LABELS;
    for line in ["line-1", "line-2"] {
        subscriber.wait_for(&format!("{line}/detections"), |m| {
            assert!(!m.retained);
            let message = m.json();
            assert_eq!(message["schema"], "ocellus.detections/1");
            assert_eq!(message["camera"], line);
            for object in message["objects"].as_array().expect("objects") {
                seen.insert(object["label"].as_str().expect("a label").to_owned());
            }
            seen.len() >= 3
        });
        seen.retain(|label| known.contains(&label.as_str()));
        assert!(seen.len() >= 3, "labels of the conveyor: {seen:?}");
        seen.clear();
    }
    let counted = |m: &crate::peers::Message| m.json()["crossed"]["right"]["total"].as_u64() >= Some(1);
    let count = subscriber.wait_for("line-2/counts/exit", counted).json();
    let groups = &count["crossed"]["right"]["groups"];
    assert_eq!(groups["ok"].as_u64().zip(groups["ng"].as_u64()).map(|(ok, ng)| ok + ng), Some(1), "{count}");
    let stats = subscriber.wait_for("/stats", |m| m.json()["cameras"]["line-2"]["scored"].as_u64() > Some(0)).json();
    assert!(stats["cameras"]["line-1"]["latency_ms"]["p50"].as_f64() > Some(0.0), "{stats}");

    let screenshot = folder.path().join("page.png");
    let seen = browse(&page, &screenshot);
    assert_eq!(seen["errors"], serde_json::json!([]), "{seen}");
    assert!(seen.to_string().contains("line-1") && seen.to_string().contains("line-2"), "{seen}");
    assert!(std::fs::metadata(&screenshot).unwrap().len() > 20_000, "a screenshot with something on it");
    if let Some(keep) = std::env::var_os("OCELLUS_SCREENSHOTS") {
        std::fs::copy(&screenshot, Path::new(&keep).join("demo.png")).unwrap();
    }

    let evidence = folder.path().join("evidence");
    until("a frame worth learning from is kept", || {
        files(&evidence).iter().any(|f| f.extension().is_some_and(|e| e == "json"))
    });
    let (ended, said) = { (running.signal("TERM"), running.wait()) }.1;
    assert!(ended.success(), "{said}");
    let stopped = subscriber.wait_for("/status", |m| m.topic.split('/').count() == 4);
    assert_eq!(stopped.json()["state"], "stopped");
    check_evidence(&evidence, "demo");
}

/// Every record has its picture, as it says, and names say what is in them.
fn check_evidence(under: &Path, site: &str) {
    let found = files(under);
    let records: Vec<_> = found.iter().filter(|f| f.extension().is_some_and(|e| e == "json")).collect();
    assert_eq!(records.len() * 2, found.len(), "a picture and a record each: {found:?}");
    for path in records {
        let record: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!(record["schema"], "ocellus.evidence/1");
        assert_eq!(record["detections"]["site"], site);
        assert!(record["detections"]["model"]["digest"].as_str().unwrap().starts_with("sha256:"));
        let picture = path.with_extension("jpg");
        let bytes = std::fs::read(&picture).unwrap();
        assert_eq!(record["image"]["bytes"], bytes.len());
        let image = image::load_from_memory(&bytes).unwrap();
        assert_eq!(record["image"]["width"], image.width());
        let day = &record["detections"]["frame"]["captured_at"].as_str().unwrap()[..10];
        let camera = record["detections"]["camera"].as_str().unwrap();
        let folder = format!("evidence/dt={day}/site={site}/camera={camera}/");
        assert!(path.to_str().unwrap().contains(&folder), "{}", path.display());
    }
}

#[test]
fn real_footage_through_a_bare_model() {
    let (Some(model), Some(clip)) =
        (samples::path("models/yolox_nano_416.onnx"), samples::path("video/bottle-detection.mp4"))
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let source = format!("file:{}", clip.display());
    let (running, port, page) =
        demo(folder.path(), &["--source", &source, "--profile", "yolox", "--model", model.to_str().unwrap()]);
    let mut subscriber = Subscriber::to(port, "ocellus/demo/+/camera/detections");
    let message = subscriber.wait_for("/detections", |m| m.payload.contains("\"bottle\"")).json();
    assert_eq!((message["frame"]["width"].as_u64(), message["frame"]["height"].as_u64()), (Some(640), Some(360)));
    if let Some(keep) = std::env::var_os("OCELLUS_SCREENSHOTS") {
        browse(&page, &Path::new(&keep).join("bottles.png"));
    }
    let decoders = children(running.id());
    assert!(!decoders.is_empty(), "a clip is read by a child process");
    assert!(running.terminate().0.success());
    assert!(!decoders.iter().any(|pid| is_alive(*pid)), "no decoder outlives the daemon");
}
