//! Events on their way through the outbox to a real broker.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::outbox::tests::roomy;
use crate::outbox::{Destination, Limits, Load, OutboxHandle};

pub(super) fn outbox(folder: &Path, limits: Limits) -> Outbox {
    Outbox::start(folder, limits, Arc::new(ManualClock::new(at(0)))).expect("started")
}

pub(super) fn start_with(runtime: &Runtime, config: &MqttConfig, outbox: &OutboxHandle, backlog_rate: u32) -> Mqtt {
    let _inside = runtime.enter();
    let durable = Durable { outbox: outbox.clone(), backlog_rate };
    let clock = Arc::new(ManualClock::new(at(0)));
    Mqtt::start(config, "plant-7", "edge-01", clock, durable).expect("good settings")
}

pub(super) fn left(runtime: &Runtime, outbox: &OutboxHandle) -> usize {
    runtime.block_on(outbox.read(Destination::Broker, 0, 10_000)).len()
}

/// The number that [`event`] was made with.
pub(super) fn number(message: &crate::publish::testing::Message) -> u64 {
    message.payload["id"].as_str().expect("an id").parse().expect("digits")
}

#[test]
fn events_survive_a_broker_that_comes_later_and_a_restart() {
    let (mut broker, runtime) = (Mosquitto::prepare("allow_anonymous true"), runtime());
    let folder = tempfile::tempdir().expect("a folder");
    {
        let outbox = outbox(folder.path(), roomy());
        let mqtt = start_with(&runtime, &local(broker.port()), &outbox.handle(), 1000);
        for n in 0..300 {
            mqtt.handle().event(&event("line3", n));
        }
        eventually("all are kept", || outbox.handle().status().loads.total().items == 300);
        assert_eq!(close(&runtime, mqtt), 1, "only the node's state is lost");
    }
    broker.run();
    let witness = Listener::on(broker.port());
    let outbox = outbox(folder.path(), roomy());
    let mqtt = start_with(&runtime, &local(broker.port()), &outbox.handle(), 1000);
    let seen: Vec<_> = (0..300).map(|_| number(&witness.next_on("line3/events"))).collect();
    assert_eq!(seen, (0..300).collect::<Vec<_>>(), "each once and in order");
    mqtt.handle().event(&event("line3", 300));
    let message = witness.next_on("line3/events");
    assert_eq!((number(&message), message.qos, message.retained), (300, 1, false));
    eventually("all are acknowledged", || left(&runtime, &outbox.handle()) == 0);
    eventually("it is counted", || outbox.handle().status().history[2].delivered == 301);
    assert_eq!(close(&runtime, mqtt), 0);
}

/// What the broker did not acknowledge stays, whatever rumqttc thinks of it.
#[test]
fn events_that_were_not_acknowledged_are_sent_again_under_their_id() {
    let (broker, runtime) = (Mosquitto::start(), runtime());
    let witness = Listener::on(broker.port());
    let port = outage::hang_up_once(broker.port(), "/line3/events", 10);
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path(), roomy());
    let mqtt = start_with(&runtime, &local(port), &outbox.handle(), 1000);
    for n in 0..100 {
        mqtt.handle().event(&event("line3", n));
    }
    let mut seen = BTreeSet::new();
    while seen.len() < 100 {
        assert!(seen.insert(number(&witness.next_on("/events"))), "nothing of it was acknowledged before");
    }
    eventually("all are acknowledged", || left(&runtime, &outbox.handle()) == 0);
    assert_eq!(close(&runtime, mqtt), 0);
}

