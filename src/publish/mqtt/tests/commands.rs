//! Commands from a real client, through a real broker, to whoever carries them out.

mod hostile;

use std::collections::BTreeSet;
use std::process::Command as Process;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::*;
use crate::command::{self, Command, Commander, Refusal, Request, SCHEMA, Setting};

const BASE: &str = "ocellus/plant-7/edge-01";

/// Publishes as `mosquitto_pub` does it with these arguments.
fn send(port: u16, topic: &str, arguments: &[&str]) {
    let port = port.to_string();
    let mut process = Process::new("mosquitto_pub");
    process.args(["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", &format!("{BASE}/{topic}")]).args(arguments);
    assert!(process.status().expect("mosquitto_pub is installed: scripts/setup test").success());
}

/// Who hears everything but the commands themselves, which are any bytes.
fn hearing(port: u16) -> Listener {
    Listener::with(port, &["-T", "+/+/+/+/+/set", "-T", "+/+/+/+/set"])
}

/// Cameras, each with the line `exit`.
fn known(cameras: &[&str]) -> Known {
    cameras.iter().map(|name| ((*name).to_owned(), BTreeSet::from(["exit".to_owned()]))).collect()
}

/// A setting that is in force.
fn state(request: &Request, value: Value) -> SettingState {
    SettingState {
        schema: SCHEMA.to_owned(),
        site: "plant-7".to_owned(),
        node: "edge-01".to_owned(),
        camera: request.camera.clone(),
        setting: request.command.name().to_owned(),
        value,
        configured: Some(Value::Null),
        commanded: true,
        since: Some(at(3)),
        refused: None,
    }
}

/// A connection with somebody behind it who carries out everything, and notes it.
struct Node {
    mqtt: Mqtt,
    done: Arc<Mutex<Vec<Request>>>,
}

impl Node {
    fn start(runtime: &Runtime, config: &MqttConfig, memory: StateFile) -> Self {
        let mut mqtt = start(runtime, config);
        let (commander, mut orders) = command::line(8);
        let _inside = runtime.enter();
        let (handle, done) = (mqtt.handle(), Arc::<Mutex<Vec<Request>>>::default());
        let noted = Arc::clone(&done);
        runtime.spawn(async move {
            while let Some(order) = orders.next().await {
                let request = order.request.clone();
                noted.lock().unwrap().push(request.clone());
                let answer = match request.command {
                    Command::Set(setting) => {
                        let state = state(&request, setting.value().unwrap_or(Value::Null));
                        handle.setting(&state);
                        Ok(json!(state))
                    }
                    Command::Snapshot => Ok(json!({"id": "01ID"})),
                    _ => Err(Refusal::not_now("not in this test")),
                };
                order.answer(answer);
            }
        });
        Self::listen(&mut mqtt, commander, memory);
        Self { mqtt, done }
    }

    fn listen(mqtt: &mut Mqtt, commander: Commander, memory: StateFile) {
        mqtt.handle().know(known(&["line3"]));
        mqtt.listen(commander, memory);
    }

    /// What was asked, but for diagnoses.
    fn done(&self) -> Vec<Request> {
        let done = self.done.lock().unwrap();
        done.iter().filter(|request| request.command != Command::Diagnose).cloned().collect()
    }
}

fn set(setting: Setting) -> Request {
    Request { camera: Some("line3".to_owned()), command: Command::Set(setting) }
}

/// Waits until commands reach the node: what was sent before it had subscribed is lost.
fn until_it_listens(broker: &Mosquitto, node: &Node, witness: &Listener) {
    eventually("a command is answered", || {
        send(broker.port(), "diagnose/set", &["-m", "please"]);
        !node.done.lock().unwrap().is_empty()
    });
    witness.next_on("diagnose/state");
}

/// Of a camera that is there and a setting.
fn next_state(witness: &Listener, topic: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let message = witness.next_on(&format!("{topic}/state"));
        if wanted(&message.payload) {
            return message.payload;
        }
    }
}

fn both_versions(test: impl Fn(&MqttConfig, &Mosquitto, &Runtime)) {
    for version in [3, 5] {
        let (broker, runtime) = (Mosquitto::start(), runtime());
        test(&MqttConfig { version, ..local(broker.port()) }, &broker, &runtime);
    }
}

