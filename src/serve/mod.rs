//! Scoring for others: pictures come in over HTTP, what a model sees in them goes out.
//!
//! The models are those that look at the cameras, opened once. A picture that is sent in waits at the model's
//! [`Counter`], and is scored when no camera's frame waits. Everything that a stranger could multiply is bounded:
//! connections, requests at a time, the size of a body, the memory of all requests together, pictures that wait, and how
//! long any of it may take. What does not fit is refused at once: 503 with `Retry-After` where it may come again, 413
//! where it never fits.
//!
//! | route | what |
//! |---|---|
//! | `GET /v2`, `/v2/health/live`, `/v2/health/ready`, `/v2/models/{name}[/versions/{version}][/ready]` | the Open Inference Protocol |
//! | `POST /v2/models/{name}[/versions/{version}]/infer` | its tensors, in JSON or in binary |
//! | `POST /v1/detect` | a picture in, `ocellus.detections/1` out |
//! | `POST /score`, `/predict` | what Azure Video Analyzer asked of an inference server |
//! | `GET /metrics` | what was answered how often, for Prometheus |
//! | `GET /openapi.json` | all of this, for machines |
//!
//! Errors are `{"error": "…"}` everywhere. Health and the description need no token.

mod access;
mod analyzer;
mod connections;
mod counts;
mod desk;
mod detect;
mod error;
mod intake;
mod limits;
mod multipart;
#[cfg(test)]
mod openapi;
mod picture;
mod query;
mod v2;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use futures::future::try_join_all;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};

pub use self::desk::{Counter, Desk, Ticket};

use self::access::Access;
use self::counts::Counts;
use self::desk::{Answer, Found, is_version, other_version};
use self::error::Refused;
use self::limits::{Memory, Places};
use self::picture::Picture;
use crate::config::ServeConfig;
use crate::web::listener::Connections;

/// Pictures that are decoded at one time: scoring needs the processor more.
const DECODERS: usize = 2;

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The port can't be had.
    #[error(
        "scoring can't be served on {address}: {source}; set a free port of this machine as `listen` in the [serve] table"
    )]
    Listen {
        /// Address and port that were wanted.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The port is open to the network, and there is no token.
    #[error("scoring on {0} is open to the network, which takes a token: set `token_file` in the [serve] table")]
    Open(SocketAddr),
    /// The token can't be used.
    #[error("the token for scoring can't be used: {0}; see `token_file` in the [serve] table")]
    Token(String),
}

/// What the handlers share.
#[derive(Debug, Clone)]
struct App {
    desk: Arc<Desk>,
    access: Access,
    memory: Memory,
    places: Places,
    decoders: Arc<Semaphore>,
    counts: Counts,
    stopping: watch::Receiver<bool>,
}

impl App {
    fn timeout(&self) -> Duration {
        Duration::try_from_secs_f32(self.desk.settings.timeout_s).unwrap_or(Duration::from_secs(1))
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    fn is_ready(&self) -> bool {
        let counters = self.desk.counters();
        !self.is_stopping() && !counters.is_empty() && counters.values().all(|counter| counter.facts().is_some())
    }

    /// Does what takes the processor for a while, off the threads that carry the network.
    async fn compute<T: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let decoder = timeout_at(deadline, Arc::clone(&self.decoders).acquire_owned()).await;
        // The semaphore is never closed.
        let Ok(Ok(decoder)) = decoder else { return Err(late()) };
        let done = tokio::task::spawn_blocking(move || {
            let _decoder = decoder;
            work()
        });
        match timeout_at(deadline, done).await {
            Ok(Ok(done)) => Ok(done),
            // What a decoder can't cope with.
            Ok(Err(_)) => Err(Refused::bad("what was sent can't be read")),
            Err(_) => Err(late()),
        }
    }

    async fn decode(&self, file: Bytes, deadline: Instant) -> Result<Picture, Refused> {
        let memory = self.memory.clone();
        self.compute(deadline, move || picture::decode(&file, &memory)).await?
    }

