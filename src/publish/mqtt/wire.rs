//! The client library in both versions of the protocol, as far as the link needs it.

use std::time::Duration;

use bytes::Bytes;
use rumqttc::v5::mqttbytes::QoS as QoS5;
use rumqttc::v5::mqttbytes::v5::{
    ConnectReturnCode as Code5, Filter as Filter5, LastWill as LastWill5, LastWillProperties, Packet as Packet5,
    PubAckReason, PublishProperties, SubscribeReasonCode as SubscribeReasonCode5,
};
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, LastWill, MqttOptions, Outgoing, Packet, QoS,
    StateError, SubscribeFilter, SubscribeReasonCode, mqttbytes, v5,
};

use super::link::MAX_PACKET;
use super::options::Options;
use crate::publish::tls::{Distrust, distrust};

/// What is handed to the client.
#[derive(Debug, Clone)]
pub(in crate::publish) struct Message {
    pub(in crate::publish) topic: String,
    pub(in crate::publish) payload: Bytes,
    pub(in crate::publish) qos: QoS,
    pub(in crate::publish) retain: bool,
    /// Whether the broker may drop it after the configured time.
    pub(in crate::publish) expires: bool,
    /// What version 5 says of it beside: name and value.
    pub(in crate::publish) about: Vec<(&'static str, String)>,
}

/// What JSON is called.
const CONTENT_TYPE: &str = "application/json";
/// The payload is text in UTF-8 (MQTT 5 §3.3.2.3.2).
const TEXT: u8 = 1;

/// The half that takes messages. Cloning shares it.
#[derive(Clone)]
pub(in crate::publish) enum Client {
    V3(AsyncClient),
    V5 { client: v5::AsyncClient, expiry: Option<Duration> },
}

/// The half that runs the connection.
pub(in crate::publish) enum Events {
    V3(Box<EventLoop>),
    V5(Box<v5::EventLoop>),
}

/// What the link needs to know of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::publish) enum Seen {
    /// The broker has accepted us.
    Connected,
    /// The next message was written; its id is 0 at QoS 0.
    Written(u16),
    /// The broker has a message.
    Acknowledged(u16),
    /// The broker has it, but will not deliver it, and says why.
    Refused(u16, String),
    /// The broker has answered a subscription; whether it grants all of it.
    Subscribed(bool),
    /// Somebody's message on a topic that we are subscribed to.
    Heard(Heard),
    /// Our DISCONNECT was written.
    Disconnected,
    Nothing,
}

/// A message to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::publish) struct Heard {
    pub(in crate::publish) topic: String,
    pub(in crate::publish) payload: Bytes,
    /// The broker had it from before we subscribed.
    pub(in crate::publish) stored: bool,
    /// It may have come before.
    pub(in crate::publish) again: bool,
}

/// Why a connection broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::publish) struct Broken {
    /// One line for people.
    pub(in crate::publish) reason: String,
    /// A message to us was larger than we take.
    pub(in crate::publish) oversized: bool,
    /// The peer is there, but does not let us in.
    pub(in crate::publish) refused: bool,
    /// What of TLS is the cause.
    pub(in crate::publish) distrust: Option<Distrust>,
}

/// Makes a client. `capacity` is how many messages its channel takes.
pub(in crate::publish) fn client(options: Options, capacity: usize) -> (Client, Events) {
    match options {
        Options::V3 { options, network } => {
            let (client, mut events) = AsyncClient::new(*options, capacity);
            events.set_network_options(network);
            (Client::V3(client), Events::V3(Box::new(events)))
        }
        Options::V5 { options, expiry } => {
            let (client, events) = v5::AsyncClient::new(*options, capacity);
            (Client::V5 { client, expiry }, Events::V5(Box::new(events)))
        }
    }
}

