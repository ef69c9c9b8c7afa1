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
    let mut all = vec![message(topics, &id, device, &json!({"waiting": waiting}))];
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
    (format!("{PREFIX}/device/{id}/config"), message)
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
