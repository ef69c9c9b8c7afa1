//! The client library in both versions of the protocol, as far as the link needs it.

use std::time::Duration;

use bytes::Bytes;
use rumqttc::v5::mqttbytes::QoS as QoS5;
use rumqttc::v5::mqttbytes::v5::{
    ConnectReturnCode as Code5, LastWill as LastWill5, LastWillProperties, Packet as Packet5, PubAckReason,
    PublishProperties,
};
use rumqttc::{AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, LastWill, Outgoing, Packet, QoS, v5};

use super::options::Options;

/// What is handed to the client.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    /// Whether the broker may drop it after the configured time.
    pub(super) expires: bool,
    /// What version 5 says of it beside: name and value.
    pub(super) about: Vec<(&'static str, String)>,
}

/// What JSON is called.
const CONTENT_TYPE: &str = "application/json";
/// The payload is text in UTF-8 (MQTT 5 §3.3.2.3.2).
const TEXT: u8 = 1;

/// The half that takes messages. Cloning shares it.
#[derive(Clone)]
pub(super) enum Client {
    V3(AsyncClient),
    V5 { client: v5::AsyncClient, expiry: Option<Duration> },
}

/// The half that runs the connection.
pub(super) enum Events {
    V3(Box<EventLoop>),
    V5(Box<v5::EventLoop>),
}

/// What the link needs to know of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// The broker has accepted us.
    Connected,
    /// The next message was written; its id is 0 at QoS 0.
    Written(u16),
    /// The broker has a message.
    Acknowledged(u16),
    /// The broker has it, but will not deliver it, and says why.
    Refused(u16, String),
    /// Our DISCONNECT was written.
    Disconnected,
    Nothing,
}

/// Makes a client. `capacity` is how many messages its channel takes.
pub(super) fn client(options: Options, capacity: usize) -> (Client, Events) {
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
    pub(super) fn publish(&self, message: Message) -> bool {
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

    /// Asks for a DISCONNECT.
    pub(super) fn disconnect(&self) -> bool {
        match self {
            Self::V3(client) => client.try_disconnect().is_ok(),
            Self::V5 { client, .. } => client.try_disconnect().is_ok(),
        }
    }
}

impl Events {
    /// The next event; connects where there is no connection. An error ends the connection.
    pub(super) async fn next(&mut self) -> Result<Seen, String> {
        match self {
            Self::V3(events) => events.poll().await.map(|event| seen(&event)).map_err(|error| describe(&error)),
            Self::V5(events) => events.poll().await.map(|event| seen5(&event)).map_err(|error| describe5(&error)),
        }
    }

    /// What a broken connection still had to say.
    pub(super) fn rest(&mut self) -> Vec<Seen> {
        match self {
            Self::V3(events) => events.state.events.drain(..).map(|event| seen(&event)).collect(),
            Self::V5(events) => events.state.events.drain(..).map(|event| seen5(&event)).collect(),
        }
    }

    /// Nothing of a broken connection may reach the next one.
    pub(super) fn forget(&mut self) {
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

    /// What the broker says for us when we are gone: at QoS 1, retained.
    pub(super) fn set_last_will(&mut self, topic: String, payload: Bytes) {
        match self {
            Self::V3(events) => {
                events.mqtt_options.set_last_will(LastWill::new(topic, payload, QoS::AtLeastOnce, true));
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
                let will = LastWill5::new(topic, payload, QoS5::AtLeastOnce, true, Some(properties));
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

const LOGIN: &str = "the broker refuses our user name, password or certificate";
const CLIENT_ID: &str = "the broker refuses our client id";
const SILENT: &str = "it does not answer";

/// One line for people.
fn describe(error: &ConnectionError) -> String {
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

fn describe5(error: &v5::ConnectionError) -> String {
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
    } else {
        text
    }
}