impl Client {
    /// Hands a message over; false where there is no room or it is none.
    pub(in crate::publish) fn publish(&self, message: Message) -> bool {
        let Message { topic, payload, qos, retain, expires, about } = message;
        match self {
            Self::V3(client) => client.try_publish(topic, qos, retain, payload).is_ok(),
            Self::V5 { client, expiry } => {
                let seconds = |expiry: &Duration| u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX);
                let properties = PublishProperties {
                    payload_format_indicator: Some(TEXT),
                    message_expiry_interval: expiry.as_ref().filter(|_| expires).map(seconds),
                    content_type: Some(CONTENT_TYPE.to_owned()),
                    user_properties: about.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
                    ..PublishProperties::default()
                };
                client.try_publish_with_properties(topic, qos5(qos), retain, payload, properties).is_ok()
            }
        }
    }

    /// Subscribes; false where there is no room for that now.
    pub(in crate::publish) fn subscribe(&self, filters: &[String], qos: QoS) -> bool {
        let filters = filters.iter().cloned();
        match self {
            Self::V3(client) => client.try_subscribe_many(filters.map(|f| SubscribeFilter::new(f, qos))).is_ok(),
            Self::V5 { client, .. } => client.try_subscribe_many(filters.map(|f| Filter5::new(f, qos5(qos)))).is_ok(),
        }
    }

    /// Ends a subscription; false where there is no room for that now.
    pub(in crate::publish) fn unsubscribe(&self, filter: &str) -> bool {
        match self {
            Self::V3(client) => client.try_unsubscribe(filter).is_ok(),
            Self::V5 { client, .. } => client.try_unsubscribe(filter).is_ok(),
        }
    }

    /// Asks for a DISCONNECT.
    pub(in crate::publish) fn disconnect(&self) -> bool {
        match self {
            Self::V3(client) => client.try_disconnect().is_ok(),
            Self::V5 { client, .. } => client.try_disconnect().is_ok(),
        }
    }
}

impl Events {
    /// The next event; connects where there is no connection. An error ends the connection.
    pub(in crate::publish) async fn next(&mut self) -> Result<Seen, Broken> {
        match self {
            Self::V3(events) => events.poll().await.map(|event| seen(&event)).map_err(|error| describe(&error)),
            Self::V5(events) => events.poll().await.map(|event| seen5(&event)).map_err(|error| describe5(&error)),
        }
    }

    /// What a broken connection still had to say.
    pub(in crate::publish) fn rest(&mut self) -> Vec<Seen> {
        match self {
            Self::V3(events) => events.state.events.drain(..).map(|event| seen(&event)).collect(),
            Self::V5(events) => events.state.events.drain(..).map(|event| seen5(&event)).collect(),
        }
    }

    /// Nothing of a broken connection may reach the next one.
    pub(in crate::publish) fn forget(&mut self) {
        match self {
            Self::V3(events) => {
                events.clean();
                events.pending.clear();
                events.state.collision = None;
            }
            Self::V5(events) => {
                events.clean();
                events.pending.clear();
                events.state.collision = None;
            }
        }
    }

    /// Connects with other options from the next time on. Only for version 3, and within the same window.
    pub(in crate::publish) fn set_options(&mut self, options: MqttOptions) {
        if let Self::V3(events) = self {
            events.mqtt_options = options;
        }
    }

    /// What the broker says for us when we are gone: at QoS 1.
    pub(in crate::publish) fn set_last_will(&mut self, topic: String, payload: Bytes, retain: bool) {
        match self {
            Self::V3(events) => {
                events.mqtt_options.set_last_will(LastWill::new(topic, payload, QoS::AtLeastOnce, retain));
            }
            Self::V5(events) => {
                let properties = LastWillProperties {
                    delay_interval: None,
                    payload_format_indicator: Some(TEXT),
                    message_expiry_interval: None,
                    content_type: Some(CONTENT_TYPE.to_owned()),
                    response_topic: None,
                    correlation_data: None,
                    user_properties: Vec::new(),
                };
                let will = LastWill5::new(topic, payload, QoS5::AtLeastOnce, retain, Some(properties));
                events.options.set_last_will(will);
            }
        }
    }
}

fn qos5(qos: QoS) -> QoS5 {
    match qos {
        QoS::AtMostOnce => QoS5::AtMostOnce,
        QoS::AtLeastOnce => QoS5::AtLeastOnce,
        QoS::ExactlyOnce => QoS5::ExactlyOnce,
    }
}

fn seen(event: &Event) -> Seen {
    match event {
        Event::Incoming(Packet::ConnAck(_)) => Seen::Connected,
        Event::Incoming(Packet::PubAck(ack)) => Seen::Acknowledged(ack.pkid),
        Event::Incoming(Packet::SubAck(ack)) => {
            Seen::Subscribed(ack.return_codes.iter().all(|code| matches!(code, SubscribeReasonCode::Success(_))))
        }
        Event::Incoming(Packet::Publish(message)) => Seen::Heard(Heard {
            topic: message.topic.clone(),
            payload: message.payload.clone(),
            stored: message.retain,
            again: message.dup,
        }),
        Event::Outgoing(outgoing) => seen_going(outgoing),
        Event::Incoming(_) => Seen::Nothing,
    }
}

