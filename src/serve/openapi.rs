//! The description of the endpoint in `docs/reference/openapi.json`, OpenAPI 3.1, which the endpoint also gives.
//! `OCELLUS_WRITE_REFERENCE=1 cargo test reference` writes it anew.

use std::path::Path;

use schemars::schema_for;
use serde_json::{Value, json};

use crate::detection::{self, Detections};

/// What the routes have in common: how they refuse.
const REFUSALS: [(&str, &str); 6] = [
    ("400", "The request makes no sense; the error says where."),
    ("401", "The token is missing or another one."),
    ("404", "There is no such model, or no such version of it."),
    ("413", "It is larger than any request may be."),
    ("415", "It came in a form that is not read here."),
    ("503", "Not now: `Retry-After` says when to come again."),
];

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

/// An operation with one good answer.
fn operation(id: &str, summary: &str, good: &Value) -> Value {
    let mut responses = json!({"200": {"description": "Done.", "content": good}});
    for (status, description) in REFUSALS {
        responses[status] = json!({
            "description": description,
            "content": {"application/json": {"schema": reference("Error")}},
        });
    }
    json!({"operationId": id, "summary": summary, "responses": responses})
}

fn answered(schema: &str) -> Value {
    json!({"application/json": {"schema": reference(schema)}})
}

/// An operation for which nobody needs a token.
fn free(id: &str, summary: &str, schema: &Value) -> Value {
    let content = json!({"application/json": {"schema": schema}});
    json!({
        "operationId": id,
        "summary": summary,
        "security": [],
        "responses": {"200": {"description": "Done.", "content": content}},
    })
}

fn picture_body() -> Value {
    let binary = json!({"schema": {"contentMediaType": "application/octet-stream"}});
    json!({
        "required": true,
        "description": "One picture: JPEG, PNG or BMP, as it is or as a file of a form.",
        "content": {
            "image/jpeg": binary,
            "image/png": binary,
            "image/bmp": binary,
            "multipart/form-data": {"schema": {
                "type": "object",
                "properties": {"image": {"type": "string", "contentMediaType": "image/jpeg"}},
            }},
        },
    })
}

fn parameter(place: &str, name: &str, description: &str, schema: &Value) -> Value {
    json!({"in": place, "name": name, "description": description, "required": place == "path", "schema": schema})
}

fn query() -> Vec<Value> {
    let text = json!({"type": "string"});
    vec![
        parameter("query", "model", "The model's name in the configuration, where several are served.", &text),
        parameter("query", "version", "Its version or digest: another one is not to answer.", &text),
        parameter(
            "query",
            "score",
            "Lowest score of a detection, instead of the model's.",
            &json!({"type": "number", "minimum": 0, "maximum": 1}),
        ),
        parameter("query", "camera", "Whose picture it is; also `camera_id`.", &text),
    ]
}

/// The addresses of models, each with and without a version.
fn models() -> Value {
    let name = parameter("path", "name", "The model's name in the configuration.", &json!({"type": "string"}));
    let version = parameter("path", "version", "The model's version or digest.", &json!({"type": "string"}));
    let mut paths = json!({});
    for (base, suffix, parameters) in [
        ("/v2/models/{name}", "", vec![&name]),
        ("/v2/models/{name}/versions/{version}", "Version", vec![&name, &version]),
    ] {
        let with = |mut operation: Value, method: &str| {
            operation["operationId"] =
                json!(format!("{}{suffix}", operation["operationId"].as_str().unwrap_or_default()));
            json!({"parameters": parameters, method: operation})
        };
        paths[base] = with(operation("model", "What a model takes and gives.", &answered("Model")), "get");
        let ready = operation("modelReady", "Whether a model can be run.", &answered("ModelReady"));
        paths[format!("{base}/ready")] = with(ready, "get");
        let mut infer = operation("infer", "Pictures in, objects out, as tensors.", &answered("InferResponse"));
        infer["requestBody"] = json!({
            "required": true,
            "description": "JSON; with the header `Inference-Header-Content-Length` binary tensors may come behind it.",
            "content": {
                "application/json": {"schema": reference("InferRequest")},
                "application/octet-stream": {"schema": {"contentMediaType": "application/octet-stream"}},
            },
        });
        infer["responses"]["200"]["content"]["application/octet-stream"] =
            json!({"schema": {"contentMediaType": "application/octet-stream"}});
        paths[format!("{base}/infer")] = with(infer, "post");
    }
    paths
}

fn describe() -> Value {
    let mut paths = models();
    let flag = |name: &str| json!({"type": "object", "properties": {name: {"type": "boolean"}}, "required": [name]});
    paths["/v2/health/live"] = json!({"get": free("live", "Whether the server runs.", &flag("live"))});
    let mut ready = free("ready", "Whether every model can be run.", &flag("ready"));
    ready["responses"]["503"] =
        json!({"description": "Not yet, or not any more.", "content": ready["responses"]["200"]["content"]});
    paths["/v2/health/ready"] = json!({"get": ready});
    paths["/openapi.json"] = json!({"get": free("description", "This description.", &json!({"type": "object"}))});
    let text = json!({"text/plain": {"schema": {"type": "string"}}});
    paths["/metrics"] = json!({"get": operation("metrics", "What was answered how often, for Prometheus.", &text)});
    paths["/v2"] = json!({"get": operation("server", "What the server is and speaks.", &answered("Server"))});
    let mut detect = operation("detect", "A picture in, detections out.", &answered("Detections"));
    detect["requestBody"] = picture_body();
    paths["/v1/detect"] = json!({"parameters": query(), "post": detect});
    for (path, id) in [("/score", "score"), ("/predict", "predict")] {
        let summary = "A picture in, inferences of Azure Video Analyzer's schema out.";
        let mut score = operation(id, summary, &answered("Inferences"));
        score["requestBody"] = picture_body();
        score["responses"]["204"] = json!({"description": "Nothing was found."});
        paths[path] = json!({"parameters": query(), "post": score});
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Ocellus scoring endpoint",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Pictures in, what a model sees in them out.",
            "license": {"name": "Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:8000"}],
        "security": [{"token": []}, {}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas(),
        },
    })
}

