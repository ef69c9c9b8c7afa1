//! What is said on which topic: by every peer that speaks MQTT in its own way, and by a broker.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use rumqttc::QoS;
use tokio::time::Instant;

use super::super::queue::Next;
use super::super::topics::Topics;
use super::desk::Desk;
use super::link::{Link, MAX_PACKET, encode};
use super::wire::{Client, Message};
use crate::clock::Clock;
use crate::outbox::{Destination, Kind};
use crate::status::{ConfigStatus, NodeState, NodeStatus};

/// What a peer wants to be sent, and how.
pub(in crate::publish) trait Dialect: Send + Sync + 'static {
    /// What the peer is called in messages for people.
    const PEER: &'static str;
    /// Which items of the outbox are for it.
    const DESTINATION: Destination;
    /// Largest packet that it takes, with topic and header.
    const LARGEST: usize;

    /// The message for what is next. None where there can be none.
    fn message(&self, next: &Next) -> Option<Message>;

    /// There is a new connection.
    fn connected(&self) {}

    /// Subscribes, where that is due.
    fn subscribe(&self, _client: &Client) {}

    /// When it is due, where that is not now.
    fn later(&self) -> Option<Instant> {
        None
    }
}

/// A broker: a topic for everything, states retained.
pub(in crate::publish) struct Broker {
    /// Whether there is one.
    pub(super) enabled: bool,
    pub(super) topics: Topics,
    /// Where commands come in.
    pub(super) desk: Desk,
    pub(super) detections_qos: QoS,
    pub(super) clock: Arc<dyn Clock>,
    /// Since when the node is there.
    pub(super) started: DateTime<Utc>,
    /// Which configuration is in force, as far as it is known.
    pub(super) config: Mutex<Option<ConfigStatus>>,
}

impl Dialect for Broker {
    const PEER: &'static str = "MQTT broker";
    const DESTINATION: Destination = Destination::Broker;
    const LARGEST: usize = MAX_PACKET;

    fn message(&self, next: &Next) -> Option<Message> {
        let message = |topic: String, payload: &Bytes, qos, retain| Message {
            topic,
            payload: payload.clone(),
            qos,
            retain,
            expires: !retain,
            about: Vec::new(),
        };
        Some(match next {
            Next::State { topic, payload } => message(topic.clone(), payload, QoS::AtLeastOnce, true),
            Next::Stats { topic, payload } => message(topic.clone(), payload, QoS::AtMostOnce, false),
            Next::Note { topic, payload, retain } => message(topic.clone(), payload, QoS::AtLeastOnce, *retain),
            Next::Durable(stored) => {
                let item = &stored.item;
                let topic = self.topics.of_camera(&item.camera, &item.channel).ok()?;
                let about = vec![("id", item.id.to_string()), ("camera", item.camera.clone())];
                let retain = item.kind == Kind::Count;
                Message { about, ..message(topic, &item.payload, QoS::AtLeastOnce, retain) }
            }
            Next::Detections(detections) => {
                let topic = self.topics.detections(&detections.camera).ok()?;
                let about = vec![("id", detections.id.clone()), ("camera", detections.camera.clone())];
                Message { about, ..message(topic, &encode(&**detections)?, self.detections_qos, false) }
            }
        })
    }

    fn connected(&self) {
        self.desk.connected();
    }

    fn subscribe(&self, client: &Client) {
        self.desk.subscribe(&self.topics, client);
    }

    fn later(&self) -> Option<Instant> {
        self.desk.later()
    }
}

impl Link<Broker> {
    pub(super) fn set_node_state(&self, state: NodeState) {
        let config = self.dialect.config.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let status = NodeStatus { config, ..self.node_status(state) };
        self.set_state(self.dialect.topics.node_status(), &status);
    }

    /// Says which configuration is in force.
    pub(super) fn set_config(&self, config: ConfigStatus) {
        *self.dialect.config.lock().unwrap_or_else(PoisonError::into_inner) = Some(config.clone());
        let status = NodeStatus { config: Some(config), ..NodeStatus::of(NodeState::Online, self.dialect.started) };
        self.set_state(self.dialect.topics.node_status(), &status);
    }

    fn node_status(&self, state: NodeState) -> NodeStatus {
        NodeStatus::of(state, self.dialect.clock.wall())
    }

    /// What the broker says for us when we are gone.
    pub(super) fn last_will(&self) -> (String, Bytes) {
        let payload = encode(&self.node_status(NodeState::Offline)).unwrap_or_default();
        (self.dialect.topics.node_status(), payload)
    }
}
