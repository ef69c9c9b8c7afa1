//! What may leave by MQTT, as a subscriber elsewhere sees it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::daemon::conveyors;
use crate::peers::{Mosquitto, Running, Subscriber, ocellus, run, text};

#[test]
fn a_broker_elsewhere_gets_what_the_rules_let_go_and_the_log_says_how_much() {
    let (broker, folder) = (Mosquitto::start(), tempfile::tempdir().unwrap());
    let path = folder.path().join("ocellus.toml");
    let rules = "\
        [[privacy.mqtt]]\nname = \"hidden\"\ncameras = [\"hidden\"]\nallow = \"nothing\"\n\
        [[privacy.mqtt]]\nname = \"bare\"\ncameras = [\"bare\"]\nmessages = [\"detections\"]\nallow = \"labels\"\n\
        [[privacy.mqtt]]\nname = \"plain\"\ncameras = [\"plain\"]\nallow = \"all\"\n";
    let text_of = format!(
        "site = \"plant-7\"\nnode = \"edge-01\"\ndevice = \"cpu\"\n\
         [outbox]\npath = {:?}\nreserve_mib = 1\n\
         [mqtt]\noff_site = true\nurl = \"mqtt://127.0.0.1:{}\"\n{}{rules}",
        folder.path().join("outbox"),
        broker.port,
        conveyors(&[("hidden", 5), ("bare", 5), ("plain", 5)]),
    );
    std::fs::write(&path, text_of).unwrap();
    let mut subscriber = Subscriber::to(broker.port, "ocellus/plant-7/edge-01/#");
    let running = Running::start(ocellus().args(["run", "--config"]).arg(&path));
    // How a camera is, everybody may know.
    subscriber.wait_for("hidden/status", |message| message.json()["state"] == "ok");
    let mut seen = BTreeMap::<String, Vec<Value>>::new();
    let enough = |seen: &BTreeMap<String, Vec<Value>>, camera: &str| {
        let objects = seen.get(camera).into_iter().flatten().map(|m| m["objects"].as_array().unwrap().len());
        objects.sum::<usize>() >= 5
    };
    while !(enough(&seen, "bare") && enough(&seen, "plain")) {
        let message = subscriber.next();
        if message.topic.ends_with("/detections") {
            let message = message.json();
            seen.entry(message["camera"].as_str().unwrap().to_owned()).or_default().push(message);
        }
    }
    let (status, said) = running.terminate();
    assert!(status.success(), "{said}");
    assert!(!seen.contains_key("hidden"), "{:?}", seen.keys());
    let boxes = |camera: &str| -> Vec<Value> {
        let objects = seen[camera].iter().flat_map(|message| message["objects"].as_array().unwrap());
        objects.map(|object| object["box"].clone()).collect()
    };
    let everywhere = json!([0.0, 0.0, 1.0, 1.0]);
    assert!(boxes("bare").iter().all(|place| *place == everywhere));
    assert!(boxes("plain").iter().all(|place| *place != everywhere));

    let verified = run(&["audit", "verify", "--json", "--config", path.to_str().unwrap()]);
    assert!(verified.status.success(), "{}", text(&verified.stderr));
    let report: Value = serde_json::from_slice(&verified.stdout).unwrap();
    let count: usize = seen.values().map(Vec::len).sum();
    assert!(report["messages"].as_u64().unwrap() >= count as u64, "{report}");
    assert!(report["messages_withheld"].as_u64().unwrap() > 0, "{report}");
}
