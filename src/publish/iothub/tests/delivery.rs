//! Events on their way through the outbox to a hub.

use std::collections::BTreeSet;

use super::*;
use crate::config::MqttConfig;
use crate::publish::mqtt::tests::{count, detections, stats};
use crate::publish::testing::{Listener, Mosquitto};
use crate::publish::{Mqtt, iothub::tests::peer::HUB};

#[test]
fn events_arrive_with_properties_and_leave_the_outbox() {
    let (mut hub, runtime) = (peer::IotHub::start(), runtime());
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path());
    let iothub = start(&runtime, &config(&hub.device_with_key("edge-01")), &outbox.handle());
    let handle = iothub.handle();
    assert_eq!(handle.hub(), HUB);
    for n in 0..200 {
        handle.event(&event("line3", n));
    }
    let message = hub.wait_for("message", |entry| entry["properties"]["schema"] == EVENT);
    let properties = json!({
        "$.ct": "application/json", "$.ce": "utf-8", "schema": EVENT, "$.mid": format!("{:026}", 0),
        "camera": "line3", "type": "update",
    });
    assert_eq!(message["properties"], properties);
    assert_eq!((&message["qos"], &message["body"]["line"]["count"]), (&json!(1), &json!(17)));
    eventually("all are acknowledged", || left(&runtime, &outbox.handle()) == 0);
    assert_eq!(numbers(&hub), (0..200).collect::<Vec<_>>(), "each once and in order");
    assert_eq!(close(&runtime, iothub), 0);
    let states: Vec<_> = hub.messages("ocellus.status/1").iter().map(|m| m["body"]["state"].clone()).collect();
    assert_eq!(states, ["online", "stopped"]);
    assert_eq!((hub.count("closed"), hub.count("refused")), (0, 0));
}

#[test]
fn what_else_is_sent_is_asked_for() {
    let (hub, runtime) = (peer::IotHub::start(), runtime());
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path());
    let publish = |handle: &IotHubHandle| {
        eventually("it connects", || handle.connected());
        handle.count(&count("line3", 1));
        handle.count(&count("line3", 2));
        handle.detections(&detections("line3", 7));
        handle.stats(&stats(1));
        handle.count(&count("line3", 3));
        handle.stats(&stats(2));
        handle.event(&event("line3", 1));
    };
    let all = format!("send = [\"counts\", \"stats\", \"detections\"]\n{}", hub.device_with_key("edge-01"));
    let iothub = start(&runtime, &config(&all), &outbox.handle());
    publish(&iothub.handle());
    eventually("the event is there", || numbers(&hub) == [1]);
    assert_eq!(close(&runtime, iothub), 0);
    let sums = |hub: &peer::IotHub| -> Vec<u64> {
        hub.messages("ocellus.count/1").iter().filter_map(|m| m["body"]["crossed"]["right"]["total"].as_u64()).collect()
    };
    assert_eq!(sums(&hub), [2], "the latest, and not the one after the statistics");
    assert_eq!(hub.messages("ocellus.stats/1").len(), 1, "only every minute");
    assert_eq!(hub.messages("ocellus.detections/1")[0]["properties"]["camera"], "line3");

    let only_events = start(&runtime, &config(&hub.device_with_key("edge-01")), &outbox.handle());
    publish(&only_events.handle());
    eventually("the event is there", || numbers(&hub).len() == 2);
    assert_eq!(close(&runtime, only_events), 0);
    assert_eq!((sums(&hub).len(), hub.messages("ocellus.detections/1").len()), (1, 1));
}

/// Tokens of five seconds, of which four are used, while events flow without a pause.
#[test]
fn tokens_are_renewed_before_they_end_and_nothing_is_lost() {
    let (hub, runtime) = (peer::IotHub::start(), runtime());
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path());
    let short = format!("token_s = 5\n{}", hub.device_with_key("edge-01"));
    let iothub = start(&runtime, &config(&short), &outbox.handle());
    let handle = iothub.handle();
    let mut sent = 0;
    // On a machine that is busy the hub may come first now and then.
    eventually("two tokens were replaced before they ended", || {
        handle.event(&event("line3", sent));
        sent += 1;
        hub.count("connected") >= hub.count("closed") + 3
    });
    eventually("all are acknowledged", || left(&runtime, &outbox.handle()) == 0);
    assert_eq!(close(&runtime, iothub), 0);
    let seen: BTreeSet<_> = numbers(&hub).into_iter().collect();
    assert_eq!(seen, (0..sent).collect::<BTreeSet<_>>(), "nothing is lost");
}