#[test]
fn what_happens_now_is_not_held_up_by_a_backlog() {
    let (broker, runtime) = (Mosquitto::start(), runtime());
    let witness = Listener::on(broker.port());
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = outbox(folder.path(), roomy());
    let handle = outbox.handle();
    let silent = start_with(&runtime, &local(crate::publish::testing::free_port()), &handle, 1);
    for n in 0..1000 {
        silent.handle().event(&event("line3", n));
    }
    eventually("all are kept", || handle.status().loads.total().items == 1000);
    drop(silent);

    // At one a second the backlog would take a quarter of an hour.
    let mqtt = start_with(&runtime, &local(broker.port()), &handle, 1);
    let events = mqtt.handle();
    eventually("it connects", || events.connected());
    for n in 2000..2100 {
        events.event(&event("line3", n));
    }
    let mut live = Vec::new();
    let mut backlog = Vec::new();
    while live.len() < 100 {
        let n = number(&witness.next_on("/events"));
        if n < 1000 { backlog.push(n) } else { live.push(n) }
    }
    assert_eq!(live, (2000..2100).collect::<Vec<_>>());
    assert_eq!(backlog, (0..backlog.len() as u64).collect::<Vec<_>>());
    assert!(backlog.len() < 900, "{} of the backlog went before", backlog.len());
    close(&runtime, mqtt);
}

/// A week without a broker: the quota holds, what is given up is the oldest, the rest arrives in order.
#[test]
fn after_a_week_long_outage_all_that_found_room_is_delivered() {
    let runtime = runtime();
    let folder = tempfile::tempdir().expect("a folder");
    let items = |items| Load { items, bytes: 64 << 20 };
    let limits = Limits { total: items(5000), evidence: items(1000), reserve: 0 };
    let outbox = outbox(folder.path(), limits);
    let handle = outbox.handle();
    let clock = ManualClock::new(at(0));
    let mqtt = start_with(&runtime, &local(crate::publish::testing::free_port()), &handle, 10_000);
    // An event a minute from each of three cameras, and a piece of evidence every quarter of an hour.
    let (mut events, mut peak) = (0, 0);
    for minute in 0..7 * 24 * 60_u64 {
        clock.advance(Duration::from_secs(60));
        for camera in ["line1", "line2", "line3"] {
            let mut happened = Arc::unwrap_or_clone(event(camera, events));
            happened.frame.captured_at = crate::clock::Clock::wall(&clock);
            mqtt.handle().event(&happened);
            events += 1;
        }
        if minute % 15 == 0 {
            let evidence = crate::outbox::tests::item(crate::outbox::Kind::Evidence, minute % 997);
            handle.append(crate::outbox::Item { id: ulid::Ulid::from_parts(minute, 1), ..evidence });
        }
        if minute % 500 == 0 {
            runtime.block_on(handle.read(Destination::Broker, 0, 1));
            peak = peak.max(handle.status().loads.total().items);
        }
    }
    eventually("all were taken in", || handle.status().history[2].accepted == events);
    let status = handle.status();
    assert!(peak <= 5000 && status.loads.total().items == 5000, "{status:?}");
    assert_eq!(status.loads.of(crate::outbox::Kind::Evidence).items, 0, "evidence made room for events");
    assert_eq!(status.dropped + status.history.iter().map(|h| h.evicted).sum::<u64>(), events + 672 - 5000);
    let oldest = status.oldest_at.expect("something waits");
    assert_eq!((oldest - at(0)).num_minutes().unsigned_abs(), (events - 5000) / 3 + 1);

    drop(mqtt);
    // The witness may be slow; what it has not taken yet the broker keeps.
    let mut broker = Mosquitto::prepare("allow_anonymous true\nmax_queued_messages 0");
    broker.run();
    let witness = Listener::on(broker.port());
    let mqtt = start_with(&runtime, &local(broker.port()), &handle, 10_000);
    let seen: Vec<_> = (0..5000).map(|_| number(&witness.next_on("/events"))).collect();
    assert_eq!(seen, (events - 5000..events).collect::<Vec<_>>(), "in order, each once");
    eventually("nothing is left", || left(&runtime, &handle) == 0);
    assert_eq!(close(&runtime, mqtt), 0);
}
