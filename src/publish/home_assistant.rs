//! Home Assistant finds the node and its cameras by messages of its own: MQTT device discovery
//! (<https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload>).
//!
//! One retained message a device says which of our topics are its entities. They name nothing but our own topics, so
//! that whoever reads those sees the same.

use serde_json::{Map, Value, json};

use super::{TopicError, Topics};

/// Where Home Assistant looks unless it is told otherwise.
const PREFIX: &str = "homeassistant";

/// A camera, as far as Home Assistant is told of it.
#[derive(Debug, Clone, Default)]
pub struct Announced {
    /// Its name.
    pub name: String,
    /// Whether it has events.
    pub events: bool,
    /// Its lines.
    pub lines: Vec<String>,
    /// Its zones.
    pub zones: Vec<String>,
    /// Whether frames can be kept.
    pub evidence: bool,
}

/// Topics and messages, all of them retained.
///
/// # Errors
/// When a name can't be a level of a topic.
pub fn discovery(
    topics: &Topics,
    site: &str,
    node: &str,
    cameras: &[Announced],
) -> Result<Vec<(String, Value)>, TopicError> {
    let id = object_id(&["ocellus", site, node]);
    let waiting = json!({
        "platform": "sensor",
        "unique_id": format!("{id}_waiting"),
        "name": "Events that wait",
        "state_topic": topics.stats(),
        "value_template": "{{ value_json.outbox.events }}",
        "state_class": "measurement",
        "entity_category": "diagnostic",
    });
    let device = json!({
        "identifiers": [id],
        "name": format!("Ocellus {node}"),
        "manufacturer": "Ocellus",
        "model": format!("node at {site}"),
        "sw_version": env!("CARGO_PKG_VERSION"),
    });
    let reload = button(topics, &id, None, "reload", "Reload the configuration")?;
    let mut all = vec![message(topics, &id, device, &json!({"waiting": waiting, "reload": reload}))];
    for camera in cameras {
        let camera_id = object_id(&["ocellus", site, node, &camera.name]);
        let device = json!({
            "identifiers": [camera_id],
            "name": camera.name,
            "manufacturer": "Ocellus",
            "model": "camera",
            "via_device": id,
        });
        let components = Value::Object(components(topics, &camera_id, camera)?);
        all.push(message(topics, &camera_id, device, &components));
    }
    Ok(all)
}

fn message(topics: &Topics, id: &str, device: Value, components: &Value) -> (String, Value) {
    let message = json!({
        "device": device,
        "origin": {"name": "ocellus", "sw_version": env!("CARGO_PKG_VERSION")},
        "availability": [{
            "topic": topics.node_status(),
            "value_template": "{{ 'online' if value_json.state == 'online' else 'offline' }}",
        }],
        "components": components,
    });
    (config_topic(id), message)
}

fn config_topic(id: &str) -> String {
    format!("{PREFIX}/device/{id}/config")
}

/// Where Home Assistant is told of the node, or of a camera.
pub(super) fn topic_of(site: &str, node: &str, camera: Option<&str>) -> String {
    let parts: Vec<&str> = ["ocellus", site, node].into_iter().chain(camera).collect();
    config_topic(&object_id(&parts))
}

/// Messages that also take back what was told before and is no more: a device by an empty message, here null, and a
/// component by one that has only its platform.
pub(super) fn with_departures(before: &[(String, Value)], mut now: Vec<(String, Value)>) -> Vec<(String, Value)> {
    for (topic, old) in before {
        let Some((_, new)) = now.iter_mut().find(|(other, _)| other == topic) else {
            now.push((topic.clone(), Value::Null));
            continue;
        };
        let (Some(old), Some(new)) = (old["components"].as_object(), new["components"].as_object_mut()) else {
            continue;
        };
        for (key, component) in old {
            if !new.contains_key(key) {
                new.insert(key.clone(), json!({"platform": component["platform"]}));
            }
        }
    }
    now
}

/// A button that gives a command.
fn button(topics: &Topics, id: &str, camera: Option<&str>, command: &str, name: &str) -> Result<Value, TopicError> {
    Ok(json!({
        "platform": "button",
        "unique_id": format!("{id}_{command}"),
        "name": name,
        "command_topic": topics.command(camera, command)?,
        "payload_press": "PRESS",
        "entity_category": "config",
    }))
}

