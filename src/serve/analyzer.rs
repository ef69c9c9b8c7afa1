//! What Azure Video Analyzer's HTTP extension and factory-ai-vision ask of an inference server: a picture in, inferences
//! in Microsoft's schema out (`http-extension-protocol` and `inference-metadata-schema` of Azure Video Analyzer).
//!
//! 200 with what was found, 204 where nothing was; a box is left, top, width and height as fractions of the picture.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::App;
use super::detect::one;
use super::error::Refused;
use super::query::Query;
use crate::detection::{Object, Rect};

/// The body of an answer.
#[derive(Debug, Serialize)]
struct Inferences {
    inferences: Vec<Inference>,
}

/// One object, or one class of the whole picture.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Inference {
    Entity { entity: Entity },
    Classification { classification: Classification },
}

#[derive(Debug, Serialize)]
struct Entity {
    tag: Tag,
    #[serde(rename = "box")]
    rect: Edges,
}

#[derive(Debug, Serialize)]
struct Classification {
    tag: Tag,
}

#[derive(Debug, Serialize)]
struct Tag {
    value: String,
    confidence: f32,
}

#[derive(Debug, Serialize)]
struct Edges {
    l: f32,
    t: f32,
    w: f32,
    h: f32,
}

impl From<Object> for Inference {
    fn from(object: Object) -> Self {
        let tag = Tag { value: object.label.to_string(), confidence: object.score };
        if object.rect == Rect::FULL {
            return Self::Classification { classification: Classification { tag } };
        }
        let [l, t, w, h] = object.rect.into();
        Self::Entity { entity: Entity { tag, rect: Edges { l, t, w, h } } }
    }
}

/// `POST /score` and `POST /predict`
pub(super) async fn score(State(app): State<App>, request: Request) -> Result<Response, Refused> {
    let kind = request.headers().get(header::CONTENT_TYPE).map(|kind| kind.as_bytes());
    if kind.is_some_and(|kind| kind.starts_with(b"image/x-raw")) {
        return Err(Refused::unsupported("raw pictures do not say their size: have them encoded as image/jpeg"));
    }
    let query = Query::read(request.uri().query().unwrap_or_default())?;
    let (answer, _) = one(&app, request, &query).await?;
    let inferences: Vec<Inference> = answer.outcome.objects.into_iter().map(Inference::from).collect();
    if inferences.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(Json(Inferences { inferences }).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_are_entities_and_classes_are_classifications() {
        let object = |rect| Object { class: 0, label: "bolt".into(), score: 0.5, rect, track: None, zones: Vec::new() };
        let of = |rect| serde_json::to_value(Inference::from(object(rect))).expect("JSON");
        let rect = Rect { x: 0.5, y: 0.25, w: 0.125, h: 0.0625 };
        let tag = json!({"value": "bolt", "confidence": 0.5});
        let edges = json!({"l": 0.5, "t": 0.25, "w": 0.125, "h": 0.0625});
        assert_eq!(of(rect), json!({"type": "entity", "entity": {"tag": tag, "box": edges}}));
        assert_eq!(of(Rect::FULL), json!({"type": "classification", "classification": {"tag": tag}}));
    }
}
