//! MQTT 5 with a real broker.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use super::durable_delivery::{left, number, outbox, start_with};
use super::*;
use crate::outbox::tests::roomy;

fn version5(port: u16) -> MqttConfig {
    MqttConfig { version: 5, expiry_s: Some(600), detections_qos: 1, ..local(port) }
}

/// Runs `mosquitto_sub` for one message while `publish` makes it come.
fn what_comes(port: u16, topic: &str, format: &str, publish: impl FnOnce()) -> String {
    let command = ["-V", "5", "-C", "1", "-W", "60", "-h", "127.0.0.1", "-q", "1", "-t", topic, "-F", format, "-p"];
    let mut child = Command::new("mosquitto_sub");
    child.args(command).arg(port.to_string()).stdout(Stdio::piped());
    let child = child.spawn().expect("mosquitto_sub is installed: scripts/setup test");
    publish();
    let Output { stdout, .. } = child.wait_with_output().expect("it ends");
    String::from_utf8(stdout).expect("text").trim().to_owned()
}

#[test]
fn messages_say_what_they_are_and_expire() {
    let (broker, runtime) = (Mosquitto::start(), runtime());
    let mqtt = start(&runtime, &version5(broker.port()));
    let handle = mqtt.handle();
    eventually("it connects", || handle.connected());
    let format = "%q %r %F %C %E %P";
    let seen = what_comes(broker.port(), "ocellus/+/+/line3/events", format, || {
        std::thread::spawn({
            let handle = handle.clone();
            // Until one arrives after the subscription.
            move || {
                (0..600).for_each(|n| {
                    handle.event(&event("line3", n));
                    std::thread::sleep(Duration::from_millis(100));
                })
            }
        });
    });
    assert!(seen.starts_with("1 0 1 application/json "), "{seen}");
    let expiry: u32 = seen.split(' ').nth(4).and_then(|text| text.parse().ok()).expect("an expiry");
    assert!((1..=600).contains(&expiry), "{seen}");
    assert!(seen.contains("id:0000000000000000") && seen.contains("camera:line3"), "{seen}");
    // States stay for whoever comes later.
    let seen = what_comes(broker.port(), NODE, "%r %F %C %E|", || {});
    assert_eq!(seen, "1 1 application/json |");
}

#[test]
fn version_5_keeps_the_promises_of_version_3() {
    let (mut broker, runtime) = (Mosquitto::start(), runtime());
    let witness = Listener::on(broker.port());
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path(), roomy());
    let handle = outbox.handle();
    let mqtt = start_with(&runtime, &version5(broker.port()), &handle, 1000);
    witness.wait_for_state(NODE, "online", &["offline"]);
    for n in 0..100 {
        mqtt.handle().event(&event("line3", n));
    }
    let seen: Vec<_> = (0..100).map(|_| number(&witness.next_on("/events"))).collect();
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
    eventually("all are acknowledged", || left(&runtime, &handle) == 0);
    drop(witness);

    broker.kill();
    eventually("the outage is known", || !mqtt.handle().connected());
    for n in 100..200 {
        mqtt.handle().event(&event("line3", n));
    }
    eventually("all are kept", || left(&runtime, &handle) == 100);
    // The first try may come before the witness: what is retained it sees in any case.
    broker.run();
    eventually("all are acknowledged", || left(&runtime, &handle) == 0);
    let witness = Listener::on(broker.port());
    witness.wait_for_state(NODE, "online", &["offline"]);
    assert_eq!(close(&runtime, mqtt), 0);
    witness.wait_for_state(NODE, "stopped", &["offline"]);

    let gone = start(&runtime, &version5(broker.port()));
    witness.wait_for_state(NODE, "online", &["offline"]);
    drop(gone);
    witness.wait_for_state(NODE, "offline", &["stopped"]);
}

/// Only version 5 can say that a message was refused: then it stays in the outbox.
#[test]
fn what_the_broker_refuses_stays() {
    let (folder, runtime) = (tempfile::tempdir().expect("a folder"), runtime());
    let rules = folder.path().join("acl");
    let allow = |text: &str| std::fs::write(&rules, text).expect("written");
    allow("topic write ocellus/+/+/status\ntopic write ocellus/+/+/+/status\ntopic read #\n");
    let mut broker = Mosquitto::prepare(&format!("allow_anonymous true\nacl_file {}", rules.display()));
    broker.run();
    let outbox = outbox(&folder.path().join("outbox"), roomy());
    let handle = outbox.handle();
    let mqtt = start_with(&runtime, &version5(broker.port()), &handle, 1000);
    eventually("it connects", || mqtt.handle().connected());
    for n in 0..100 {
        mqtt.handle().event(&event("line3", n));
    }
    eventually("all are kept", || handle.status().history[2].accepted == 100);
    // Statistics are QoS 0: behind a state the refusals have come.
    mqtt.handle().camera_status("line3", &camera_status(CameraState::Ok, ""));
    let witness = Listener::on(broker.port());
    witness.wait_for_state(CAMERA, "ok", &[]);
    assert_eq!(left(&runtime, &handle), 100);
    drop(witness);

    broker.kill();
    allow("topic readwrite #\n");
    broker.run();
    eventually("all are acknowledged", || left(&runtime, &handle) == 0);
    eventually("that is written", || handle.status().history[2].delivered == 100);
    assert_eq!(close(&runtime, mqtt), 0);
}

/// Says this to whoever connects, once it was greeted.
fn answering(answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().map_while(Result::ok) {
            let _ = connection.read(&mut [0; 1024]);
            let _ = connection.write_all(answer);
        }
    });
    port
}

#[test]
fn a_broker_of_another_version_is_said_plainly() {
    let runtime = runtime();
    let (version3, version5): (&[u8], &[u8]) = (&[0x20, 2, 0, 1], &[0x20, 3, 0, 0x84, 0]);
    for (answer, version, wanted) in
        [(version3, 3, "does not speak MQTT 3.1.1"), (version5, 5, "does not speak MQTT 5")]
    {
        let mqtt = start(&runtime, &MqttConfig { version, ..local(answering(answer)) });
        let handle = mqtt.handle();
        eventually("it is refused", || handle.last_error().is_some());
        let error = handle.last_error().expect("an error");
        assert!(error.contains(wanted), "{error}");
    }
}
