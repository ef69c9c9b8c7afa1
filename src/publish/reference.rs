//! The machine-readable reference in `docs/reference/`: JSON Schema of every message and an AsyncAPI description of
//! the topics. Both are made from the code; `OCELLUS_WRITE_REFERENCE=1 cargo test reference` writes them anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use schemars::{JsonSchema, schema_for};
use serde_json::{Value, json};

use super::Topics;
use crate::command::{self, SettingState};
use crate::detection::{self, Detections};
use crate::event::{self, Count, Event};
use crate::evidence::{self, Record, Verdict};
use crate::status::{self, CameraStatus, Diagnosis, NodeStatus, Stats};

/// What a topic carries.
struct Channel {
    name: &'static str,
    topic: String,
    /// None where a command comes in.
    schema: Option<&'static str>,
    qos: u8,
    retained: bool,
}

fn channels() -> Vec<Channel> {
    // Words that are levels themselves, in the place of the parameters.
    let topics = Topics::new("PREFIX", "SITE", "NODE").expect("levels");
    let camera = |topic: Result<String, _>| topic.expect("a level");
    let channel = |name, topic: String, schema, qos, retained| {
        let (topic, schema) = (parameters(&topic), Some(schema));
        Channel { name, topic, schema, qos, retained }
    };
    let command =
        |name, topic: String| Channel { name, topic: parameters(&topic), schema: None, qos: 1, retained: false };
    vec![
        channel("nodeStatus", topics.node_status(), status::NODE_SCHEMA, 1, true),
        channel("stats", topics.stats(), status::STATS_SCHEMA, 0, false),
        channel("cameraStatus", camera(topics.camera_status("CAMERA")), status::CAMERA_SCHEMA, 1, true),
        channel("events", camera(topics.events("CAMERA")), event::SCHEMA, 1, false),
        channel("counts", camera(topics.counts("CAMERA", "RULE")), event::COUNT_SCHEMA, 1, true),
        channel("detections", camera(topics.detections("CAMERA")), detection::SCHEMA, 0, false),
        command("cameraCommands", camera(topics.command(Some("CAMERA"), "SETTING"))),
        command("nodeCommands", camera(topics.command(None, "SETTING"))),
        channel("cameraSettings", camera(topics.state(Some("CAMERA"), "SETTING")), command::SCHEMA, 1, true),
        channel("nodeSettings", camera(topics.state(None, "SETTING")), command::SCHEMA, 1, true),
    ]
}

fn parameters(topic: &str) -> String {
    let of = |level: &str| {
        if level.starts_with(|c: char| c.is_ascii_uppercase()) {
            format!("{{{}}}", level.to_lowercase())
        } else {
            level.to_owned()
        }
    };
    topic.split('/').map(of).collect::<Vec<_>>().join("/")
}

/// `ocellus.detections/1` is described in `schemas/detections-1.json`.
fn file_of(schema: &str) -> String {
    format!("schemas/{}.json", schema.trim_start_matches("ocellus.").replace('/', "-"))
}

fn schema_of<T: JsonSchema>(id: &str) -> (String, Value) {
    let mut schema = serde_json::to_value(schema_for!(T)).expect("JSON");
    schema["properties"]["schema"] = json!({"const": id});
    (file_of(id), schema)
}

fn asyncapi() -> Value {
    let mut all = json!({});
    let mut operations = json!({});
    for channel in channels() {
        let names = channel.topic.split('/').filter_map(|level| level.strip_prefix('{')?.strip_suffix('}'));
        let parameters: serde_json::Map<_, _> = names.map(|name| (name.to_owned(), json!({}))).collect();
        let payload = channel.schema.map_or_else(
            || {
                json!({
                    "type": ["boolean", "number", "string", "null", "object"],
                    "description": "A value as JSON, or bare text. Null, or the text `default`, takes a setting back to \
                                    what the configuration says. At most 1024 bytes. A verdict is an object, of at most \
                                    65536 bytes.",
                })
            },
            |schema| json!({"$ref": file_of(schema)}),
        );
        all[channel.name] = json!({
            "address": channel.topic,
            "parameters": parameters,
            "messages": {channel.name: {"contentType": "application/json", "payload": payload}},
        });
        operations[channel.name] = json!({
            "action": if channel.schema.is_some() { "send" } else { "receive" },
            "channel": {"$ref": format!("#/channels/{}", channel.name)},
            "bindings": {"mqtt": {"qos": channel.qos, "retain": channel.retained, "bindingVersion": "0.2.0"}},
        });
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Ocellus over MQTT",
            "version": "1",
            "description": "What an Ocellus node publishes, and the commands that it takes. The QoS of detections is \
                            configurable: 0 or 1.",
        },
        "defaultContentType": "application/json",
        "channels": all,
        "operations": operations,
    })
}

