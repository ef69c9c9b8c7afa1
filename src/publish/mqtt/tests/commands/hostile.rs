//! Strangers, floods, messages that are too large, and brokers that refuse or repeat.

use std::process::Stdio;

use super::*;

/// Publishes each line as a message of its own, over one connection.
fn send_lines(port: u16, topic: &str, lines: &str) {
    use std::io::Write;
    let port = port.to_string();
    let mut process = Process::new("mosquitto_pub");
    process.args(["-h", "127.0.0.1", "-p", &port, "-q", "1", "-l", "-t", &format!("{BASE}/{topic}")]);
    let mut child = process.stdin(Stdio::piped()).spawn().expect("mosquitto_pub is installed: scripts/setup test");
    child.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("written");
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn strangers_are_answered_and_fill_nothing() {
    let (broker, runtime) = (Mosquitto::start(), runtime());
    let witness = hearing(broker.port());
    let node = Node::start(&runtime, &local(broker.port()), StateFile::default());
    until_it_listens(&broker, &node, &witness);
    let long = format!("{}/fps/set", "x".repeat(5000));
    for (topic, kind, reason) in [
        ("line4/fpss/set", "unknown-setting", "did you mean `fps`?"),
        ("line3/enable/set", "unknown-setting", "did you mean `enabled`?"),
        ("line3/reload/set", "unknown-setting", "`reload` is for the node"),
        ("enabled/set", "unknown-camera", "`enabled` is for a camera"),
        ("line3/snapshot/set", "bad-value", "empty message"),
    ] {
        let payload: &[&str] = if topic.contains("snapshot") { &["-n"] } else { &["-m", "1"] };
        send(broker.port(), topic, payload);
        let message = witness.next_on(&format!("{}state", topic.strip_suffix("set").expect("a set")));
        let refused = &message.payload["refused"];
        assert_eq!(refused["kind"], kind, "{message:?}");
        assert!(refused["reason"].as_str().expect("text").contains(reason), "{message:?}");
    }
    // A camera that is not there is for whoever carries commands out; a topic may be long, an answer is not.
    send(broker.port(), &long, &["-m", "1"]);
    eventually("it is asked", || {
        node.done().iter().any(|request| request.camera.as_ref().is_some_and(|c| c.len() == 5000))
    });
    let late = hearing(broker.port());
    send(broker.port(), "mark/state", &["-m", "{}"]);
    loop {
        let message = late.next();
        if message.topic.ends_with("mark/state") {
            break;
        }
        assert!(!message.topic.contains("enable") && !message.topic.contains("fpss"), "nothing is kept: {message:?}");
    }
    assert_eq!(close(&runtime, node.mqtt), 0);
}

#[test]
fn a_flood_is_bounded_and_the_last_word_may_be_said_again() {
    both_versions(|config, broker, runtime| {
        let witness = hearing(broker.port());
        let node = Node::start(runtime, config, StateFile::default());
        until_it_listens(broker, &node, &witness);
        let numbers: String = (0..5000).map(|n| format!("{}\n", n % 900 + 1)).collect();
        send_lines(broker.port(), "line3/fps/set", &numbers);
        eventually("the flood is over", || {
            send(broker.port(), "line3/fps/set", &["-m", "999"]);
            node.done().last() == Some(&set(Setting::Fps(Some(999.0))))
        });
        next_state(&witness, "line3/fps", |state| state["value"] == 999.0);
        assert!(node.done().len() <= 5100);
        assert!(node.mqtt.handle().connected(), "it is none the worse for it");
        assert_eq!(close(runtime, node.mqtt), 0);
    });
}

#[test]
fn a_message_larger_than_any_packet_stops_commands_for_a_while_and_nothing_else() {
    let (broker, runtime) = (Mosquitto::start(), runtime());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("huge");
    std::fs::write(&file, vec![b'7'; 3 << 20]).expect("written");
    let witness = hearing(broker.port());
    let node = Node::start(&runtime, &local(broker.port()), StateFile::default());
    until_it_listens(&broker, &node, &witness);
    drop(witness);
    // Retained: it would come again with every subscription.
    send(broker.port(), "line3/fps/set", &["-f", file.to_str().expect("text"), "-r"]);
    let handle = node.mqtt.handle();
    eventually("it says so", || handle.commands_trouble().is_some_and(|reason| reason.contains("too large")));
    eventually("it is back", || handle.connected());
    let after = hearing(broker.port());
    for seq in 0..20 {
        handle.count(&count("line3", seq));
        after.next_on("line3/counts/exit");
    }
    assert!(handle.connected(), "it stays");
    assert_eq!(close(&runtime, node.mqtt), 0);
}

#[test]
fn in_version_5_the_broker_keeps_what_is_too_large_to_itself() {
    let (broker, runtime) = (Mosquitto::start(), runtime());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("huge");
    std::fs::write(&file, vec![b'7'; 3 << 20]).expect("written");
    let node = Node::start(&runtime, &MqttConfig { version: 5, ..local(broker.port()) }, StateFile::default());
    let witness = hearing(broker.port());
    until_it_listens(&broker, &node, &witness);
    drop(witness);
    send(broker.port(), "line3/fps/set", &["-f", file.to_str().expect("text")]);
    let witness = hearing(broker.port());
    send(broker.port(), "line3/fps/set", &["-m", "4"]);
    next_state(&witness, "line3/fps", |state| state["value"] == 4.0);
    assert_eq!(node.mqtt.handle().commands_trouble(), None);
    assert_eq!(close(&runtime, node.mqtt), 0);
}

/// A broker in MQTT 3.1.1 as far as these tests take it: it answers subscriptions with a code, then sends messages.
fn raw_broker(code: u8, messages: Vec<Vec<u8>>) -> u16 {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut messages = messages.into_iter();
        loop {
            let mut byte = [0];
            let Ok(()) = stream.read_exact(&mut byte) else { return };
            let kind = byte[0];
            let (mut length, mut shift) = (0, 0);
            loop {
                stream.read_exact(&mut byte).expect("a length");
                length |= usize::from(byte[0] & 0x7f) << shift;
                shift += 7;
                if byte[0] & 0x80 == 0 {
                    break;
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).expect("a body");
            match kind {
                0x10 => stream.write_all(&[0x20, 2, 0, 0]).expect("written"),
                0x82 => {
                    // Filters end with their QoS, and ours have no other byte below 3.
                    let filters = body[2..].iter().filter(|byte| **byte < 2).count() / 2;
                    let codes = vec![code; filters];
                    let head = [0x90, u8::try_from(2 + filters).expect("few"), body[0], body[1]];
                    stream.write_all(&[head.as_slice(), &codes].concat()).expect("written");
                    messages.by_ref().for_each(|message| stream.write_all(&message).expect("written"));
                }
                0xa2 => stream.write_all(&[0xb0, 2, body[0], body[1]]).expect("written"),
                _ if kind & 0xf0 == 0x30 && kind & 0x06 != 0 => {
                    let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
                    stream.write_all(&[0x40, 2, body[2 + topic], body[3 + topic]]).expect("written");
                }
                _ => {}
            }
        }
    });
    port
}

