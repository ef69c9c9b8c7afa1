//! Device Provisioning Service: asking which hub this node belongs to, and who it is there ("Communicate with DPS using the
//! MQTT protocol").

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::TimeDelta;
use rumqttc::QoS;
use rumqttc::tokio_rustls::rustls::ClientConfig;
use serde::Deserialize;
use serde_json::json;

use super::super::mqtt::wire::{self, Client, Events, Message, Seen};
use super::connection_string::{check_device, check_host};
use super::encode::of_bag;
use super::identity::{Device, Proof, endpoint};
use super::session::{options, with_network};
use crate::clock::Clock;
use crate::config::DpsConfig;

/// What the user name says which version of the service's interface is spoken.
const API: &str = "2019-03-31";
/// Where answers come.
const ANSWERS: &str = "$dps/registrations/res/";
/// How long a registration may take as a whole.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long to wait before asking again where the service doesn't say, and the longest that it can say.
const RETRY: (u64, u64) = (3, 60);
/// Longest part of an answer that is repeated.
const SHOWN: usize = 200;

/// Registers, and says which hub and device this node is. Errors are one line for people.
pub(super) async fn register(
    config: &DpsConfig,
    proof: &Proof,
    tls: Arc<ClientConfig>,
    clock: &dyn Clock,
) -> Result<Device, String> {
    let endpoint = endpoint(&config.url).map_err(|error| error.to_string())?;
    let resource = format!("{}/registrations/{}", config.id_scope, config.registration_id);
    let username = format!("{resource}/api-version={API}");
    let password = match proof {
        Proof::Key(key) => key.token(&resource, clock.wall() + TimeDelta::hours(1), Some("registration")),
        Proof::Certificate => String::new(),
    };
    let options = options(&config.registration_id, &endpoint, tls, &username, &password);
    let (client, mut events) = wire::client(with_network(options), 4);
    let talk = talk(&client, &mut events, &config.registration_id);
    let result = tokio::time::timeout(PATIENCE, talk).await;
    let result = result.unwrap_or_else(|_| Err(format!("no hub was assigned in {} s", PATIENCE.as_secs())));
    result.map_err(|reason| format!("provisioning at {}: {reason}", endpoint.host))
}

/// The conversation: subscribe, register, ask again until there is a result.
async fn talk(client: &Client, events: &mut Events, registration: &str) -> Result<Device, String> {
    let mut asked = 0;
    loop {
        match events.next().await {
            Ok(Seen::Connected) => {
                client.subscribe(&[format!("{ANSWERS}#")], QoS::AtLeastOnce);
            }
            Ok(Seen::Subscribed(_)) => {
                let body = json!({ "registrationId": registration }).to_string();
                say(client, "PUT/iotdps-register", &mut asked, "", body.into());
            }
            Ok(Seen::Heard(heard)) => match answer(&heard.topic, &heard.payload) {
                Answer::Assigned(device) => {
                    client.disconnect();
                    // Should the goodbye not get through, the service finds out by itself.
                    let _ = tokio::time::timeout(Duration::from_secs(1), events.next()).await;
                    return Ok(device);
                }
                Answer::Wait { after, operation } => {
                    ask_later(client.clone(), after, operation, &mut asked, registration)
                }
                Answer::Refused(reason) => return Err(reason),
                Answer::Other => {}
            },
            Ok(_) => {}
            Err(failure) if failure.refused => return Err(refusal(registration)),
            Err(failure) => return Err(failure.reason),
        }
    }
}

/// Why the service may not let us in.
fn refusal(registration: &str) -> String {
    format!(
        "it refuses `{registration}`: is the key or certificate this enrolment's, is the enrolment enabled, and is this \
         machine's clock right?"
    )
}

/// Asks once more after a while: for the operation where there is one, else anew.
fn ask_later(client: Client, after: Duration, operation: Option<String>, asked: &mut u64, registration: &str) {
    *asked += 1;
    let mut number = *asked;
    let body = json!({ "registrationId": registration }).to_string();
    // Not within the conversation, which must go on reading; it ends with it, since then nobody takes what it sends.
    tokio::spawn(async move {
        tokio::time::sleep(after).await;
        match operation {
            Some(id) => {
                let more = format!("&operationId={id}");
                say(&client, "GET/iotdps-get-operationstatus", &mut number, &more, Bytes::new());
            }
            None => say(&client, "PUT/iotdps-register", &mut number, "", body.into()),
        }
    });
}

fn say(client: &Client, what: &str, asked: &mut u64, more: &str, payload: Bytes) {
    *asked += 1;
    let topic = format!("$dps/registrations/{what}/?$rid={asked}{more}");
    let message = Message { topic, payload, qos: QoS::AtLeastOnce, retain: false, expires: false, about: Vec::new() };
    client.publish(message);
}

