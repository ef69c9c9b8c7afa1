//! `ocellus run`: several cameras, a broker that comes and goes, a clean end and a violent one.

mod reload;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use crate::peers::{Mosquitto, Running, Subscriber, children, is_alive, ocellus, run, text, until};
use crate::samples;

/// Writes a configuration and starts the daemon on it.
pub fn daemon(folder: &Path, port: u16, rest: &str) -> Running {
    let config = folder.join("ocellus.toml");
    let head = format!(
        "site = \"plant-7\"\nnode = \"edge-01\"\ndevice = \"cpu\"\n[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\n"
    );
    std::fs::write(&config, format!("{head}{rest}")).unwrap();
    let checked = run(&["check", "--config", config.to_str().unwrap()]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    Running::start(ocellus().args(["run", "--config", config.to_str().unwrap()]))
}

/// A model package and cameras that need no sample data.
pub fn conveyors(rates: &[(&str, u32)]) -> String {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/conveyor");
    let mut text = format!("[models.parts]\npath = \"{}\"\n", package.display());
    for (name, fps) in rates {
        let source = format!("sim:conveyor?seed=3&fps={fps}&width=320&height=180");
        writeln!(text, "[cameras.{name}]\nsource = \"{source}\"").unwrap();
    }
    text
}

#[test]
fn cameras_run_at_their_own_rates() {
    let broker = Mosquitto::start();
    let folder = tempfile::tempdir().unwrap();
    let running = daemon(folder.path(), broker.port, &conveyors(&[("slow", 1), ("fast", 8)]));
    let mut subscriber = Subscriber::to(broker.port, "ocellus/plant-7/edge-01/+/detections");
    let mut frames: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    while frames.get("slow").map_or(0, Vec::len) < 6 {
        let message = subscriber.next();
        assert_eq!(message.qos, 0, "as configured by default");
        let message = message.json();
        let camera = message["camera"].as_str().unwrap().to_owned();
        frames.entry(camera).or_default().push(message["frame"]["seq"].as_u64().unwrap());
    }
    let (slow, fast) = (&frames["slow"], &frames["fast"]);
    assert!(fast.len() > slow.len(), "{frames:?}");
    for seqs in [slow, fast] {
        assert!(seqs.windows(2).all(|w| w[0] < w[1]), "in order and none twice: {seqs:?}");
    }
    assert!(running.terminate().0.success());
}

#[test]
fn a_broken_camera_is_its_own_trouble() {
    let broker = Mosquitto::start();
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("broken.mp4");
    std::fs::write(&clip, b"junk").unwrap();
    let broken = format!("[cameras.broken]\nsource = \"file:{}\"\n", clip.display());
    let running = daemon(folder.path(), broker.port, &format!("{}{broken}", conveyors(&[("good", 5)])));
    let mut subscriber = Subscriber::to(broker.port, "ocellus/plant-7/edge-01/#");
    let status = subscriber.wait_for("broken/status", |m| m.json()["reason"].as_str().is_some_and(|r| !r.is_empty()));
    assert!(status.json()["reason"].as_str().unwrap().contains("broken.mp4"), "{status:?}");
    assert_ne!(status.json()["state"], "ok");
    subscriber.wait_for("good/detections", |_| true);
    let (status, said) = running.terminate();
    assert!(status.success(), "{said}");
}

#[test]
fn the_broker_may_come_late_and_go_away() {
    let mut broker = Mosquitto::stopped();
    let folder = tempfile::tempdir().unwrap();
    let mut running = daemon(folder.path(), broker.port, &conveyors(&[("a", 5)]));
    running.wait_for_line("open and warm");
    broker.begin();
    let topic = "ocellus/plant-7/edge-01/#";
    Subscriber::to(broker.port, topic).wait_for("a/detections", |_| true);
    broker.kill();
    broker.begin();
    let mut subscriber = Subscriber::to(broker.port, topic);
    subscriber.wait_for("a/detections", |_| true);
    // This broker keeps nothing: the retained states must have been published anew.
    let node = Subscriber::to(broker.port, "ocellus/plant-7/edge-01/status").next();
    assert_eq!((node.json()["state"].as_str(), node.retained, node.qos), (Some("online"), true, 1));
    let camera = Subscriber::to(broker.port, "ocellus/plant-7/edge-01/a/status").next();
    assert_eq!((camera.json()["state"].as_str(), camera.retained, camera.qos), (Some("ok"), true, 1));
    assert!(running.terminate().0.success());
    assert_eq!(subscriber.wait_for("edge-01/status", |m| m.json()["state"] != "online").json()["state"], "stopped");
}

#[test]
fn the_last_will_says_offline() {
    let broker = Mosquitto::start();
    let folder = tempfile::tempdir().unwrap();
    let Some(clip) = samples::path("video/azure_shelf.mp4") else { return };
    let shelf = format!("[cameras.shelf]\nsource = \"file:{}?loop=true&realtime=true\"\n", clip.display());
    let mut running = daemon(folder.path(), broker.port, &format!("{}{shelf}", conveyors(&[])));
    let mut subscriber = Subscriber::to(broker.port, "ocellus/#");
    subscriber.wait_for("shelf/detections", |_| true);
    let decoders = children(running.id());
    assert!(!decoders.is_empty());
    running.signal("KILL");
    running.wait();
    let will = subscriber.wait_for("edge-01/status", |m| m.json()["state"] != "online");
    assert_eq!(will.json()["state"], "offline");
    until("decoders end with the daemon that was killed", || !decoders.iter().any(|pid| is_alive(*pid)));
    // Who comes later sees it too.
    let late = Subscriber::to(broker.port, "ocellus/plant-7/edge-01/status").next();
    assert_eq!((late.json()["state"].as_str(), late.retained), (Some("offline"), true));
}