fn seen5(event: &v5::Event) -> Seen {
    match event {
        v5::Event::Incoming(Packet5::ConnAck(_)) => Seen::Connected,
        v5::Event::Incoming(Packet5::PubAck(ack)) => match ack.reason {
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Seen::Acknowledged(ack.pkid),
            reason => Seen::Refused(ack.pkid, format!("{reason:?}")),
        },
        v5::Event::Incoming(Packet5::SubAck(ack)) => {
            Seen::Subscribed(ack.return_codes.iter().all(|code| matches!(code, SubscribeReasonCode5::Success(_))))
        }
        v5::Event::Incoming(Packet5::Publish(message)) => Seen::Heard(Heard {
            topic: String::from_utf8_lossy(&message.topic).into_owned(),
            payload: message.payload.clone(),
            stored: message.retain,
            again: message.dup,
        }),
        v5::Event::Outgoing(outgoing) => seen_going(outgoing),
        v5::Event::Incoming(_) => Seen::Nothing,
    }
}

fn seen_going(outgoing: &Outgoing) -> Seen {
    match outgoing {
        Outgoing::Publish(id) => Seen::Written(*id),
        Outgoing::Disconnect => Seen::Disconnected,
        _ => Seen::Nothing,
    }
}

/// Said where a message to us is larger than we take.
fn oversized() -> String {
    format!("a message to us is larger than the {} KiB that we take", MAX_PACKET >> 10)
}

const LOGIN: &str = "the broker refuses our user name, password or certificate";
const CLIENT_ID: &str = "the broker refuses our client id";
const SILENT: &str = "it does not answer";

/// One line for people.
fn describe(error: &ConnectionError) -> Broken {
    let oversized = matches!(
        error,
        ConnectionError::MqttState(StateError::Deserialization(mqttbytes::Error::PayloadSizeLimitExceeded(_)))
    );
    let refused = matches!(error, ConnectionError::ConnectionRefused(_));
    let reason = if oversized { self::oversized() } else { reason(error) };
    Broken { reason, oversized, refused, distrust: distrust(error) }
}

fn reason(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(code) => match code {
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => LOGIN.to_owned(),
            ConnectReturnCode::BadClientId => CLIENT_ID.to_owned(),
            ConnectReturnCode::RefusedProtocolVersion => "the broker does not speak MQTT 3.1.1".to_owned(),
            other => format!("the broker refuses us: {other:?}"),
        },
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => SILENT.to_owned(),
        ConnectionError::Io(source) => source.to_string(),
        other => with_hint(other.to_string()),
    }
}

fn describe5(error: &v5::ConnectionError) -> Broken {
    let oversized = matches!(
        error,
        v5::ConnectionError::MqttState(
            v5::StateError::IncomingPacketTooLarge { .. }
                | v5::StateError::Deserialization(v5::mqttbytes::Error::PayloadSizeLimitExceeded { .. })
        )
    );
    let refused = matches!(error, v5::ConnectionError::ConnectionRefused(_));
    let reason = if oversized { self::oversized() } else { reason5(error) };
    // This one does not say what it comes from.
    let distrust = match error {
        v5::ConnectionError::MqttState(v5::StateError::Deserialization(inner)) => distrust(inner),
        other => distrust(other),
    };
    Broken { reason, oversized, refused, distrust }
}

fn reason5(error: &v5::ConnectionError) -> String {
    match error {
        v5::ConnectionError::ConnectionRefused(code) => match code {
            Code5::BadUserNamePassword | Code5::NotAuthorized | Code5::BadAuthenticationMethod => LOGIN.to_owned(),
            Code5::BadClientId | Code5::ClientIdentifierNotValid => CLIENT_ID.to_owned(),
            Code5::RefusedProtocolVersion | Code5::UnsupportedProtocolVersion => {
                "the broker does not speak MQTT 5 (`version = 3` is MQTT 3.1.1)".to_owned()
            }
            other => format!("the broker refuses us: {other:?}"),
        },
        v5::ConnectionError::Timeout(_) => SILENT.to_owned(),
        v5::ConnectionError::Io(source) => source.to_string(),
        other => with_hint(other.to_string()),
    }
}

fn with_hint(text: String) -> String {
    // An authority of the same name with another key shows as a bad signature.
    if text.contains("UnknownIssuer") || text.contains("BadSignature") {
        format!("{text} (`ca_file` names the authority to trust)")
    } else if text.contains("NotValidYet") || text.contains("Expired") {
        format!("{text} (is this machine's clock right?)")
    } else {
        text
    }
}