#[test]
fn a_command_is_carried_out_and_its_state_is_retained() {
    both_versions(|config, broker, runtime| {
        let witness = hearing(broker.port());
        let node = Node::start(runtime, config, StateFile::default());
        until_it_listens(broker, &node, &witness);
        send(broker.port(), "line3/score/set", &["-m", "0.4"]);
        let state = next_state(&witness, "line3/score", |_| true);
        assert_eq!(
            (&state["schema"], &state["value"], &state["commanded"]),
            (&SCHEMA.into(), &0.4.into(), &true.into())
        );
        assert_eq!(state["since"], "2026-01-01T00:00:03.000Z");
        assert!(hearing(broker.port()).next_on("line3/score/state").retained, "who comes later learns it too");

        send(broker.port(), "line3/snapshot/set", &["-m", "PRESS"]);
        assert_eq!(next_state(&witness, "line3/snapshot", |_| true)["value"], json!({"id": "01ID"}));
        let snapshot = Request { camera: Some("line3".to_owned()), command: Command::Snapshot };
        assert_eq!(node.done(), [set(Setting::Score(Some(0.4))), snapshot]);
        assert_eq!(node.mqtt.handle().commands_trouble(), None);
        assert_eq!(close(runtime, node.mqtt), 0);
    });
}

#[test]
fn what_is_refused_leaves_the_value_and_says_why() {
    both_versions(|config, broker, runtime| {
        let witness = hearing(broker.port());
        let node = Node::start(runtime, config, StateFile::default());
        until_it_listens(broker, &node, &witness);
        send(broker.port(), "line3/fps/set", &["-m", "5"]);
        next_state(&witness, "line3/fps", |state| state["value"] == 5.0);
        let garbage = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(garbage.path(), [0xff, 0x00, 0xfe]).expect("written");
        let huge = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(huge.path(), vec![b'7'; 200_000]).expect("written");
        let (garbage, huge) = (garbage.path().to_str().expect("text"), huge.path().to_str().expect("text"));
        for (arguments, reason) in [
            (["-m", "many"], "`fps` is a number"),
            (["-m", "{\"value\": 5}"], "`fps` is a number"),
            (["-m", "-1"], "`fps` is a number"),
            (["-m", "0"], "`fps` is above 0"),
            (["-f", garbage], "not text"),
            (["-f", huge], "200000 bytes are too many"),
        ] {
            send(broker.port(), "line3/fps/set", &arguments);
            let state = next_state(&witness, "line3/fps", |state| !state["refused"].is_null());
            let refused = &state["refused"];
            assert!(refused["reason"].as_str().expect("text").contains(reason), "{state}");
            assert_eq!((&refused["kind"], &state["value"]), (&"bad-value".into(), &5.0.into()));
        }
        assert_eq!(node.done(), [set(Setting::Fps(Some(5.0)))]);
        // Who does it right is not told of what was wrong before.
        send(broker.port(), "line3/fps/set", &["-m", "6"]);
        let state = next_state(&witness, "line3/fps", |state| state["value"] == 6.0);
        assert!(state["refused"].is_null(), "{state}");
        assert_eq!(close(runtime, node.mqtt), 0);
    });
}

#[test]
fn commands_are_heard_again_after_each_reconnection() {
    let (mut broker, runtime) = (Mosquitto::start(), runtime());
    let node = Node::start(&runtime, &local(broker.port()), StateFile::default());
    for round in 1..=3_u8 {
        let witness = hearing(broker.port());
        until_it_listens(&broker, &node, &witness);
        send(broker.port(), "line3/fps/set", &["-m", &round.to_string()]);
        next_state(&witness, "line3/fps", |state| state["value"] == f64::from(round));
        broker.kill();
        eventually("it is away", || !node.mqtt.handle().connected());
        broker.run();
    }
    let witness = hearing(broker.port());
    // What is in force was told to the broker that forgot it.
    next_state(&witness, "line3/fps", |state| state["value"] == 3.0);
    drop(node);
}

