//! `ocellus run` is told by SIGHUP that its configuration changed: cameras come, change and go, and the others don't
//! notice.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::peers::{Mosquitto, Running, Subscriber, ocellus};

/// A daemon whose configuration changes.
struct Reloading {
    broker: Mosquitto,
    config: PathBuf,
    running: Running,
    folder: tempfile::TempDir,
}

impl Reloading {
    fn start(cameras: &[(&str, u32)]) -> Self {
        let (broker, folder) = (Mosquitto::start(), tempfile::tempdir().unwrap());
        let config = folder.path().join("ocellus.toml");
        std::fs::write(&config, text(broker.port, "plant-7", cameras)).unwrap();
        let mut running = Running::start(ocellus().args(["run", "--config", config.to_str().unwrap()]));
        running.wait_for_line("open and warm");
        Self { broker, config, running, folder }
    }

    /// Changes the file, says so, and waits for what the daemon makes of it.
    fn reload(&mut self, text: &str, answer: &str) -> String {
        std::fs::write(&self.config, text).unwrap();
        self.running.signal("HUP");
        self.running.wait_for_line(answer)
    }

    fn cameras(&mut self, cameras: &[(&str, u32)], answer: &str) {
        self.reload(&text(self.broker.port, "plant-7", cameras), answer);
    }

    fn subscribe(&self, topic: &str) -> Subscriber {
        Subscriber::to(self.broker.port, &format!("ocellus/plant-7/edge-01/{topic}"))
    }
}

fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/conveyor")
}

/// Simulated cameras, each with its seed.
fn text(port: u16, site: &str, cameras: &[(&str, u32)]) -> String {
    let package = package();
    let mut text = format!(
        "site = \"{site}\"\nnode = \"edge-01\"\ndevice = \"cpu\"\n[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\n\
         [models.parts]\npath = \"{}\"\n",
        package.display()
    );
    for (name, seed) in cameras {
        let source = format!("sim:conveyor?seed={seed}&fps=4&width=320&height=180");
        writeln!(text, "[cameras.{name}]\nsource = \"{source}\"").unwrap();
    }
    text
}

/// The number of the next frame of a camera, and the digest of the configuration that it came under.
fn frame(subscriber: &mut Subscriber, camera: &str) -> (u64, String) {
    let message = subscriber.wait_for(&format!("/{camera}/detections"), |_| true).json();
    (message["frame"]["seq"].as_u64().unwrap(), message["config"].as_str().unwrap().to_owned())
}

#[test]
fn a_reload_touches_only_the_cameras_that_changed() {
    let mut daemon = Reloading::start(&[("stays", 1), ("changes", 2), ("goes", 3)]);
    let mut all = daemon.subscribe("#");
    // Far enough that a camera that starts over would be seen.
    let (mut last, before) = loop {
        let (seq, digest) = frame(&mut all, "stays");
        if seq >= 8 {
            break (seq, digest);
        }
    };
    let mut stays = daemon.subscribe("stays/#");
    stays.wait_for("stays/status", |status| status.json()["state"] == "ok");

    daemon.cameras(&[("stays", 1), ("changes", 7), ("comes", 4)], "Reloaded: 1 added, 1 changed, 1 removed.");
    let mut after = daemon.subscribe("#");
    assert!(frame(&mut after, "comes").1 != before);
    let (_, digest) = frame(&mut after, "changes");
    assert!(digest != before);
    // Its frames go on, in order; only the digest of what is in force is another.
    loop {
        let (seq, digest) = frame(&mut stays, "stays");
        assert!(seq > last, "{seq} after {last}");
        last = seq;
        if digest != before {
            break;
        }
    }
    // The broker knows no state of what is gone, and who listened was told so.
    all.wait_for("goes/status", |status| status.payload.is_empty());
    let mut states = daemon.subscribe("+/status");
    let mut retained = Vec::new();
    while retained.len() < 3 {
        let message = states.next();
        assert!(!message.topic.contains("goes"), "{message:?}");
        retained.push(message.topic);
    }
    // The camera that stayed was never anything but ok.
    let mut state = daemon.subscribe("stays/status");
    assert_eq!(state.next().json()["state"], "ok");
    let (status, said) = daemon.running.terminate();
    assert!(status.success(), "{said}");
    assert_eq!(said.matches("The camera delivers.").count(), 5, "three at the start, two by the reload: {said}");
}

#[test]
fn a_configuration_that_can_not_be_used_changes_nothing() {
    let mut daemon = Reloading::start(&[("a", 1)]);
    let mut frames = daemon.subscribe("a/detections");
    let (before, digest) = frame(&mut frames, "a");
    let broken = format!("{}colour = 3\n", text(daemon.broker.port, "plant-7", &[("a", 2)]));
    let said = daemon.reload(&broken, "Not reloaded");
    assert!(said.contains("unknown key `colour`") && said.contains("ocellus.toml:10:1"), "{said}");
    let moved = text(daemon.broker.port, "plant-8", &[("a", 2), ("b", 3)]);
    let said = daemon.reload(&moved, "Not reloaded");
    assert!(said.contains("site needs a restart; nothing was changed"), "{said}");
    let labels = "[cameras.a.track]\nlabels = [\"bold\"]\n";
    let unknown = format!("{}{labels}", text(daemon.broker.port, "plant-7", &[("a", 2)]));
    let said = daemon.reload(&unknown, "Not reloaded");
    assert!(said.contains("ocellus.toml:11:11: the model has no label `bold`: did you mean `bolt`?"), "{said}");
    let (after, still) = frame(&mut frames, "a");
    assert!(after > before && still == digest, "{after} after {before}");
    // What was meant in the first place is taken once it is right.
    daemon.cameras(&[("a", 1)], "Reloaded: nothing changed.");
    daemon.cameras(&[], "Reloaded: 0 added, 0 changed, 1 removed.");
    daemon.cameras(&[("a", 5)], "Reloaded: 1 added, 0 changed, 0 removed.");
    let mut again = daemon.subscribe("a/detections");
    frame(&mut again, "a");
    assert!(daemon.running.terminate().0.success());
}

