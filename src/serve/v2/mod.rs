//! The Open Inference Protocol over HTTP, as KServe and Triton speak it (version 2), with the extension for binary
//! tensors: <https://github.com/kserve/open-inference-protocol>, and Triton's `extension_binary_data.md`.
//!
//! A model here is more than its network: pictures go in as they are, and objects come out, by the preprocessing and the
//! head of its package.

mod data;
mod few;
mod outputs;
mod request;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

use self::request::{INPUT, InferRequest, Sent};
use super::App;
use super::desk::Found;
use super::error::Refused;
use super::intake::Intake;

/// Where the JSON of a body ends that goes on in binary.
const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");
/// Project and format, as the protocol wants a platform named.
const PLATFORM: &str = "ocellus_onnx";

/// A model's name, and maybe a version.
pub(super) type Named = Result<Path<Vec<(String, String)>>, PathRejection>;

/// The model that an address names.
fn find(app: &App, named: Named) -> Result<Found, Refused> {
    let Path(parts) = named.map_err(|_| Refused::bad("the model's name in the address is no text in UTF-8"))?;
    let part = |name: &str| parts.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    app.desk.find(part("name").or(Some("")), part("version"))
}

/// `GET /v2/health/live`
pub(super) async fn live() -> Json<Value> {
    Json(json!({"live": true}))
}

/// `GET /v2/health/ready`: whether every model can be run.
pub(super) async fn ready(State(app): State<App>) -> Response {
    let ready = app.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({"ready": ready}))).into_response()
}

/// `GET /v2`
pub(super) async fn server() -> Json<Value> {
    Json(json!({"name": "ocellus", "version": env!("CARGO_PKG_VERSION"), "extensions": ["binary_tensor_data"]}))
}

/// `GET /v2/models/{name}[/versions/{version}]`
pub(super) async fn model(State(app): State<App>, named: Named) -> Result<Json<Value>, Refused> {
    let found = find(&app, named)?;
    let facts = found.running()?;
    let outputs: Vec<Value> = outputs::of(facts.task).iter().map(outputs::Output::metadata).collect();
    Ok(Json(json!({
        "name": found.name,
        "versions": [facts.reference.version, facts.reference.digest],
        "platform": PLATFORM,
        "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": [-1, -1, -1, 3]}],
        "outputs": outputs,
    })))
}

/// `GET /v2/models/{name}[/versions/{version}]/ready`
pub(super) async fn model_ready(State(app): State<App>, named: Named) -> Result<Response, Refused> {
    let found = find(&app, named)?;
    let ready = found.facts.is_some() && !app.is_stopping();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(json!({"name": found.name, "ready": ready}))).into_response())
}

/// `POST /v2/models/{name}[/versions/{version}]/infer`
pub(super) async fn infer(State(app): State<App>, named: Named, request: Request) -> Result<Response, Refused> {
    let version = named.as_ref().ok().and_then(|Path(parts)| parts.iter().find(|(key, _)| key == "version"));
    let version = version.map(|(_, version)| version.clone());
    let found = find(&app, named)?;
    let task = found.running()?.task;
    let intake = Intake::read(&app, request).await?;
    let (body, json) = (intake.body.clone(), json_length(&intake)?);
    // What the numbers of a text take once they are read.
    let _held = app.memory.hold(json.unwrap_or(body.len()).min(body.len()) as u64)?;
    let most = app.desk.settings.queue;
    let read = app.compute(intake.deadline, move || InferRequest::read(&body, json, most)).await?;
    let (request, sent) = read?;
    let wanted = outputs::wanted(&request, task)?;
    let mut pictures = Vec::with_capacity(sent.len());
    for picture in sent {
        pictures.push(match picture {
            Sent::Pixels(image) => (image, std::sync::Arc::clone(&intake.held)),
            Sent::File(file) => app.decode(file, intake.deadline).await?,
        });
    }
    let answers = app.score(&found, version.as_deref(), pictures, request.parameters.score, intake.deadline).await?;
    let Some(model) = answers.first().map(|answer| answer.model.clone()) else {
        return Err(Refused::bad("the request has no picture"));
    };
    let outcomes: Vec<_> = answers.into_iter().map(|answer| answer.outcome).collect();
    let (listed, rest) = outputs::tensors(&outcomes, &wanted);
    let mut answer = json!({
        "model_name": found.name,
        "model_version": model.version,
        "parameters": {"digest": model.digest},
        "outputs": listed,
    });
    if let Some(id) = request.id {
        answer["id"] = json!(id);
    }
    Ok(respond(&answer, &rest))
}

fn json_length(intake: &Intake) -> Result<Option<usize>, Refused> {
    if !intake.headers.contains_key(JSON_LENGTH) {
        return Ok(None);
    }
    let length = intake.header(JSON_LENGTH).parse().map(Some);
    length.map_err(|_| Refused::bad("`Inference-Header-Content-Length` is the number of bytes of the JSON"))
}

/// JSON, and behind it what is in binary.
fn respond(answer: &Value, rest: &Bytes) -> Response {
    let json = answer.to_string();
    if rest.is_empty() {
        return ([(header::CONTENT_TYPE, "application/json")], json).into_response();
    }
    let length = HeaderValue::from(json.len());
    let mut body = BytesMut::with_capacity(json.len() + rest.len());
    body.extend_from_slice(json.as_bytes());
    body.extend_from_slice(rest);
    let kind = HeaderValue::from_static("application/octet-stream");
    ([(header::CONTENT_TYPE, kind), (JSON_LENGTH, length)], body.freeze()).into_response()
}
