//! `POST /v1/detect`: a picture in, detections out, in the message that cameras' frames have on MQTT.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header;

use super::App;
use super::desk::Answer;
use super::error::Refused;
use super::intake::Intake;
use super::multipart;
use super::query::Query;
use crate::detection::{Detections, FrameRef, Latency, SCHEMA};

/// `POST /v1/detect`
pub(super) async fn detect(State(app): State<App>, request: Request) -> Result<Json<Detections>, Refused> {
    let captured_at = app.desk.clock.wall();
    let query = Query::read(request.uri().query().unwrap_or_default())?;
    let (answer, size) = one(&app, request, &query).await?;
    let seq = app.desk.number();
    let now = app.desk.clock.monotonic();
    let ms = |from: std::time::Instant, to: std::time::Instant| to.saturating_duration_since(from).as_secs_f64() * 1e3;
    let Answer { outcome, model, since, taken } = answer;
    Ok(Json(Detections {
        schema: SCHEMA.to_owned(),
        id: ulid::Ulid::generate().to_string(),
        site: app.desk.site.clone(),
        node: app.desk.node.clone(),
        camera: query.camera.to_string(),
        camera_state: None,
        frame: FrameRef { seq, captured_at, width: size.0, height: size.1 },
        model,
        config: app.desk.config(),
        latency_ms: Latency {
            queue: ms(since, taken),
            preprocess: outcome.preprocess_ms,
            model: outcome.model_ms,
            total: ms(since, now),
        },
        objects: outcome.objects,
        embedding: outcome.embedding,
    }))
}

/// Scores the one picture of a request, and gives its width and height besides.
pub(super) async fn one(app: &App, request: Request, query: &Query) -> Result<(Answer, (u32, u32)), Refused> {
    let found = app.desk.find(query.model.as_deref(), query.version.as_deref())?;
    found.running()?;
    let intake = Intake::read(app, request).await?;
    let file = multipart::file(intake.header(header::CONTENT_TYPE), intake.body.clone())?;
    let picture = app.decode(file, intake.deadline).await?;
    let size = (picture.0.width(), picture.0.height());
    let answers = app.score(&found, query.version.as_deref(), vec![picture], query.score, intake.deadline).await?;
    let answer = answers.into_iter().next().ok_or_else(|| Refused::not_now("the model gave no answer"))?;
    Ok((answer, size))
}
