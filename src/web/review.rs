//! `/api/review/…`: kept frames that await a verdict, and the verdicts.
//!
//! Beyond this machine only reviewers are answered, by their tokens; on it everybody, unless reviewers are named. Who has
//! a token speaks for himself. A verdict must come as JSON: a page from elsewhere can't send that here without asking.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Router, extract::Request};
use serde::{Deserialize, Serialize};

use super::api::{ApiError, App};
use super::{WebError, token};
use crate::config::ReviewConfig;
use crate::evidence::{FrameDetail, FrameList, MAX_VERDICT, ReviewError, Reviews, Said, Taken, Verdict, Via, Wanted};

/// Frames that are listed where nobody says how many.
const LIST: usize = 50;

/// Where verdicts are taken, and who may give them.
#[derive(Debug, Clone)]
pub struct ReviewDesk {
    /// The frames and verdicts.
    pub reviews: Reviews,
    /// Who may see and judge them.
    pub reviewers: Reviewers,
}

/// Those who may review: their names, and digests of their tokens.
#[derive(Clone, Default)]
pub struct Reviewers(Vec<(String, [u8; 32])>);

impl Reviewers {
    /// Those of the configuration.
    ///
    /// # Errors
    /// When a token can't be read, is empty, or two have the same.
    pub fn of(config: &ReviewConfig) -> Result<Self, WebError> {
        let mut all = Vec::<(String, [u8; 32])>::new();
        for person in &config.people {
            let wrong = |reason: String| WebError::Reviewer { name: person.name.to_string(), reason };
            let token = person.token().read().map_err(|error| wrong(error.to_string()))?;
            if token.is_empty() {
                return Err(wrong("it is empty".to_owned()));
            }
            let digest = token::digest(&token);
            if let Some((other, _)) = all.iter().find(|(_, known)| *known == digest) {
                return Err(wrong(format!("`{other}` has the same")));
            }
            all.push((person.name.to_string(), digest));
        }
        Ok(Self(all))
    }

    /// Whose token a request has; nobody's where there are no reviewers and the server is for this machine only.
    fn check(&self, headers: &HeaderMap, local: bool) -> Result<Option<&str>, ApiError> {
        if self.0.is_empty() {
            return if local {
                Ok(None)
            } else {
                Err(ApiError::new(
                    StatusCode::FORBIDDEN,
                    "beyond this machine reviewing needs a token: add a table [[review.people]] to the configuration",
                ))
            };
        }
        let given = token::brought(headers);
        let found = self.0.iter().find(|(_, digest)| *digest == given).map(|(name, _)| Some(name.as_str()));
        found.ok_or_else(|| {
            ApiError::new(StatusCode::UNAUTHORIZED, "reviewing needs `Authorization: Bearer` and a reviewer's token")
        })
    }
}

impl std::fmt::Debug for Reviewers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// The routes.
pub(super) fn routes() -> Router<App> {
    let judged: MethodRouter<App> = post(judge).layer(DefaultBodyLimit::max(MAX_VERDICT));
    Router::new()
        .route("/api/review/frames", get(list))
        .route("/api/review/frames/{id}", get(detail))
        .route("/api/review/frames/{id}/picture", get(picture))
        .route(
            "/api/review/frames/{id}/verdicts",
            judged.fallback(|| async { ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "verdicts are sent with POST") }),
        )
        .layer(axum::middleware::map_response(challenge))
}

