//! The daemon as a device of a hub that enforces the rules of Azure's: see `tests/peers/iot_hub.mjs`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::peers::{Mosquitto, Running, Subscriber, ocellus, run, text, until};

#[path = "../peers/iot_hub.rs"]
pub mod peer;

/// A node on a simulated line whose events go to a hub.
struct Node {
    folder: tempfile::TempDir,
    config: PathBuf,
    kept: BTreeSet<String>,
}

impl Node {
    fn new(mqtt: &str, iothub: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("ocellus.toml");
        let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/conveyor");
        let (outbox, store) = (folder.path().join("outbox"), folder.path().join("store"));
        let text = format!(
            "site = \"plant-7\"\nnode = \"edge-01\"\ndevice = \"cpu\"\n[mqtt]\n{mqtt}[iothub]\n{iothub}\
             [outbox]\npath = {outbox:?}\nreserve_mib = 1\n[evidence]\nstore = {store:?}\n\
             [models.parts]\npath = {package:?}\n\
             [cameras.line]\nsource = \"sim:conveyor?seed=3&fps=30&width=320&height=180\"\n[cameras.line.track]\n"
        );
        std::fs::write(&config, text).unwrap();
        Self { folder, config, kept: BTreeSet::new() }
    }

    fn start(&self) -> Running {
        let mut command = ocellus();
        command.env("RUST_LOG", "ocellus::outbox=trace,ocellus=info").args(["run", "--config"]).arg(&self.config);
        Running::start(&mut command)
    }

    fn take_the_camera_away(&self) {
        let text = std::fs::read_to_string(&self.config).unwrap();
        std::fs::write(&self.config, text.split("[cameras").next().unwrap()).unwrap();
    }

    /// Notes an event that the outbox says it has kept, from a line of the log. Evidence goes elsewhere.
    fn hear(&mut self, line: &str) -> bool {
        let Some((_, id)) = line.split_once("Kept. id=").filter(|(_, rest)| rest.contains("event")) else {
            return false;
        };
        self.kept.insert(id.split_whitespace().next().unwrap().to_owned());
        true
    }