/// What the service answers.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Assigned(Device),
    Wait {
        after: Duration,
        operation: Option<String>,
    },
    Refused(String),
    /// Nothing that was asked for.
    Other,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Body {
    operation_id: Option<String>,
    status: String,
    message: String,
    registration_state: State,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct State {
    assigned_hub: String,
    device_id: String,
    status: String,
    error_message: String,
}

fn answer(topic: &str, payload: &[u8]) -> Answer {
    let Some((status, bag)) = topic.strip_prefix(ANSWERS).and_then(|rest| rest.split_once('/')) else {
        return Answer::Other;
    };
    let body: Body = serde_json::from_slice(payload).unwrap_or_default();
    let after = of_bag(bag, "retry-after").and_then(|s| s.parse().ok()).unwrap_or(RETRY.0).clamp(1, RETRY.1);
    let after = Duration::from_secs(after);
    match status.parse::<u16>() {
        Ok(200..=299) => match (body.status.as_str(), body.operation_id) {
            ("assigned", _) => assigned(&body.registration_state),
            ("assigning" | "unassigned", Some(id)) if is_plain(&id) => Answer::Wait { after, operation: Some(id) },
            (other, _) => {
                let reason = [&body.registration_state.error_message, &body.registration_state.status];
                let reason = reason.into_iter().find(|text| !text.is_empty()).map_or(other, String::as_str);
                Answer::Refused(format!("no hub is assigned: {}", short(reason)))
            }
        },
        Ok(429 | 500..=599) => Answer::Wait { after, operation: None },
        Ok(status) => Answer::Refused(format!("it answers {status}: {}", short(&body.message))),
        Err(_) => Answer::Other,
    }
}

fn assigned(state: &State) -> Answer {
    match (check_host(&state.assigned_hub), check_device(&state.device_id)) {
        (Ok(hub), Ok(id)) => Answer::Assigned(Device { hub, id }),
        _ => Answer::Refused("it assigns a hub or a device whose name makes no sense".to_owned()),
    }
}

/// Whether an operation's id can stand in a topic.
fn is_plain(id: &str) -> bool {
    id.len() <= 256 && !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
}

fn short(text: &str) -> String {
    let shown: String = text.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    if shown.is_empty() { "it doesn't say why".to_owned() } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_as_documented() {
        let assigning = br#"{"operationId":"4.d0a671905ea5b2c8.42d78160-4c78","status":"assigning"}"#;
        let operation = Some("4.d0a671905ea5b2c8.42d78160-4c78".to_owned());
        let wait = |s| Answer::Wait { after: Duration::from_secs(s), operation: operation.clone() };
        assert_eq!(answer("$dps/registrations/res/202/?$rid=1&retry-after=7", assigning), wait(7));
        assert_eq!(answer("$dps/registrations/res/202/?$rid=1", assigning), wait(3));
        assert_eq!(answer("$dps/registrations/res/202/?$rid=1&retry-after=9999", assigning), wait(60));
        let assigned = br#"{"operationId":"4.x","status":"assigned","registrationState":{"registrationId":"edge",
            "assignedHub":"Plant.azure-devices.net","deviceId":"edge-01","status":"assigned"}}"#;
        let device = Device { hub: "plant.azure-devices.net".to_owned(), id: "edge-01".to_owned() };
        assert_eq!(answer("$dps/registrations/res/200/?$rid=2", assigned), Answer::Assigned(device));
        let busy = Answer::Wait { after: Duration::from_secs(5), operation: None };
        assert_eq!(answer("$dps/registrations/res/429/?$rid=2&retry-after=5", b"{}"), busy);
    }

    #[test]
    fn whatever_else_comes_has_a_reason_or_is_ignored() {
        let refused = |topic: &str, body: &str| match answer(topic, body.as_bytes()) {
            Answer::Refused(reason) => reason,
            other => panic!("{topic} {body}: {other:?}"),
        };
        let reason = refused("$dps/registrations/res/401/?$rid=1", r#"{"errorCode":401002,"message":"Unauthorized"}"#);
        assert_eq!(reason, "it answers 401: Unauthorized");
        let failed = r#"{"status":"failed","registrationState":{"status":"failed","errorMessage":"no hub is linked"}}"#;
        assert_eq!(refused("$dps/registrations/res/200/?$rid=1", failed), "no hub is assigned: no hub is linked");
        for body in ["", "[]", "{\"status\":3}", "{\"status\":\"assigning\",\"operationId\":\"a/b\"}"] {
            refused("$dps/registrations/res/202/?$rid=1", body);
        }
        let odd = r#"{"status":"assigned","registrationState":{"assignedHub":"a b","deviceId":"d"}}"#;
        assert!(refused("$dps/registrations/res/200/?$rid=1", odd).contains("makes no sense"));
        for topic in ["", "$dps/registrations/res/", "$dps/registrations/res/x/?$rid=1", "devices/d"] {
            assert_eq!(answer(topic, b"{}"), Answer::Other, "{topic}");
        }
    }
}