    /// Has pictures scored, by the version that was asked for or not at all.
    async fn score(
        &self,
        found: &Found,
        version: Option<&str>,
        pictures: Vec<Picture>,
        score: Option<f32>,
        deadline: Instant,
    ) -> Result<Vec<Answer>, Refused> {
        let waiting = found.counter.put(pictures, score, self.desk.clock.monotonic())?;
        let answers = timeout_at(deadline, try_join_all(waiting)).await.map_err(|_| late())?;
        let gone = |_| Refused::not_now("the model could not be run, and is being opened again");
        let answers = answers.map_err(gone)?;
        for Answer { model, .. } in &answers {
            // It may have been replaced while the pictures waited.
            if let Some(version) = version.filter(|version| !is_version(model, version)) {
                return Err(other_version(&found.name, version, model));
            }
        }
        self.counts.scored(answers.len());
        Ok(answers)
    }
}

fn late() -> Refused {
    Refused::not_now("there was no time for this within `timeout_s` of the [serve] table: cameras come first")
}

/// An endpoint that has its port and serves nothing yet.
#[derive(Debug)]
pub struct Serve {
    connections: Connections,
    address: SocketAddr,
    access: Access,
}

impl Serve {
    /// Takes the port that the configuration names; port 0 takes any free one.
    ///
    /// # Errors
    /// [`ServeError`] when the port can't be had, or the token.
    // Async because it needs the runtime that it will serve on.
    #[allow(clippy::unused_async)]
    pub async fn bind(config: &ServeConfig) -> Result<Self, ServeError> {
        let access = Access::of(config)?;
        let refused = |source| ServeError::Listen { address: config.listen, source };
        let connections = Connections::bind(config.listen).map_err(refused)?;
        let address = connections.address().map_err(refused)?;
        Ok(Self { connections, address, access })
    }

    /// The address it has.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves the models of `desk` until `shutdown` resolves; requests that are being answered then get two seconds.
    pub async fn serve(self, desk: Arc<Desk>, shutdown: impl Future<Output = ()> + Send + 'static) {
        let (stop, stopping) = watch::channel(false);
        let settings = &desk.settings;
        let app = App {
            access: self.access,
            memory: Memory::new(settings.memory_mib),
            places: Places::new(settings.concurrent),
            decoders: Arc::new(Semaphore::new(DECODERS)),
            counts: Counts::default(),
            stopping: stopping.clone(),
            desk,
        };
        tracing::info!(address = %self.address, "Scoring is served.");
        let serving = connections::serve(self.connections, router(app), stopping);
        let ending = async move {
            shutdown.await;
            stop.send_replace(true);
            // It must outlive the requests, or they would not see why they end.
            stop.closed().await;
        };
        tokio::join!(serving, ending);
    }
}

/// The routes that need no token.
const FREE: [&str; 3] = ["/v2/health/live", "/v2/health/ready", "/openapi.json"];

fn router(app: App) -> Router {
    let guarded = Router::new()
        .route("/v2", get(v2::server))
        .route("/v2/models/{name}", get(v2::model))
        .route("/v2/models/{name}/ready", get(v2::model_ready))
        .route("/v2/models/{name}/infer", post(v2::infer))
        .route("/v2/models/{name}/versions/{version}", get(v2::model))
        .route("/v2/models/{name}/versions/{version}/ready", get(v2::model_ready))
        .route("/v2/models/{name}/versions/{version}/infer", post(v2::infer))
        .route("/v1/detect", post(detect::detect))
        .route("/score", post(analyzer::score))
        .route("/predict", post(analyzer::score))
        .route("/metrics", get(counts::metrics))
        .route_layer(from_fn_with_state(app.clone(), access::with_token));
    let [live, ready, description] = FREE;
    Router::new()
        .route(live, get(v2::live))
        .route(ready, get(v2::ready))
        .route(description, get(openapi_json))
        .merge(guarded)
        .fallback(|| async {
            Refused::not_found("there is nothing at this address; /openapi.json lists what there is")
        })
        .method_not_allowed_fallback(|| async {
            Refused::new(StatusCode::METHOD_NOT_ALLOWED, "this address takes another method; see /openapi.json")
        })
        .layer(from_fn_with_state(app.clone(), access::no_foreign_page))
        .layer(from_fn_with_state(app.clone(), counts::count))
        .layer(map_response(guard))
        .with_state(app)
}

async fn openapi_json() -> ([(header::HeaderName, &'static str); 1], &'static str) {
    ([(header::CONTENT_TYPE, "application/json")], include_str!("../../docs/reference/openapi.json"))
}

/// Headers that every answer carries.
async fn guard(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