fn schemas() -> Value {
    let text = json!({"type": "string"});
    let tensor = |data: &Value| {
        json!({
            "type": "object",
            "properties": {
                "name": text,
                "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}, "maxItems": 4},
                "datatype": text,
                "parameters": {"type": "object", "properties": {"binary_data_size": {"type": "integer", "minimum": 0}}},
                "data": data,
            },
            "required": ["name", "shape", "datatype"],
        })
    };
    let described = json!({
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "name": text,
                "datatype": {"enum": ["UINT8", "INT32", "FP32", "BYTES"]},
                "shape": {"type": "array", "items": {"type": "integer", "minimum": -1}},
            },
            "required": ["name", "datatype", "shape"],
        },
    });
    let fraction = json!({"type": "number", "minimum": 0, "maximum": 1});
    let tag = json!({
        "type": "object",
        "properties": {"value": text, "confidence": fraction},
        "required": ["value", "confidence"],
    });
    let edges = json!({
        "type": "object",
        "properties": {"l": fraction, "t": fraction, "w": fraction, "h": fraction},
        "required": ["l", "t", "w", "h"],
    });
    let mut schemas = json!({
        "Error": {"type": "object", "properties": {"error": text}, "required": ["error"], "additionalProperties": false},
        "Server": {
            "type": "object",
            "properties": {"name": text, "version": text, "extensions": {"type": "array", "items": text}},
            "required": ["name", "version", "extensions"],
        },
        "Model": {
            "type": "object",
            "properties": {
                "name": text, "platform": text, "inputs": described, "outputs": described,
                "versions": {"description": "Its version, and its digest.", "type": "array", "items": text},
            },
            "required": ["name", "versions", "platform", "inputs", "outputs"],
        },
        "ModelReady": {
            "type": "object",
            "properties": {"name": text, "ready": {"type": "boolean"}},
            "required": ["name", "ready"],
        },
        "InferRequest": {
            "type": "object",
            "properties": {
                "id": text,
                "parameters": {"type": "object", "properties": {
                    "score": fraction, "binary_data_output": {"type": "boolean"},
                }},
                "inputs": {"type": "array", "items": tensor(&json!({"type": "array"})), "minItems": 1, "maxItems": 1},
                "outputs": {"type": "array", "maxItems": 16, "items": {
                    "type": "object",
                    "properties": {
                        "name": text,
                        "parameters": {"type": "object", "properties": {"binary_data": {"type": "boolean"}}},
                    },
                    "required": ["name"],
                }},
            },
            "required": ["inputs"],
        },
        "InferResponse": {
            "type": "object",
            "properties": {
                "model_name": text, "model_version": text, "id": text,
                "parameters": {"type": "object", "properties": {"digest": text}, "required": ["digest"]},
                "outputs": {"type": "array", "items": tensor(&json!({"type": "array"}))},
            },
            "required": ["model_name", "model_version", "parameters", "outputs"],
        },
        "Inferences": {
            "type": "object",
            "properties": {"inferences": {"type": "array", "minItems": 1, "items": {"oneOf": [
                {
                    "type": "object",
                    "properties": {"type": {"const": "entity"}, "entity": {
                        "type": "object", "properties": {"tag": tag, "box": edges}, "required": ["tag", "box"],
                    }},
                    "required": ["type", "entity"],
                },
                {
                    "type": "object",
                    "properties": {"type": {"const": "classification"}, "classification": {
                        "type": "object", "properties": {"tag": tag}, "required": ["tag"],
                    }},
                    "required": ["type", "classification"],
                },
            ]}}},
            "required": ["inferences"],
        },
    });
    for (name, schema) in message_schemas() {
        schemas[name] = schema;
    }
    schemas
}

/// The schema of detections and of what it refers to, as components.
fn message_schemas() -> Vec<(String, Value)> {
    let text =
        serde_json::to_string(&schema_for!(Detections)).expect("JSON").replace("#/$defs/", "#/components/schemas/");
    // Links of rustdoc lead nowhere here.
    let text = text.replace("[`", "`").replace("`]", "`");
    let mut whole: Value = serde_json::from_str(&text).expect("JSON");
    let object = whole.as_object_mut().expect("an object");
    object.remove("$schema");
    let parts = object.remove("$defs").and_then(|parts| parts.as_object().cloned()).unwrap_or_default();
    whole["properties"]["schema"] = json!({"const": detection::SCHEMA});
    parts.into_iter().chain([("Detections".to_owned(), whole)]).collect()
}

#[test]
fn the_reference_describes_the_endpoint() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/openapi.json");
    let described = describe();
    if std::env::var_os("OCELLUS_WRITE_REFERENCE").is_some() {
        std::fs::write(&path, format!("{described:#}\n")).expect("written");
    }
    let there = std::fs::read_to_string(&path).expect("a file");
    let there: Value = serde_json::from_str(&there).expect("JSON");
    assert!(there == described, "docs/reference/openapi.json is old: OCELLUS_WRITE_REFERENCE=1 cargo test reference");
}
