//! Commands to a daemon that runs, as `mosquitto_pub` gives them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::daemon::conveyors;
use crate::peers::{Message, Mosquitto, Running, Subscriber, files, ocellus, text};

const BASE: &str = "ocellus/plant-7/edge-01";

/// A daemon that may be started again on the same configuration and state.
pub struct Node {
    pub broker: Mosquitto,
    folder: tempfile::TempDir,
}

impl Node {
    pub fn new() -> Self {
        Self { broker: Mosquitto::start(), folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn configure(&self, rest: &str) {
        let text = format!(
            "site = \"plant-7\"\nnode = \"edge-01\"\ndevice = \"cpu\"\n\
             [outbox]\npath = {:?}\nreserve_mib = 1\n\
             [mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n{rest}",
            self.path("outbox"),
            self.broker.port
        );
        std::fs::write(self.path("ocellus.toml"), text).unwrap();
    }

    pub fn start(&self) -> Running {
        let mut running = Running::start(ocellus().args(["run", "--config"]).arg(self.path("ocellus.toml")));
        running.wait_for_line("Connected to the MQTT broker");
        // Statistics come once it is wholly there, and behind its subscription to commands.
        self.listen("stats").wait_for("/stats", |message| !message.retained);
        running
    }

    pub fn listen(&self, topic: &str) -> Subscriber {
        Subscriber::to(self.broker.port, &format!("{BASE}/{topic}"))
    }

    /// Gives a command, and waits until it is answered so.
    pub fn command(&self, topic: &str, payload: &str, answer: impl Fn(&Value) -> bool) -> Value {
        publish(self.broker.port, "hello", &["-m", "{}", "-r"]);
        let mut answers = self.listen("#");
        // It is subscribed when it gets what the broker has kept.
        answers.wait_for("/hello", |_| true);
        publish(self.broker.port, &format!("{topic}/set"), &["-m", payload]);
        let answered = |message: &Message| !message.retained && answer(&message.json());
        answers.wait_for(&format!("/{topic}/state"), answered).json()
    }
}

pub fn publish(port: u16, topic: &str, message: &[&str]) {
    let (port, topic) = (port.to_string(), format!("{BASE}/{topic}"));
    let args = ["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", &topic];
    assert!(Command::new("mosquitto_pub").args(args).args(message).status().unwrap().success());
}

fn seq(message: &Message) -> u64 {
    message.json()["frame"]["seq"].as_u64().unwrap()
}

fn scores(message: &Message) -> Vec<f64> {
    message.json()["objects"].as_array().unwrap().iter().map(|object| object["score"].as_f64().unwrap()).collect()
}

#[test]
fn a_paused_camera_stays_paused_over_restarts_and_the_others_do_not_notice() {
    let node = Node::new();
    node.configure(&conveyors(&[("a", 5), ("b", 5)]));
    let mut running = node.start();
    let mut other = node.listen("b/#");
    other.wait_for("b/status", |message| message.json()["state"] == "ok");
    let mut last = seq(&other.wait_for("b/detections", |_| true));
    node.listen("a/detections").wait_for("a/detections", |_| true);

    let state = node.command("a/enabled", "false", |state| state["value"] == false);
    assert_eq!((&state["commanded"], &state["configured"]), (&true.into(), &true.into()));
    let status = node.listen("a/status").wait_for("a/status", |m| m.json()["state"] == "off").json();
    assert_eq!((&status["reason"], &status["since"]), (&"paused by command".into(), &state["since"]));
    // Its source is closed: nothing comes, however long the other one goes on.
    let mut paused = node.listen("+/detections");
    let mut frames = 0;
    while frames < 10 {
        let message = paused.next();
        assert!(!message.topic.contains("/a/"), "{message:?}");
        frames += 1;
    }
    // The other one's frames go on, and its state was never told anew.
    let now = seq(&paused.wait_for("b/detections", |_| true));
    while last < now {
        let message = other.next();
        assert!(!message.topic.ends_with("/status"), "{message:?}");
        if message.topic.ends_with("/detections") {
            assert!(seq(&message) > last, "{message:?}");
            last = seq(&message);
        }
    }

    // Killed at once, what was answered holds.
    running.signal("KILL");
    running.wait();
    let running = node.start();
    let again = node.listen("a/status").wait_for("a/status", |m| m.json()["state"] == "off").json();
    assert_eq!(again, status, "off since the same time");
    node.listen("b/detections").wait_for("b/detections", |_| true);
    assert!(running.terminate().0.success());

    let running = node.start();
    node.listen("b/detections").wait_for("b/detections", |_| true);
    let state = node.command("a/enabled", "default", |state| state["value"] == true);
    assert_eq!(state["commanded"], false);
    node.listen("a/detections").wait_for("a/detections", |message| !message.retained);
    node.listen("a/status").wait_for("a/status", |m| m.json()["state"] == "ok");
    assert!(running.terminate().0.success());
}

#[test]
fn a_threshold_changes_what_is_detected_and_starts_nothing_anew() {
    let node = Node::new();
    node.configure(&conveyors(&[("a", 8), ("b", 8)]));
    let running = node.start();
    let mut frames = node.listen("a/detections");
    let first = frames.wait_for("a/detections", |message| scores(message).iter().any(|score| *score < 0.8));
    let before = first.json()["config"].clone();

    let state = node.command("a/score", "0.8", |state| state["value"] == 0.8);
    let own = state["configured"].as_f64().unwrap();
    assert!(own > 0.0 && own < 0.8, "{state}");
    // The one that was being scored at that moment.
    let last = frames.wait_for("a/detections", |message| message.json()["config"] != before);
    assert!(seq(&last) > seq(&first), "its frames go on");
    let mut seen = 0;
    while seen < 10 {
        let found = scores(&frames.next());
        assert!(found.iter().all(|score| *score >= 0.8), "{found:?}");
        seen += usize::from(!found.is_empty());
    }
    // Below the model's own threshold there is more, but not for the camera beside it.
    node.command("a/score", "0.01", |state| state["value"] == 0.01);
    frames.wait_for("a/detections", |message| scores(message).iter().any(|score| *score < own));
    let mut other = node.listen("b/detections");
    for _ in 0..10 {
        let found = scores(&other.next());
        assert!(found.iter().all(|score| *score >= own - 1e-4), "{found:?}");
    }
    let (status, said) = running.terminate();
    assert!(status.success(), "{said}");
    assert_eq!(said.matches("The camera delivers.").count(), 2, "{said}");
}

#[test]
fn the_last_word_counts_be_it_a_command_or_an_edit() {
    let node = Node::new();
    let cameras = conveyors(&[("a", 8)]);
    node.configure(&cameras);
    let running = node.start();
    node.listen("a/detections").wait_for("a/detections", |_| true);
    node.command("a/fps", "2", |state| state["value"] == 2.0 && state["commanded"] == true);
    // Another key: the command holds.
    node.configure(&format!("{cameras}motion = 1.0\n"));
    let plan = node.command("reload", "now", |state| state["refused"].is_null());
    assert_eq!(plan["value"], json!({"added": [], "changed": ["a"], "removed": [], "models": []}));
    let fps = || node.listen("a/fps/state").next().json();
    assert_eq!((&fps()["value"], &fps()["commanded"]), (&2.0.into(), &true.into()));
    // That key: what is written there counts.
    node.configure(&format!("{cameras}motion = 1.0\nfps = 4.0\n"));
    node.command("reload", "now", |state| state["refused"].is_null());
    let state = fps();
    assert_eq!((&state["value"], &state["configured"], &state["commanded"]), (&4.0.into(), &4.0.into(), &false.into()));
    // Neither at a restart is it as before.
    node.command("a/fps", "1", |state| state["value"] == 1.0);
    assert!(running.terminate().0.success());
    node.configure(&format!("{cameras}fps = 3.0\n"));
    let running = node.start();
    let state = node.listen("a/fps/state").wait_for("/state", |m| m.json()["value"] == 3.0).json();
    assert_eq!(state["commanded"], false);
    // A configuration with a mistake changes nothing, and who asked hears why.
    node.configure("colour = 3\n");
    let refused = node.command("reload", "now", |state| !state["refused"].is_null());
    let reason = refused["refused"]["reason"].as_str().unwrap();
    assert!(reason.contains("unknown key `colour`") && refused["refused"]["kind"] == "not-now", "{refused}");
    assert!(running.terminate().0.success());
}

#[test]
fn a_snapshot_is_kept_as_evidence_or_refused_with_the_reason() {
    let node = Node::new();
    let cameras = conveyors(&[("a", 5), ("b", 5)]);
    let evidence = |more: &str| {
        format!(
            "{cameras}[evidence]\nstore = {:?}\nband = [0.0, 0.0]\nmargin = 0.0\nflicker = false\n\
             novelty = false\nrare = 0.0\n{more}",
            node.path("store")
        )
    };
    node.configure(&evidence(""));
    let running = node.start();
    node.listen("a/detections").wait_for("a/detections", |_| true);
    let state = node.command("a/snapshot", "PRESS", |_| true);
    let id = state["value"]["id"].as_str().unwrap_or_else(|| panic!("{state}")).to_owned();
    crate::peers::until("it is in the store", || files(&node.path("store")).len() == 2);
    let kept = files(&node.path("store"));
    let record: Value = serde_json::from_slice(&std::fs::read(&kept[1]).unwrap()).unwrap();
    assert_eq!((&record["id"], &record["reason"]["kind"]), (&id.into(), &"operator".into()));
    assert_eq!((&record["detections"]["camera"], record["value"].as_f64()), (&"a".into(), Some(1.0)));

    node.command("b/enabled", "off", |state| state["value"] == false);
    for (topic, reason) in
        [("b/snapshot", "the camera gives no pictures: paused by command"), ("c/snapshot", "there is no camera `c`")]
    {
        let refused = node.command(topic, "PRESS", |state| !state["refused"].is_null());
        assert_eq!(refused["refused"]["reason"], reason);
    }
    assert!(running.terminate().0.success());

    node.configure(&cameras);
    let running = node.start();
    node.listen("a/detections").wait_for("a/detections", |_| true);
    let refused = node.command("a/snapshot", "PRESS", |state| !state["refused"].is_null());
    assert!(refused["refused"]["reason"].as_str().unwrap().contains("no evidence is kept"), "{refused}");
    assert!(running.terminate().0.success());
}

fn with_line(cameras: &str) -> String {
    format!(
        "{cameras}[[cameras.a.lines]]\nname = \"exit\"\npoints = [[0.8, 0], [0.8, 1]]\ndirection = \"right\"\n\
         [[cameras.a.lines]]\nname = \"middle\"\npoints = [[0.5, 0], [0.5, 1]]\ndirection = \"right\"\n"
    )
}

fn total(message: &Message) -> u64 {
    message.json()["crossed"]["right"]["total"].as_u64().unwrap()
}

#[test]
fn counts_go_on_over_a_restart_until_they_are_reset() {
    let node = Node::new();
    let cameras = conveyors(&[("a", 10)]);
    node.configure(&with_line(&cameras));
    let running = node.start();
    let mut counts = node.listen("a/counts/exit");
    let before = counts.wait_for("/exit", |message| total(message) >= 3);
    let (status, said) = running.terminate();
    assert!(status.success(), "{said}");
    let at_the_end = node.listen("a/counts/exit").next();
    assert!(total(&at_the_end) >= total(&before));

    let running = node.start();
    let mut counts = node.listen("a/counts/exit");
    let first = counts.wait_for("/exit", |message| !message.retained);
    assert!(total(&first) >= total(&at_the_end), "{first:?}");
    assert_eq!(first.json()["since"], at_the_end.json()["since"]);
    counts.wait_for("/exit", |message| total(message) > total(&at_the_end));

    let answer = node.command("a/reset", "PRESS", |_| true);
    assert_eq!(answer["value"], json!({"counts": 2}));
    let reset = counts.wait_for("/exit", |message| message.json()["since"] != first.json()["since"]);
    assert!(total(&reset) <= 1, "{reset:?}");
    assert!(counts.wait_for("/exit", |message| total(message) > 0).json()["since"] == reset.json()["since"]);

    // A rule that is gone is gone at the broker, and so is a camera.
    node.configure(&with_line(&cameras).replace("exit", "end"));
    node.command("reload", "now", |state| state["refused"].is_null());
    counts.wait_for("/exit", |message| message.payload.is_empty());
    assert!(running.terminate().0.success());
    // Also while nobody was there to say so.
    node.configure(&conveyors(&[("b", 5)]));
    let running = node.start();
    node.listen("b/detections").wait_for("b/detections", |_| true);
    crate::peers::until("the broker has forgotten the camera", || {
        let mut all = node.listen("#");
        all.wait_for("/hello", |message| message.retained);
        // What comes now comes after all that was kept.
        publish(node.broker.port, "mark", &["-m", "{}"]);
        loop {
            let message = all.next();
            if message.retained && message.topic.contains("/a/") {
                break false;
            }
            if message.topic.ends_with("/mark") {
                break true;
            }
        }
    });
    assert!(running.terminate().0.success());
}

#[test]
fn a_diagnosis_says_how_the_node_is() {
    let node = Node::new();
    node.configure(&conveyors(&[("a", 5), ("b", 5)]));
    let running = node.start();
    node.listen("stats").next();
    for camera in ["a", "b"] {
        node.listen(&format!("{camera}/status")).wait_for("/status", |m| m.json()["state"] == "ok");
    }
    let diagnosis = node.command("diagnose", "please", |_| true)["value"].clone();
    assert_eq!((&diagnosis["schema"], &diagnosis["troubles"]), (&"ocellus.diagnosis/1".into(), &json!([])));
    assert_eq!((&diagnosis["version"], &diagnosis["node"]), (&env!("CARGO_PKG_VERSION").into(), &"edge-01".into()));
    assert!(diagnosis["models"]["parts"]["digest"].as_str().unwrap().starts_with("sha256:"), "{diagnosis}");
    assert!(diagnosis["stats"]["uptime_s"].is_u64() && diagnosis["mqtt"]["connected"] == true, "{diagnosis}");
    node.command("b/enabled", "false", |state| state["value"] == false);
    let diagnosis = node.command("diagnose", "please", |_| true)["value"].clone();
    assert_eq!(diagnosis["troubles"], json!(["camera b is off: paused by command"]));
    assert_eq!(diagnosis["cameras"]["b"]["commanded"], json!({"enabled": false}));
    assert!(running.terminate().0.success());
}

#[test]
fn home_assistant_follows_a_reload() {
    let node = Node::new();
    let cameras = conveyors(&[("a", 5), ("b", 5)]);
    let configure = |rest: &str| {
        node.configure("");
        let head = std::fs::read_to_string(node.path("ocellus.toml")).unwrap();
        std::fs::write(node.path("ocellus.toml"), format!("{head}home_assistant = true\n{rest}")).unwrap();
    };
    configure(&with_line(&cameras));
    let running = node.start();
    let topic = |camera: &str| format!("homeassistant/device/ocellus_plant-7_edge-01_{camera}/config");
    let mut a = Subscriber::to(node.broker.port, &topic("a"));
    let device = a.next().json();
    let switch = &device["components"]["enabled"];
    assert_eq!(
        (&switch["platform"], &switch["command_topic"]),
        (&"switch".into(), &format!("{BASE}/a/enabled/set").into())
    );
    assert!(device["components"]["crossed_exit"]["state_topic"].is_string(), "{device}");
    // What Home Assistant would send.
    publish(node.broker.port, "a/enabled/set", &["-m", "OFF"]);
    node.listen("a/status").wait_for("a/status", |m| m.json()["reason"] == "paused by command");
    let mut b = Subscriber::to(node.broker.port, &topic("b"));
    assert!(b.next().json()["components"]["score"].is_object());

    configure(&with_line(&conveyors(&[("a", 5)])).replace("exit", "end"));
    node.command("reload", "PRESS", |state| state["refused"].is_null());
    b.wait_for("/config", |message| message.payload.is_empty());
    let device = a.wait_for("/config", |message| message.json()["components"]["crossed_end"].is_object()).json();
    assert_eq!(device["components"]["crossed_exit"], json!({"platform": "sensor"}), "it is taken back");
    let (status, said) = running.terminate();
    assert!(status.success(), "{said}");
}

#[test]
fn what_was_commanded_and_can_not_be_read_is_put_aside_and_said() {
    let node = Node::new();
    node.configure(&conveyors(&[("a", 5)]));
    std::fs::create_dir_all(node.path("outbox")).unwrap();
    std::fs::write(node.path("outbox/commands.json"), "{\"cameras\": 7}").unwrap();
    let running = node.start();
    node.command("a/enabled", "false", |state| state["value"] == false);
    let (status, said) = running.terminate();
    assert!(status.success() && said.contains("commands.json") && said.contains("begins anew"), "{said}");
    assert!(node.path("outbox/commands.json.corrupt").exists());
    // A disk that takes nothing: the command is refused, and nothing is changed.
    let running = node.start();
    std::fs::create_dir(node.path("outbox/commands.json.part")).unwrap();
    let refused = node.command("a/enabled", "true", |state| !state["refused"].is_null());
    assert!(refused["refused"]["reason"].as_str().unwrap().contains("can't be kept over a restart"), "{refused}");
    assert_eq!((&refused["value"], &refused["commanded"]), (&false.into(), &true.into()));
    assert!(running.terminate().0.success());
}

/// The files that the daemon makes have names that say what they are.
#[test]
fn the_state_of_a_node_is_in_its_outbox_folder() {
    let node = Node::new();
    node.configure(&with_line(&conveyors(&[("a", 10)])));
    let running = node.start();
    node.listen("a/counts/exit").wait_for("/exit", |_| true);
    node.command("a/fps", "9", |state| state["value"] == 9.0);
    let (status, said) = running.terminate();
    assert!(status.success(), "{said}");
    let names: Vec<String> = files(&node.path("outbox"))
        .iter()
        .filter_map(|path| path.file_name().map(|name| text(name.as_encoded_bytes())))
        .filter(|name| Path::new(name).extension().is_some_and(|ending| ending == "json"))
        .collect();
    assert_eq!(names, ["commands.json", "counts.json", "heard.json"]);
}