/// With the keys in the same order whatever order serde_json keeps.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> = fields.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

#[test]
fn the_reference_is_what_the_code_does() {
    let files = [
        schema_of::<NodeStatus>(status::NODE_SCHEMA),
        schema_of::<CameraStatus>(status::CAMERA_SCHEMA),
        schema_of::<Stats>(status::STATS_SCHEMA),
        schema_of::<Detections>(detection::SCHEMA),
        schema_of::<Event>(event::SCHEMA),
        schema_of::<Count>(event::COUNT_SCHEMA),
        schema_of::<Record>(evidence::SCHEMA),
        schema_of::<Verdict>(evidence::VERDICT_SCHEMA),
        schema_of::<SettingState>(command::SCHEMA),
        schema_of::<Diagnosis>(status::DIAGNOSIS_SCHEMA),
        ("asyncapi.json".to_owned(), asyncapi()),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference");
    for (name, content) in files {
        let text = serde_json::to_string_pretty(&sorted(content)).expect("JSON") + "\n";
        // Links of rustdoc lead nowhere here.
        let text = text.replace("[`", "`").replace("`]", "`");
        let path = folder.join(name);
        if std::env::var_os("OCELLUS_WRITE_REFERENCE").is_some() {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(&path, &text).expect("written");
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(there == text, "{} is out of date: see the module's documentation\n{text}", path.display());
    }
}

/// What is published has exactly the fields that its schema names, and all that it requires.
#[test]
fn messages_have_the_fields_of_their_schema() {
    let message = super::mqtt::tests::detections("line3", 1);
    // Not in every message.
    let camera_state = Some(status::CameraState::Blind);
    let message = Detections { embedding: Some(vec![0.6, 0.8]), camera_state, ..(*message).clone() };
    let message = serde_json::to_value(&message).expect("JSON");
    let (_, schema) = schema_of::<Detections>(detection::SCHEMA);
    let fields = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(fields(&message), fields(&schema["properties"]));
    let required: Vec<_> = schema["required"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert!(required.iter().all(|name| message.get(name).is_some()), "{required:?}");
    let object = &schema["$defs"]["Object"];
    assert_eq!(object["required"], json!(["label", "score", "box"]));
    let listed = fields(&object["properties"]);
    assert!(fields(&message["objects"][0]).iter().all(|field| listed.contains(field)), "{listed:?}");
}

#[test]
fn events_and_counts_have_fields_of_their_schema_only() {
    let fields = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<BTreeSet<_>>();
    let messages = [
        (schema_of::<Event>(event::SCHEMA).1, serde_json::to_value(&*super::mqtt::tests::event("line3", 1))),
        (schema_of::<Count>(event::COUNT_SCHEMA).1, serde_json::to_value(super::mqtt::tests::count("line3", 1))),
    ];
    for (schema, message) in messages {
        let message = message.expect("JSON");
        let mut listed = fields(&schema["properties"]);
        // What a rule counts is one of several sets of fields.
        for counted in schema["anyOf"].as_array().into_iter().flatten() {
            listed.extend(fields(&counted["properties"]));
        }
        assert!(fields(&message).is_subset(&listed), "{message} {listed:?}");
        let required = schema["required"].as_array().expect("a list").iter().filter_map(Value::as_str);
        assert!(required.into_iter().all(|name| message.get(name).is_some()), "{message}");
    }
}