/// A number of a setting, with its limits and step; `none` is shown where nothing is set.
fn number(
    topics: &Topics,
    id: &str,
    camera: &str,
    (setting, name, none): (&str, &str, &str),
    [least, most, step]: [f64; 3],
) -> Result<Value, TopicError> {
    let state = topics.state(Some(camera), setting)?;
    Ok(json!({
        "platform": "number",
        "unique_id": format!("{id}_{setting}"),
        "name": name,
        "command_topic": topics.command(Some(camera), setting)?,
        "state_topic": state,
        "json_attributes_topic": state,
        "value_template": format!("{{{{ value_json.value if value_json.value is not none else '{none}' }}}}"),
        "min": least,
        "max": most,
        "step": step,
        "mode": "box",
        "entity_category": "config",
    }))
}

/// What can be commanded.
fn controls(topics: &Topics, id: &str, camera: &Announced) -> Result<Vec<(&'static str, Value)>, TopicError> {
    let name = camera.name.as_str();
    let state = topics.state(Some(name), "enabled")?;
    let enabled = json!({
        "platform": "switch",
        "unique_id": format!("{id}_enabled"),
        "name": "On",
        "command_topic": topics.command(Some(name), "enabled")?,
        "state_topic": state,
        "json_attributes_topic": state,
        "value_template": "{{ 'ON' if value_json.value else 'OFF' }}",
    });
    let mut all = vec![
        ("enabled", enabled),
        ("score", number(topics, id, name, ("score", "Lowest score", "None"), [0.0, 1.0, 0.01])?),
        ("fps", number(topics, id, name, ("fps", "Most frames a second", "None"), [0.1, 1000.0, 0.1])?),
        ("motion", number(topics, id, name, ("motion", "Motion needed", "0"), [0.0, 255.0, 0.5])?),
    ];
    if camera.evidence {
        all.push(("snapshot", button(topics, id, Some(name), "snapshot", "Keep a frame")?));
    }
    if !camera.lines.is_empty() || !camera.zones.is_empty() {
        all.push(("reset", button(topics, id, Some(name), "reset", "Begin counting anew")?));
    }
    Ok(all)
}

fn components(topics: &Topics, id: &str, camera: &Announced) -> Result<Map<String, Value>, TopicError> {
    let name = &camera.name;
    let mut all = Map::new();
    let status = topics.camera_status(name)?;
    all.insert(
        "delivers".to_owned(),
        json!({
            "platform": "binary_sensor",
            "unique_id": format!("{id}_delivers"),
            "name": "Delivers pictures",
            "device_class": "connectivity",
            "state_topic": status,
            "value_template": "{{ 'ON' if value_json.state == 'ok' else 'OFF' }}",
            "json_attributes_topic": status,
        }),
    );
    all.insert(
        "rate".to_owned(),
        json!({
            "platform": "sensor",
            "unique_id": format!("{id}_rate"),
            "name": "Frames scored",
            "state_topic": topics.stats(),
            "value_template": format!("{{{{ value_json.cameras['{name}'].scored_fps | round(1) }}}}"),
            "unit_of_measurement": "fps",
            "state_class": "measurement",
            "entity_category": "diagnostic",
        }),
    );
    if camera.events {
        all.insert(
            "events".to_owned(),
            json!({
                "platform": "event",
                "unique_id": format!("{id}_events"),
                "name": "Events",
                "state_topic": topics.events(name)?,
                "event_types": ["new", "update", "end"],
                "value_template": "{{ dict(value_json, event_type=value_json.type) | to_json }}",
            }),
        );
    }
    all.extend(controls(topics, id, camera)?.into_iter().map(|(key, control)| (key.to_owned(), control)));
    let rules = [
        (
            &camera.lines,
            "crossed",
            "{{ value_json.crossed.values() | map(attribute='total') | sum }}",
            "total_increasing",
        ),
        (&camera.zones, "inside", "{{ value_json.present }}", "measurement"),
    ];
    for (names, what, template, class) in rules {
        for rule in names {
            let key = object_id(&[what, rule]);
            let sensor = json!({
                "platform": "sensor",
                "unique_id": format!("{id}_{key}"),
                "name": format!("{rule} {what}"),
                "state_topic": topics.counts(name, rule)?,
                "value_template": template,
                "state_class": class,
            });
            all.insert(key, sensor);
        }
    }
    Ok(all)
}

