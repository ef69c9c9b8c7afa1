//! What is said to a hub: everything goes to one topic, and properties say what it is ("Use MQTT to send device-to-cloud
//! messages").

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rumqttc::QoS;
use serde::Deserialize;

use super::super::mqtt::dialect::Dialect;
use super::super::mqtt::link::{Link, encode};
use super::super::mqtt::wire::Message;
use super::super::queue::Next;
use super::encode::Bag;
use crate::clock::Clock;
use crate::detection;
use crate::outbox::Destination;
use crate::status::{NODE_SCHEMA, NodeState, NodeStatus};

/// A device-to-cloud message has at most 256 KiB, with its properties ("IoT Hub quotas and throttling").
pub(super) const MAX_MESSAGE: usize = 256 * 1024;

/// The dialect of a hub.
pub(super) struct Hub {
    /// The device's id, as of the latest connection.
    device: Mutex<String>,
    clock: Arc<dyn Clock>,
    /// The connection is to end for good.
    leaving: AtomicBool,
}

/// What routes may want to know of a message, as far as the payload says it.
#[derive(Debug, Default, Deserialize)]
struct Head {
    #[serde(default)]
    schema: String,
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl Hub {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { device: Mutex::default(), clock, leaving: AtomicBool::new(false) }
    }

    pub(super) fn set_device(&self, id: &str) {
        id.clone_into(&mut self.device.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// The topic of messages with these properties.
    pub(super) fn events(&self, bag: &str) -> String {
        let device = self.device.lock().unwrap_or_else(PoisonError::into_inner);
        format!("devices/{device}/messages/events/{bag}")
    }

    fn message_of(&self, bag: &str, payload: Bytes, qos: QoS) -> Message {
        Message { topic: self.events(bag), payload, qos, retain: false, expires: false, about: Vec::new() }
    }
}

/// The properties of a message in JSON. With type and encoding routes can look into the body.
pub(super) fn properties(schema: &str) -> Bag {
    Bag::default().with("$.ct", "application/json").with("$.ce", "utf-8").with("schema", schema)
}

impl Dialect for Hub {
    const PEER: &'static str = "hub";
    const DESTINATION: Destination = Destination::Hub;
    const LARGEST: usize = MAX_MESSAGE;

    /// States and statistics are named by their properties.
    fn message(&self, next: &Next) -> Option<Message> {
        Some(match next {
            Next::State { topic, payload } | Next::Note { topic, payload, .. } => {
                self.message_of(topic, payload.clone(), QoS::AtLeastOnce)
            }
            Next::Stats { topic, payload } => self.message_of(topic, payload.clone(), QoS::AtMostOnce),
            Next::Durable(stored) => {
                let item = &stored.item;
                let head: Head = serde_json::from_slice(&item.payload).unwrap_or_default();
                let bag = properties(&head.schema).with("$.mid", &item.id.to_string()).with("camera", &item.camera);
                let bag = head.kind.iter().fold(bag, |bag, kind| bag.with("type", kind));
                self.message_of(&bag.to_string(), item.payload.clone(), QoS::AtLeastOnce)
            }
            Next::Detections(detections) => {
                let bag =
                    properties(detection::SCHEMA).with("$.mid", &detections.id).with("camera", &detections.camera);
                self.message_of(&bag.to_string(), encode(&**detections)?, QoS::AtMostOnce)
            }
        })
    }
}

impl Link<Hub> {
    pub(super) fn set_node_state(&self, state: NodeState) {
        self.set_state(properties(NODE_SCHEMA).to_string(), &self.node_status(state));
    }

    fn node_status(&self, state: NodeState) -> NodeStatus {
        NodeStatus::of(state, self.dialect.clock.wall())
    }

    /// What the hub says for us when we are gone. It has to be a message like others.
    pub(super) fn last_will(&self) -> (String, Bytes) {
        let payload = encode(&self.node_status(NodeState::Offline)).unwrap_or_default();
        (self.dialect.events(&properties(NODE_SCHEMA).to_string()), payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::outbox::{Item, Stored, StoredFrame};
    use crate::publish::mqtt::carry::item_of;
    use crate::publish::mqtt::tests::{detections, event};

    fn hub() -> Hub {
        let hub = Hub::new(Arc::new(ManualClock::new(chrono::DateTime::UNIX_EPOCH)));
        hub.set_device("edge-01");
        hub
    }

    #[test]
    fn properties_say_what_a_message_is() {
        let item = item_of(&event("line 3", 7), Destination::Hub).expect("an item");
        let next = Next::Durable(Box::new(Stored { seq: 1, item, frame: StoredFrame::None }));
        let message = hub().message(&next).expect("a message");
        assert_eq!(
            message.topic,
            format!(
                "devices/edge-01/messages/events/$.ct=application%2Fjson&$.ce=utf-8&schema=ocellus.event%2F1\
                 &$.mid={:026}&camera=line%203&type=update",
                7
            )
        );
        assert_eq!((message.qos, message.retain), (QoS::AtLeastOnce, false));

        let message = hub().message(&Next::Detections(detections("line3", 7))).expect("a message");
        assert!(message.topic.ends_with(&format!("detections%2F1&$.mid={:026}&camera=line3", 7)), "{}", message.topic);
    }

    #[test]
    fn what_is_no_json_goes_without_a_schema() {
        let item = Item { payload: "{".into(), ..item_of(&event("line3", 7), Destination::Hub).expect("an item") };
        let next = Next::Durable(Box::new(Stored { seq: 1, item, frame: StoredFrame::None }));
        assert!(hub().message(&next).expect("a message").topic.contains("&schema=&$.mid="));
    }
}