#[test]
fn a_model_is_replaced_as_a_whole_or_the_one_before_goes_on() {
    let mut daemon = Reloading::start(&[("a", 1)]);
    let good = text(daemon.broker.port, "plant-7", &[("a", 1)]);
    let mut frames = daemon.subscribe("a/detections");
    let (before, digest) = frame(&mut frames, "a");

    // It is there, and is no model: that shows only when it is opened. The camera that comes with it does not come.
    let junk = daemon.folder.path().join("junk.onnx");
    std::fs::write(&junk, "junk").unwrap();
    let broken = text(daemon.broker.port, "plant-7", &[("a", 1), ("b", 2)]);
    let broken = broken.replace(package().to_str().unwrap(), junk.to_str().unwrap());
    let said = daemon.reload(&broken, "Not reloaded");
    assert!(said.contains("junk.onnx"), "{said}");
    let refused = |message: &crate::peers::Message| message.json()["config"]["refused"].is_object();
    let status = daemon.subscribe("status").wait_for("/status", refused).json();
    assert_eq!((&status["state"], &status["config"]["digest"]), (&"online".into(), &digest.clone().into()));
    assert!(status["config"]["refused"]["reason"].as_str().unwrap().contains("junk.onnx"), "{status}");
    let stats = daemon.subscribe("stats").wait_for("/stats", refused).json();
    assert_eq!(stats["config"], status["config"]);
    let (after, still) = frame(&mut frames, "a");
    assert!(after > before && still == digest, "{after} after {before}");

    let strict = good.replacen("[cameras", "score = 0.9\n[cameras", 1);
    daemon.reload(&strict, "Reloaded: 0 added, 1 changed, 0 removed; models opened anew: parts.");
    let status = daemon.subscribe("status").wait_for("/status", |message| !refused(message)).json();
    assert!(status["config"]["digest"] != digest.as_str(), "{status}");
    let mut again = daemon.subscribe("a/detections");
    for _ in 0..8 {
        let message = again.wait_for("a/detections", |m| m.json()["config"] != digest.as_str()).json();
        let scores = message["objects"].as_array().unwrap().iter().map(|object| object["score"].as_f64().unwrap());
        scores.for_each(|score| assert!(score >= 0.9, "{message}"));
    }
    assert!(daemon.running.terminate().0.success());
}

#[test]
fn other_files_where_a_model_was_are_noticed() {
    let (broker, folder) = (Mosquitto::start(), tempfile::tempdir().unwrap());
    let model = folder.path().join("parts");
    assert!(Command::new("cp").arg("-r").args([&package(), &model]).status().unwrap().success());
    let text = text(broker.port, "plant-7", &[("a", 1)]).replace(package().to_str().unwrap(), model.to_str().unwrap());
    let config = folder.path().join("ocellus.toml");
    std::fs::write(&config, &text).unwrap();
    let mut running = Running::start(ocellus().args(["run", "--config", config.to_str().unwrap()]));
    running.wait_for_line("open and warm");
    let mut daemon = Reloading { broker, config, running, folder };
    let digest = |frames: &mut Subscriber| {
        frames.wait_for("a/detections", |_| true).json()["model"]["digest"].as_str().unwrap().to_owned()
    };
    let mut frames = daemon.subscribe("a/detections");
    let before = digest(&mut frames);
    daemon.reload(&text, "Reloaded: nothing changed.");

    // As long as before.
    let manifest = model.join("model.toml");
    let described = std::fs::read_to_string(&manifest).unwrap();
    let version = |from: &str| described.lines().find(|line| line.starts_with(from)).unwrap().to_owned();
    let now = version("version =").replace(['0', '1', '2'], "3");
    assert_ne!(now, version("version ="));
    std::fs::write(&manifest, described.replace(&version("version ="), &now)).unwrap();
    daemon.reload(&text, "Reloaded: 0 added, 1 changed, 0 removed; models opened anew: parts.");
    let mut frames = daemon.subscribe("a/detections");
    while digest(&mut frames) == before {}

    // One that can't be used is not, and the one before goes on.
    std::fs::write(&manifest, "name = 1").unwrap();
    let said = daemon.reload(&text, "Not reloaded");
    assert!(said.contains("model.toml"), "{said}");
    let mut frames = daemon.subscribe("a/detections");
    assert_ne!(digest(&mut frames), before);
    assert!(daemon.running.terminate().0.success());
}

#[test]
fn zones_are_drawn_before_a_camera_that_goes_on() {
    let mut daemon = Reloading::start(&[("a", 1)]);
    let mut frames = daemon.subscribe("a/detections");
    let (before, _) = frame(&mut frames, "a");
    let zone = "[[cameras.a.zones]]\nname = \"all\"\npoints = [[0, 0], [1, 0], [1, 1], [0, 1]]\n";
    let text = format!("{}{zone}", text(daemon.broker.port, "plant-7", &[("a", 1)]));
    daemon.reload(&text, "Reloaded: 0 added, 1 changed, 0 removed.");
    let count = daemon.subscribe("a/counts/all").next().json();
    assert_eq!(count["rule"], "all");
    assert!(frame(&mut frames, "a").0 > before);
    let (status, said) = daemon.running.terminate();
    assert!(status.success(), "{said}");
    assert_eq!(said.matches("The camera delivers.").count(), 1, "{said}");
}