/// Letters, digits, `_` and `-` are all that an id may have; two names that differ elsewhere get different ids.
fn object_id(parts: &[&str]) -> String {
    let safe =
        |c: char| if c.is_ascii_alphanumeric() || c == '-' { c.to_string() } else { format!("_{:x}", u32::from(c)) };
    parts.iter().map(|part| part.chars().map(safe).collect::<String>()).collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn announced() -> Vec<(String, Value)> {
        let topics = Topics::new("ocellus", "plant-7", "edge.1").expect("levels");
        let camera = |name: &str| Announced { name: name.to_owned(), ..Announced::default() };
        let line = Announced {
            evidence: true,
            events: true,
            lines: vec!["exit".to_owned()],
            zones: vec!["belt".to_owned()],
            ..camera("line3")
        };
        discovery(&topics, "plant-7", "edge.1", &[line, camera("a_b"), camera("a.b")]).expect("levels")
    }

    #[test]
    fn every_entity_is_one_of_our_topics() {
        let all = announced();
        let topics: Vec<_> = all.iter().map(|(topic, _)| topic.as_str()).collect();
        assert_eq!(topics[1], "homeassistant/device/ocellus_plant-7_edge_2e1_line3/config");
        let line = &all[1].1;
        let of = |component: &str, key: &str| line["components"][component][key].clone();
        assert_eq!(of("events", "state_topic"), "ocellus/plant-7/edge.1/line3/events");
        assert_eq!(of("crossed_exit", "state_topic"), "ocellus/plant-7/edge.1/line3/counts/exit");
        assert_eq!(of("inside_belt", "state_topic"), "ocellus/plant-7/edge.1/line3/counts/belt");
        assert_eq!(of("rate", "value_template"), "{{ value_json.cameras['line3'].scored_fps | round(1) }}");
        assert_eq!(line["device"]["via_device"], all[0].1["device"]["identifiers"][0]);
        assert!(all[2].1["components"]["events"].is_null(), "it has none");
        assert_eq!(of("enabled", "command_topic"), "ocellus/plant-7/edge.1/line3/enabled/set");
        assert_eq!(of("score", "state_topic"), "ocellus/plant-7/edge.1/line3/score/state");
        assert_eq!(of("snapshot", "command_topic"), "ocellus/plant-7/edge.1/line3/snapshot/set");
        assert_eq!(of("reset", "platform"), "button");
        assert_eq!(all[0].1["components"]["reload"]["command_topic"], "ocellus/plant-7/edge.1/reload/set");
        let without = &all[2].1["components"];
        assert!(without["snapshot"].is_null() && without["reset"].is_null() && without["enabled"].is_object());
    }

    #[test]
    fn what_is_gone_is_taken_back() {
        let before = announced();
        assert_eq!(with_departures(&[], before.clone()), before);
        assert_eq!(with_departures(&before, before.clone()), before);
        // A camera goes, and another loses its line.
        let mut now = before.clone();
        let (gone, _) = now.remove(2);
        now[1].1["components"].as_object_mut().expect("components").remove("crossed_exit");
        let told = with_departures(&before, now);
        assert_eq!(told[1].1["components"]["crossed_exit"], json!({"platform": "sensor"}));
        assert_eq!(told.last(), Some(&(gone.clone(), Value::Null)));
        // Once told it stays gone, and is there again when it comes back.
        let again = with_departures(&told[..3], before.clone());
        assert_eq!(again, before);
        assert_eq!(gone, topic_of("plant-7", "edge.1", Some("a_b")));
    }

    #[test]
    fn ids_are_safe_and_nobody_elses() {
        let (mut topics, mut ids, mut entities) = (BTreeSet::new(), BTreeSet::new(), 0);
        for (topic, message) in announced() {
            let id = topic.split('/').nth(2).expect("an id").to_owned();
            assert!(id.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)), "{id}");
            assert!(topics.insert(topic));
            for component in message["components"].as_object().expect("components").values() {
                entities += 1;
                ids.insert(component["unique_id"].as_str().expect("an id").to_owned());
            }
        }
        assert_eq!((topics.len(), ids.len()), (4, entities));
    }
}