    fn waiting(&self) -> u64 {
        let outbox = self.folder.path().join("outbox");
        let output = run(&["outbox", "status", "--json", "--path", outbox.to_str().unwrap()]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let status: Value = serde_json::from_slice(&output.stdout).unwrap();
        status["kinds"]["event"]["waiting"].as_u64().unwrap()
    }
}

const OFF: &str = "enabled = false\n";

/// Tokens end, the hub is killed, the daemon is killed: what was kept arrives, each under one id.
#[test]
fn every_event_that_was_kept_arrives_at_the_hub_under_one_id() {
    let mut hub = peer::IotHub::start();
    let mut node = Node::new(OFF, &format!("token_s = 5\n{}", hub.device_with_key("edge-01")));
    for round in 0..8 {
        let mut running = node.start();
        for _ in 0..8 {
            running.wait_for("event that was kept", |line| node.hear(line).then_some(()));
        }
        if round % 4 == 1 {
            hub.kill();
        }
        for _ in 0..4 {
            running.wait_for("event that was kept", |line| node.hear(line).then_some(()));
        }
        if round % 4 == 1 {
            hub.begin();
        }
        running.signal("KILL");
        let (_, said) = running.wait();
        for line in said.lines() {
            node.hear(line);
        }
    }
    // The last one only delivers.
    node.take_the_camera_away();
    let running = node.start();
    until("nothing waits", || node.waiting() == 0);
    let (status, said) = running.terminate();
    assert!(status.success(), "{said}");

    let (mut ids, mut happened) = (BTreeSet::new(), BTreeMap::<String, BTreeSet<String>>::new());
    for message in hub.messages("ocellus.event/1") {
        let mut event = message["body"].clone();
        let id = event.as_object_mut().unwrap().remove("id").unwrap().as_str().unwrap().to_owned();
        assert_eq!(message["properties"]["$.mid"], id.as_str());
        happened.entry(event.to_string()).or_default().insert(id.clone());
        ids.insert(id);
    }
    let lost: Vec<_> = node.kept.difference(&ids).collect();
    assert!(lost.is_empty(), "{} of {} events are lost: {lost:?}", lost.len(), node.kept.len());
    assert!(node.kept.len() >= 90, "only {} events were kept", node.kept.len());
    let twice: Vec<_> = happened.values().filter(|ids| ids.len() > 1).collect();
    assert!(twice.is_empty(), "under several ids: {twice:?}");
    // On a machine that is busy a token may end before it is replaced; no other rule was broken.
    let closed: Vec<_> = hub.log().into_iter().filter(|e| e["is"] == "closed" && e["why"] != "token expired").collect();
    assert!(closed.is_empty(), "{closed:?}");
}

#[test]
fn a_twin_and_methods_command_the_daemon_beside_a_broker() {
    let (mut hub, broker) = (peer::IotHub::start(), Mosquitto::start());
    let mut subscriber = Subscriber::to(broker.port, "ocellus/plant-7/edge-01/#");
    let mqtt = format!("url = \"mqtt://127.0.0.1:{}\"\n", broker.port);
    let node = Node::new(&mqtt, &hub.device_with_key("edge-01"));
    let running = node.start();
    // Events go to both.
    let event = subscriber.wait_for("/line/events", |_| true).json();
    let told = hub.wait_for("message", |entry| entry["properties"]["schema"] == "ocellus.event/1");
    assert_eq!((&told["properties"]["camera"], &told["properties"]["type"]), (&json!("line"), &told["body"]["type"]));
    assert_eq!(event["track_id"].as_str().map(str::len), told["body"]["track_id"].as_str().map(str::len));
    let told = hub.wait_for("reported", |entry| {
        entry["reported"]["states"]["line"]["state"] == "ok" && entry["reported"]["node"]["models"].is_object()
    });
    assert_eq!(told["reported"]["node"]["version"], env!("CARGO_PKG_VERSION"));
    assert!(told["reported"]["node"]["device"].as_str().unwrap().starts_with("CPU"), "{told}");
    assert_eq!(told["reported"]["node"]["models"]["parts"]["name"], "conveyor");

    let method = |hub: &mut peer::IotHub, name: &str, payload: Value| {
        hub.order(&json!({ "do": "method", "device": "edge-01", "name": name, "payload": payload }));
        let answered = hub.wait_for("answered", |_| true);
        (answered["status"].as_u64().unwrap(), answered["body"].clone())
    };
    let (status, body) = method(&mut hub, "diagnose", Value::Null);
    assert!(status == 200 && body.is_object(), "{status} {body}");
    let (status, body) = method(&mut hub, "snapshot", json!({ "camera": "line" }));
    assert!(status == 200 && body["id"].is_string(), "{status} {body}");
    let (status, body) = method(&mut hub, "reload", Value::Null);
    assert_eq!((status, &body["changed"]), (200, &json!([])), "{body}");
    let (status, body) = method(&mut hub, "snapshot", json!({ "camera": "lime" }));
    assert!(status == 404 && body["reason"].as_str().unwrap().contains("lime"), "{status} {body}");

    let patch = json!({ "cameras": { "line": { "enabled": false, "score": 3 } } });
    hub.order(&json!({ "do": "desired", "device": "edge-01", "patch": patch }));
    subscriber.wait_for("/line/status", |message| message.json()["state"] == "off");
    let told = hub.wait_for("reported", |entry| {
        let line = &entry["reported"]["cameras"]["line"];
        line["enabled"]["ac"] == 200
            && line["score"]["ac"] == 400
            && entry["reported"]["states"]["line"]["state"] == "off"
    });
    assert_eq!(told["reported"]["cameras"]["line"]["enabled"]["av"], 2);
    let (status, said) = running.terminate();
    assert!(status.success(), "{said}");
    hub.wait_for("message", |entry| entry["body"]["state"] == "stopped");
    assert_eq!(hub.count("closed"), 0, "no rule was broken");
}

#[test]
fn a_provisioned_node_with_a_certificate_delivers() {
    let mut hub = peer::IotHub::start();
    let assignment = hub.path("assignment.json");
    let iothub = format!(
        "{}{}[iothub.dps]\nid_scope = {:?}\nregistration_id = \"edge-04\"\nurl = {:?}\nassignment = {assignment:?}\n",
        hub.certificate("edge-04"),
        hub.way(),
        peer::SCOPE,
        hub.provisioning()
    );
    let node = Node::new(OFF, &iothub);
    let running = node.start();
    hub.wait_for("assigned", |_| true);
    let told = hub.wait_for("message", |entry| entry["properties"]["schema"] == "ocellus.event/1");
    assert_eq!(told["client"], "edge-04");
    let (status, said) = running.terminate();
    assert!(status.success(), "{said}");
    let kept: Value = serde_json::from_slice(&std::fs::read(&assignment).unwrap()).unwrap();
    assert_eq!((&kept["hub"], &kept["device"]), (&json!(peer::HUB), &json!("edge-04")));
}

#[test]
fn what_is_missing_for_a_hub_is_said_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("ocellus.toml");
    std::fs::write(&config, "[iothub]\nconnection_string_env = \"OCELLUS_NO_SUCH_VARIABLE\"\n").unwrap();
    let output = run(&["run", "--config", config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("OCELLUS_NO_SUCH_VARIABLE"), "{said}");
}