/// Tells who is not let in by what he would be.
async fn challenge(mut response: Response) -> Response {
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

impl From<ReviewError> for ApiError {
    fn from(error: ReviewError) -> Self {
        let status = match error {
            ReviewError::Unreadable(_) => StatusCode::BAD_REQUEST,
            ReviewError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ReviewError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            ReviewError::UnknownFrame { .. } => StatusCode::NOT_FOUND,
            ReviewError::Conflict(_) => StatusCode::CONFLICT,
            ReviewError::NotNow(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}

/// Who asks, and what he asks for.
fn enter(app: &App, headers: &HeaderMap) -> Result<(Reviews, Option<String>), ApiError> {
    let desk = app.hub.review_desk().ok_or_else(|| {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "no frames are reviewed: the configuration needs a table [evidence], and not `enabled = false` under [review]",
        )
    })?;
    let who = desk.reviewers.check(headers, app.local)?;
    Ok((desk.reviews.clone(), who.map(str::to_owned)))
}

/// The disk may be slow.
async fn ask<T: Send + 'static>(
    reviews: Reviews,
    what: impl FnOnce(&Reviews) -> Result<T, ReviewError> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(move || what(&reviews)).await {
        Ok(answer) => Ok(answer?),
        Err(error) => Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

/// Which frames somebody wants to see.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    state: FrameState,
    camera: Option<String>,
    before: Option<String>,
    limit: Option<usize>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FrameState {
    #[default]
    Awaiting,
    Judged,
    All,
}

/// `GET /api/review/frames`
async fn list(State(app): State<App>, headers: HeaderMap, request: Request) -> Result<Json<FrameList>, ApiError> {
    let (reviews, _) = enter(&app, &headers)?;
    let Query(asked) = Query::<Asked>::try_from_uri(request.uri())
        .map_err(|error| ApiError::new(StatusCode::BAD_REQUEST, super::super::causes::with_causes(&error)))?;
    let judged = match asked.state {
        FrameState::Awaiting => Some(false),
        FrameState::Judged => Some(true),
        FrameState::All => None,
    };
    let Asked { camera, before, limit, .. } = asked;
    let wanted = Wanted { camera, judged, before, limit: limit.unwrap_or(LIST) };
    Ok(Json(ask(reviews, move |reviews| reviews.list(&wanted)).await?))
}

/// `GET /api/review/frames/{id}`
async fn detail(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<FrameDetail>, ApiError> {
    let (reviews, _) = enter(&app, &headers)?;
    Ok(Json(ask(reviews, move |reviews| reviews.detail(&id)).await?))
}

/// `GET /api/review/frames/{id}/picture`
async fn picture(State(app): State<App>, headers: HeaderMap, Path(id): Path<String>) -> Result<Response, ApiError> {
    let (reviews, _) = enter(&app, &headers)?;
    let jpeg = ask(reviews, move |reviews| reviews.picture(&id)).await?;
    Ok(([(header::CONTENT_TYPE, "image/jpeg")], jpeg).into_response())
}

/// What is answered to a verdict.
#[derive(Serialize)]
struct Answer {
    /// Whether it was there before.
    repeated: bool,
    verdict: Verdict,
}

/// `POST /api/review/frames/{id}/verdicts`
async fn judge(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Response, ApiError> {
    let (reviews, who) = enter(&app, &headers)?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        let message = "a verdict is JSON: send it with `Content-Type: application/json`";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let body = body.map_err(|refused| match refused.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            ApiError::new(refused.status(), format!("it is too large: a verdict has at most {MAX_VERDICT} bytes"))
        }
        status => ApiError::new(status, refused.body_text()),
    })?;
    let said = signed(Said::read(&body)?, &id, who)?;
    let Taken { verdict, repeated } = ask(reviews, move |reviews| reviews.judge(&id, said, Via::Http)).await?;
    let status = if repeated { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(Answer { repeated, verdict })).into_response())
}

/// With the name of whose token came with it.
fn signed(said: Said, frame: &str, who: Option<String>) -> Result<Said, ApiError> {
    if said.frame.as_ref().is_some_and(|named| named != frame) {
        let message = "`frame` is another frame than that of the address: leave it out";
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message));
    }
    let Some(name) = who else { return Ok(said) };
    if said.by.as_ref().is_some_and(|by| *by != name) {
        let message = format!("this token is that of `{name}`, who can't speak for others: leave `by` out");
        return Err(ApiError::new(StatusCode::FORBIDDEN, message));
    }
    Ok(Said { by: Some(name), ..said })
}
