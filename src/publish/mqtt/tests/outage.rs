use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use super::*;

#[test]
fn a_broker_that_comes_later_is_found_and_told_what_is() {
    let (mut broker, runtime) = (Mosquitto::prepare("allow_anonymous true"), runtime());
    let mqtt = start(&runtime, &MqttConfig { queue: 5, ..local(broker.port()) });
    let handle = mqtt.handle();
    handle.camera_status("line3", &camera_status(CameraState::Connecting, ""));
    handle.camera_status("line3", &camera_status(CameraState::Ok, ""));
    handle.stats(&stats(1));
    handle.stats(&stats(2));
    for seq in 0..20 {
        handle.detections(detections("line3", seq));
    }
    eventually("the outage is known", || handle.last_error().is_some());
    let error = handle.last_error().expect("an error");
    assert!(error.contains("refused"), "{error}");
    assert!(!handle.connected());
    assert_eq!(handle.dropped(), 15, "the oldest went, since only five may wait");

    broker.run();
    let witness = Listener::on(broker.port());
    eventually("it connects", || handle.connected());
    assert_eq!(handle.last_error(), None);
    // The listener may have come a moment later: what is retained it sees in any case.
    assert_eq!(witness.next_on("line3/status").payload["state"], "ok");
    witness.wait_for_state(NODE, "online", &["offline"]);
    handle.detections(detections("line3", 20));
    while witness.next_on("/detections").payload["frame"]["seq"] != 20 {}
    assert_eq!(close(&runtime, mqtt), 0);
}

/// The broker forgets everything when it is killed; who subscribes afterwards finds it all again.
#[test]
fn after_a_restart_of_the_broker_states_come_back_and_detections_flow_again() {
    let (mut broker, runtime) = (Mosquitto::start(), runtime());
    let mqtt = start(&runtime, &MqttConfig { queue: 100, detections_qos: 1, ..local(broker.port()) });
    let handle = mqtt.handle();
    eventually("it connects", || handle.connected());
    handle.camera_status("line3", &camera_status(CameraState::Frozen, "no change"));
    broker.kill();
    eventually("the outage is known", || !handle.connected());
    for seq in 0..150 {
        handle.detections(detections("line3", seq));
    }
    assert_eq!(handle.dropped(), 50);

    broker.run();
    let witness = Listener::on(broker.port());
    let frozen = witness.wait_for_state(CAMERA, "frozen", &[]);
    assert_eq!(frozen.payload["reason"], "no change");
    eventually("it connects", || handle.connected());
    handle.detections(detections("line3", 1000));
    while witness.next_on("/detections").payload["frame"]["seq"] != 1000 {}
    let late = Listener::on(broker.port());
    assert!(late.wait_for_state(NODE, "online", &["offline"]).retained);
    assert_eq!(close(&runtime, mqtt), 0);
}

/// A peer in front of a broker that takes the first connection, swallows some messages unacknowledged and hangs up;
/// what comes afterwards it passes on.
pub(super) fn hang_up_once(broker: u16, topic: &'static str, after: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        let (mut first, _) = listener.accept().expect("a connection");
        // CONNACK: no session, accepted (MQTT 3.1.1 §3.2).
        first.write_all(&[0x20, 2, 0, 0]).expect("written");
        let (mut swallowed, mut buffer) = (Vec::new(), [0; 4096]);
        while String::from_utf8_lossy(&swallowed).matches(topic).count() < after {
            let read = first.read(&mut buffer).expect("read");
            swallowed.extend_from_slice(&buffer[..read]);
        }
        drop(first);
        let (ours, _) = listener.accept().expect("a connection");
        let theirs = TcpStream::connect(("127.0.0.1", broker)).expect("the broker is there");
        let pass = |mut from: TcpStream, mut to: TcpStream| {
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Both);
            });
        };
        pass(ours.try_clone().expect("a handle"), theirs.try_clone().expect("a handle"));
        pass(theirs, ours);
    });
    port
}

#[test]
fn at_qos_1_what_was_not_acknowledged_is_sent_again() {
    let (broker, runtime) = (Mosquitto::start(), runtime());
    let witness = Listener::on(broker.port());
    let port = hang_up_once(broker.port(), "/line3/detections", 10);
    let mqtt = start(&runtime, &MqttConfig { detections_qos: 1, ..local(port) });
    let handle = mqtt.handle();
    for seq in 0..100 {
        handle.detections(detections("line3", seq));
    }
    let seen: Vec<_> = (0..100).map(|_| witness.next_on("/detections").payload["frame"]["seq"].as_u64()).collect();
    assert_eq!(seen, (0..100).map(Some).collect::<Vec<_>>(), "each once and in order");
    assert_eq!(close(&runtime, mqtt), 0);
    assert_eq!(witness.next().payload["state"], "stopped", "nothing came twice");
}

#[test]
fn what_can_not_be_delivered_before_the_end_is_counted() {
    let (broker, runtime) = (Mosquitto::prepare("allow_anonymous true"), runtime());
    let mqtt = start(&runtime, &local(broker.port()));
    let handle = mqtt.handle();
    for seq in 0..7 {
        handle.detections(detections("line3", seq));
    }
    eventually("the outage is known", || handle.last_error().is_some());
    // Seven frames, and the state of the node.
    assert_eq!(close(&runtime, mqtt), 8);
    handle.detections(detections("line3", 8));
    assert_eq!(handle.dropped(), 7, "who still holds a handle does no harm");
}

#[test]
fn a_broker_that_takes_the_connection_and_says_nothing_is_an_outage() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        // Closed at once, in the middle of the handshake.
        for connection in silent.incoming() {
            drop(connection);
        }
    });
    let runtime = runtime();
    let mqtt = start(&runtime, &local(port));
    let handle = mqtt.handle();
    eventually("the outage is known", || handle.last_error().is_some());
    assert!(!handle.connected());
}

#[test]
fn a_peer_that_speaks_something_else_is_an_outage() {
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = other.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for (i, connection) in other.incoming().enumerate() {
            let answers: [&[u8]; 4] =
                [b"HTTP/1.1 400 Bad Request\r\n\r\n", &[0xff; 64], &[0x20, 0xff, 0xff, 0xff, 0xff], &[0x20, 2, 0, 9]];
            let _ = connection.and_then(|mut c| c.write_all(answers[i % 4]));
        }
    });
    let runtime = runtime();
    let mqtt = start(&runtime, &local(port));
    let handle = mqtt.handle();
    let mut reasons = std::collections::BTreeSet::new();
    eventually("several answers were refused", || {
        reasons.extend(handle.last_error());
        reasons.len() >= 2
    });
    assert!(!handle.connected());
}