/// A PUBLISH packet at QoS 1.
fn publish(topic: &str, payload: &str, id: u8, again: bool) -> Vec<u8> {
    let topic = format!("{BASE}/{topic}");
    let length = u8::try_from(2 + topic.len() + 2 + payload.len()).expect("short");
    let first = if again { 0x3a } else { 0x32 };
    let name = u16::try_from(topic.len()).expect("short").to_be_bytes();
    [&[first, length], name.as_slice(), topic.as_bytes(), &[0, id], payload.as_bytes()].concat()
}

#[test]
fn a_broker_that_grants_no_subscription_is_said() {
    let runtime = runtime();
    let node = Node::start(&runtime, &local(raw_broker(0x80, Vec::new())), StateFile::default());
    let handle = node.mqtt.handle();
    eventually("it says so", || {
        handle.commands_trouble().is_some_and(|reason| reason.contains("does not let us subscribe"))
    });
    assert!(handle.connected(), "and goes on");
}

#[test]
fn what_the_broker_sends_again_is_done_once() {
    let runtime = runtime();
    let messages = vec![
        publish("line3/fps/set", "5", 1, false),
        publish("line3/fps/set", "5", 1, true),
        publish("line3/snapshot/set", "PRESS", 2, false),
        publish("line3/snapshot/set", "PRESS", 2, true),
        // Marked as sent again, but never seen: the connection broke before.
        publish("line3/fps/set", "6", 3, true),
        publish("line3/fps/set", "5", 4, false),
    ];
    let node = Node::start(&runtime, &local(raw_broker(1, messages)), StateFile::default());
    let snapshot = Request { camera: Some("line3".to_owned()), command: Command::Snapshot };
    let fps = |fps| set(Setting::Fps(Some(fps)));
    eventually("all is done", || node.done().len() >= 4);
    assert_eq!(node.done(), [fps(5.0), snapshot, fps(6.0), fps(5.0)]);
}
