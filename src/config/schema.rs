//! The configuration as a JSON Schema, so that editors complete and check the TOML.
//!
//! It is made from the structs. What only the whole tells, references and files that must be there, is left to
//! `ocellus check`.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::Config;

/// The schema, in draft 7, which is the one that editors know.
#[must_use]
pub fn schema() -> Value {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<Config>().to_value();
    without_null(&mut schema);
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), json!("Ocellus"));
        // The default is this host's name.
        if let Some(node) =
            root.get_mut("properties").and_then(|keys| keys.get_mut("node")).and_then(Value::as_object_mut)
        {
            node.remove("default");
        }
    }
    schema
}

/// TOML has no null: a key that may be left out is left out.
fn without_null(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Object(fields) => {
            fields.values_mut().for_each(without_null);
            if fields.get("default").is_some_and(Value::is_null) {
                fields.remove("default");
            }
            lose_null_type(fields);
            lose_null_choice(fields);
            for key in ["description", "title"] {
                if let Some(Value::String(text)) = fields.get_mut(key) {
                    // Links of rustdoc lead nowhere here, and its lines end where the source's do.
                    *text = text
                        .replace("[`", "`")
                        .replace("`]", "`")
                        .replace("\n\n", "\0")
                        .replace('\n', " ")
                        .replace('\0', "\n\n");
                }
            }
        }
        _ => {}
    }
}

fn lose_null_type(fields: &mut Map<String, Value>) {
    let Some(Value::Array(types)) = fields.get_mut("type") else { return };
    types.retain(|name| name != "null");
    if let [only] = &types[..] {
        let only = only.clone();
        fields.insert("type".to_owned(), only);
    }
}

fn lose_null_choice(fields: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = fields.get_mut("anyOf") else { return };
    choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
    if choices.len() == 1
        && let Some(only) = fields.remove("anyOf")
    {
        fields.insert("allOf".to_owned(), only);
    }
}

/// Every key of the file, named by the keys that lead to it: `NAME` stands for names, `[]` for the entries of a list.
#[cfg(test)]
pub(super) fn keys() -> Vec<Vec<String>> {
    fn walk(root: &Value, node: &Value, at: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
        if let Some(name) = node["$ref"].as_str() {
            let pointer = name.trim_start_matches('#');
            return walk(root, root.pointer(pointer).unwrap(), at, found);
        }
        for part in node["allOf"].as_array().into_iter().flatten() {
            walk(root, part, at, found);
        }
        for (key, value) in node["properties"].as_object().into_iter().flatten() {
            at.push(key.clone());
            let before = found.len();
            walk(root, value, at, found);
            if found.len() == before {
                found.push(at.clone());
            }
            at.pop();
        }
        let named = node["patternProperties"].as_object().into_iter().flatten().map(|(_, value)| value);
        for value in named.chain(node.get("additionalProperties").filter(|value| value.is_object())) {
            at.push("NAME".to_owned());
            walk(root, value, at, found);
            at.pop();
        }
        if node["items"].is_object() {
            at.push("[]".to_owned());
            walk(root, &node["items"], at, found);
            at.pop();
        }
    }
    let root = schema();
    let mut found = Vec::new();
    walk(&root, &root, &mut Vec::new(), &mut found);
    found
}