#[test]
fn a_retained_command_is_new_once() {
    let (broker, runtime) = (Mosquitto::start(), runtime());
    let folder = tempfile::tempdir().expect("a folder");
    let memory = || StateFile::of(Some(folder.path()), "heard.json");
    let run = |given: &mut dyn FnMut(&Node, &Listener)| {
        let witness = hearing(broker.port());
        let node = Node::start(&runtime, &local(broker.port()), memory());
        until_it_listens(&broker, &node, &witness);
        given(&node, &witness);
        let done = node.done();
        assert_eq!(close(&runtime, node.mqtt), 0);
        done
    };
    // Given while the node was away.
    send(broker.port(), "line3/fps/set", &["-m", "5", "-r"]);
    send(broker.port(), "line3/snapshot/set", &["-m", "PRESS", "-r"]);
    let witness = hearing(broker.port());
    let node = Node::start(&runtime, &local(broker.port()), memory());
    next_state(&witness, "line3/fps", |state| state["value"] == 5.0);
    let refused = next_state(&witness, "line3/snapshot", |state| !state["refused"].is_null());
    assert!(refused["refused"]["reason"].as_str().expect("text").contains("retained"), "{refused}");
    eventually("it is done", || node.done() == [set(Setting::Fps(Some(5.0)))]);
    assert_eq!(close(&runtime, node.mqtt), 0);
    // Nothing new at the next start, nor when others have commanded something else since.
    assert_eq!(run(&mut |_, _| {}), []);
    assert_eq!(run(&mut |_, _| {}), []);
    // Another one, given while it was away.
    send(broker.port(), "line3/fps/set", &["-m", "7", "-r"]);
    let witness = hearing(broker.port());
    let node = Node::start(&runtime, &local(broker.port()), memory());
    next_state(&witness, "line3/fps", |state| state["value"] == 7.0);
    // Taken from the broker, and given again: it is new again.
    send(broker.port(), "line3/fps/set", &["-n", "-r"]);
    send(broker.port(), "line3/fps/set", &["-m", "8"]);
    next_state(&witness, "line3/fps", |state| state["value"] == 8.0);
    assert_eq!(node.done(), [set(Setting::Fps(Some(7.0))), set(Setting::Fps(Some(8.0)))]);
    assert_eq!(close(&runtime, node.mqtt), 0);
    drop(witness);
}

#[test]
fn the_broker_forgets_what_is_gone() {
    both_versions(|config, broker, runtime| {
        // Of earlier: another camera, a rule that is no more, and what is still there.
        let kept = ["line3/status", "line3/counts/exit", "line3/fps/state"];
        let gone = ["line9/status", "line9/counts/exit", "line9/enabled/state", "line3/counts/gate"];
        for topic in kept.iter().chain(&gone) {
            send(broker.port(), topic, &["-m", "{\"state\": \"old\"}", "-r"]);
        }
        let others = "ocellus/plant-7/edge-02/line9/status";
        let port = broker.port().to_string();
        let args = ["-h", "127.0.0.1", "-p", &port, "-q", "1", "-r", "-m", "{}", "-t", others];
        assert!(Process::new("mosquitto_pub").args(args).status().expect("it runs").success());
        let node = Node::start(runtime, config, StateFile::default());
        let retained = || {
            let late = hearing(broker.port());
            send(broker.port(), "mark/state", &["-m", "{}"]);
            let mut topics = BTreeSet::new();
            loop {
                let message = late.next();
                if message.topic.ends_with("mark/state") {
                    return topics;
                }
                topics.insert(message.topic);
            }
        };
        eventually("what is gone is forgotten", || {
            !retained().iter().any(|topic| gone.iter().any(|g| topic.ends_with(g) && topic != others))
        });
        let now = retained();
        for topic in kept {
            assert!(now.contains(&format!("{BASE}/{topic}")), "{topic}: {now:?}");
        }
        assert!(now.contains(others), "it is somebody else's: {now:?}");

        // While it runs: a camera goes, and a rule of another.
        let handle = node.mqtt.handle();
        handle.know(known(&["line3", "line4"]));
        for camera in ["line3", "line4"] {
            handle.camera_status(camera, &camera_status(CameraState::Ok, ""));
            handle.count(&count(camera, 1));
            handle.setting(&SettingState {
                camera: Some(camera.to_owned()),
                ..state(&set(Setting::Fps(None)), Value::Null)
            });
        }
        eventually("all are there", || retained().contains(&format!("{BASE}/line4/fps/state")));
        handle.know([("line3".to_owned(), BTreeSet::new())].into());
        eventually("they are forgotten", || {
            let now = retained();
            !now.iter().any(|topic| topic.contains("line4") || topic.ends_with("line3/counts/exit"))
        });
        assert!(retained().contains(&format!("{BASE}/line3/fps/state")));
        assert_eq!(close(runtime, node.mqtt), 0);
    });
}