#[test]
fn a_hub_that_is_killed_or_hangs_up_gets_everything_in_the_end() {
    let (mut hub, runtime) = (peer::IotHub::start(), runtime());
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path());
    let iothub = start(&runtime, &config(&hub.device_with_key("edge-01")), &outbox.handle());
    let handle = iothub.handle();
    let mut sent = 0;
    let mut send = |count: u64| {
        for n in sent..sent + count {
            handle.event(&event("line3", n));
        }
        sent += count;
    };
    hub.wait_for("connected", |_| true);
    send(300);
    hub.kill();
    send(300);
    eventually("the outage is known", || !handle.connected());
    hub.begin();
    hub.wait_for("connected", |_| true);
    send(100);
    hub.order(&json!({ "do": "kick", "device": "edge-01" }));
    send(100);
    hub.wait_for("connected", |_| true);
    eventually("all are acknowledged", || left(&runtime, &outbox.handle()) == 0);
    assert_eq!(close(&runtime, iothub), 0);
    let seen: BTreeSet<_> = numbers(&hub).into_iter().collect();
    assert_eq!(seen, (0..800).collect::<BTreeSet<_>>());
}

/// Only one connection a device: both can't be there, and each says what may be the matter.
#[test]
fn a_second_client_under_the_same_name_is_explained() {
    let (hub, runtime) = (peer::IotHub::start(), runtime());
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path());
    let settings = config(&hub.device_with_key("edge-01"));
    let first = start(&runtime, &settings, &outbox.handle());
    eventually("it connects", || first.handle().connected());
    let second = start(&runtime, &settings, &outbox.handle());
    let error = refusal(&first.handle());
    assert!(error.contains("another client with this device's id"), "{error}");
    drop(second);
    eventually("it connects", || first.handle().connected());
    close(&runtime, first);
}

#[test]
fn what_is_larger_than_a_hub_takes_is_left_out_and_the_rest_goes_on() {
    let (hub, runtime) = (peer::IotHub::start(), runtime());
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path());
    let iothub = start(&runtime, &config(&hub.device_with_key("edge-01")), &outbox.handle());
    let handle = iothub.handle();
    for (n, size) in [(1, 300_000), (2, 255_000), (3, 10)] {
        let mut large = Arc::unwrap_or_clone(event("line3", n));
        large.label = "x".repeat(size);
        handle.event(&large);
    }
    eventually("the outbox is empty", || left(&runtime, &outbox.handle()) == 0);
    eventually("two arrive", || numbers(&hub).len() == 2);
    assert_eq!((numbers(&hub), handle.dropped()), (vec![2, 3], 1));
    assert_eq!(close(&runtime, iothub), 0);
    assert_eq!(hub.count("closed"), 0);
}

#[test]
fn who_is_gone_without_a_word_is_offline() {
    let (mut hub, runtime) = (peer::IotHub::start(), runtime());
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path());
    let iothub = start(&runtime, &config(&hub.device_with_key("edge-01")), &outbox.handle());
    hub.wait_for("message", |entry| entry["body"]["state"] == "online");
    // The socket is closed without a DISCONNECT, as the kernel does it after `kill -9`.
    drop(iothub);
    let will = hub.wait_for("message", |entry| entry["will"] == true);
    assert_eq!(will["body"]["state"], "offline");
    assert_eq!(will["properties"]["mqtt-retain"], Value::Null);
}

/// Each has its own copy, and its own acknowledgement.
#[test]
fn a_broker_and_a_hub_get_the_same_events_each_at_its_own_pace() {
    let (mut hub, broker, runtime) = (peer::IotHub::start(), Mosquitto::start(), runtime());
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path());
    let handle = outbox.handle();
    let witness = Listener::on(broker.port());
    let settings = config(&hub.device_with_key("edge-01"));
    hub.kill();
    let iothub = start(&runtime, &settings, &handle);
    let mqtt = {
        let _inside = runtime.enter();
        let config = MqttConfig { url: format!("mqtt://127.0.0.1:{}", broker.port()), ..MqttConfig::default() };
        let durable = Durable { outbox: handle.clone(), backlog_rate: 1000 };
        Mqtt::start(&config, "plant-7", "edge-01", Arc::new(SystemClock), durable).expect("good settings")
    };
    for n in 0..50 {
        mqtt.handle().event(&event("line3", n));
        iothub.handle().event(&event("line3", n));
    }
    for _ in 0..50 {
        witness.next_on("line3/events");
    }
    let broker_left = || runtime.block_on(handle.read(Destination::Broker, 0, 100)).len();
    eventually("the broker has acknowledged all", || broker_left() == 0);
    assert_eq!(left(&runtime, &handle), 50, "the hub's wait for the hub");
    hub.begin();
    eventually("the hub has acknowledged all", || left(&runtime, &handle) == 0);
    assert_eq!(numbers(&hub), (0..50).collect::<Vec<_>>());
    assert_eq!(close(&runtime, iothub) + runtime.block_on(mqtt.close(PATIENCE)), 0);
}
