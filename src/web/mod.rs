//! The web page: what the cameras see, live, and how the node is.
//!
//! The daemon feeds a [`Hub`]; [`Web`] shows it over HTTP. Feeding is cheap and never waits: the hub keeps the newest
//! frame of each camera and encodes it only while someone watches, once for all who do. Everything a stranger could
//! multiply is bounded: connections, viewers, encoders, and how long a silent peer is kept.
//!
//! | route | what |
//! |---|---|
//! | `/` | the page |
//! | `/healthz` | `ok` while everything gets on; 503 and the reason once a model is stuck |
//! | `/readyz` | `ok` once models are warm and cameras started |
//! | `/metrics` | for Prometheus; beyond this machine with a token only |
//! | `/api/state` | the node and its cameras, as JSON ([`api::State`]) |
//! | `/api/events` | the same, pushed once a second (server-sent events) |
//! | `/api/live.mjpeg` | annotated video of all cameras; `X-Camera` says whose a part is |
//! | `/api/cameras/{name}/live.mjpeg` | annotated video, at most 15 pictures a second |
//! | `/api/cameras/{name}/live.jpg` | the newest picture of that video |
//! | `/api/cameras/{name}/snapshot.jpg` | the newest frame in full size; `?plain=true` without drawings |
//! | `/api/cameras/{name}/kept/{id}` | a frame that was kept as evidence, while it is among the last ones |
//! | `/api/review/frames…` | kept frames that await a verdict, and the verdicts; beyond this machine for reviewers only |
//!
//! All routes are GET and change nothing, but for POST of verdicts. On a loopback address only requests for `localhost` or an IP address are
//! answered, so that a web site that points its own name at this machine (DNS rebinding) reads nothing.

pub mod api;
mod assets;
mod hub;
mod kept;
pub(crate) mod listener;
mod live;
mod metrics;
mod review;
mod token;
mod wall;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::watch;

pub use self::hub::{Hub, MqttLink, MqttState, NodeInfo};
pub use self::review::{ReviewDesk, Reviewers};

use self::api::{ApiError, App};
use self::listener::Connections;
use self::metrics::Access;
use crate::config::WebConfig;

/// How long connections may take to end once the daemon stops.
const GRACE: Duration = Duration::from_secs(2);
/// Scripts, styles and pictures come from here and nowhere else; nobody may frame the page.
const CONTENT_POLICY: &str =
    "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Why there is no web page.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// Another program has the port.
    #[error(
        "the web page can't listen on {address}: another program uses this port; \
         set another one as `listen` in the [web] table, or with --listen"
    )]
    InUse {
        /// Address and port that were wanted.
        address: SocketAddr,
    },
    /// The address is not this machine's, or may not be used.
    #[error(
        "the web page can't listen on {address}: {source}; \
         set an address of this machine and a port above 1023 as `listen` in the [web] table, or with --listen"
    )]
    Listen {
        /// Address and port that were wanted.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The token for metrics can't be used.
    #[error("the token for /metrics can't be used: {0}; see `metrics_token_file` in the [web] table")]
    Token(String),
    /// A reviewer's token can't be used.
    #[error("the token of the reviewer `{name}` can't be used: {reason}; see [[review.people]]")]
    Reviewer {
        /// Whose.
        name: String,
        /// Why.
        reason: String,
    },
    /// The server ended on its own.
    #[error("the web page on {address} ended: {source}")]
    Serve {
        /// Where it was.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// A web server that has its port and serves nothing yet.
#[derive(Debug)]
pub struct Web {
    connections: Connections,
    address: SocketAddr,
    metrics: Access,
}

impl Web {
    /// Takes the port that the configuration names; port 0 takes any free one.
    ///
    /// # Errors
    /// [`WebError::InUse`] when another program has it, [`WebError::Listen`] when the system refuses otherwise,
    /// [`WebError::Token`] when the token for metrics can't be read.
    // Async because it needs the runtime that it will serve on.
    #[allow(clippy::unused_async)]
    pub async fn bind(config: &WebConfig) -> Result<Self, WebError> {
        let wanted = config.listen;
        let refused = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => WebError::InUse { address: wanted },
            _ => WebError::Listen { address: wanted, source },
        };
        let connections = Connections::bind(wanted).map_err(refused)?;
        let address = connections.address().map_err(refused)?;
        let metrics = Access::of(config, address.ip())?;
        Ok(Self { connections, address, metrics })
    }

    /// The address it has.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `hub` until `shutdown` resolves; then streams end at once and other requests get two seconds.
    ///
    /// # Errors
    /// [`WebError::Serve`] when the server ends on its own.
    pub async fn serve(
        self,
        hub: Arc<Hub>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), WebError> {
        let address = self.address;
        let (stop, stopping) = watch::channel(false);
        let app = router(App::new(hub, stopping.clone(), self.metrics, address.ip().is_loopback()), address.ip());
        let mut told = stopping.clone();
        let server = axum::serve(self.connections, app).with_graceful_shutdown(async move {
            // An error means that `stop` is gone, and then it is time as well.
            let _ = told.wait_for(|stop| *stop).await;
        });
        tracing::info!(%address, "The page is up.");
        let deadline = async move {
            shutdown.await;
            let _ = stop.send(true);
            tokio::time::sleep(GRACE).await;
            // Dropped here: `stop` must outlive the grace, or streams would not see why they end.
            drop(stop);
        };
        tokio::select! {
            ended = async { server.await } => {
                ended.map_err(|source| WebError::Serve { address, source })?;
            }
            () = deadline => tracing::debug!("Connections to the page were still open at the end."),
        }
        Ok(())
    }
}

fn router(app: App, ip: IpAddr) -> Router {
    let routes = Router::new()
        .route("/", get(assets::index))
        .route("/style.css", get(assets::style))
        .route("/app.js", get(assets::script))
        .route("/camera.js", get(assets::camera_script))
        .route("/format.js", get(assets::format_script))
        .route("/live.js", get(assets::live_script))
        .route("/favicon.svg", get(assets::icon))
        .route("/healthz", get(api::healthy))
        .route("/readyz", get(api::ready))
        .route("/metrics", get(metrics::metrics))
        .route("/api/state", get(api::state))
        .route("/api/events", get(api::events))
        .route("/api/live.mjpeg", get(wall::stream))
        .route("/api/cameras/{name}/live.mjpeg", get(live::stream))
        .route("/api/cameras/{name}/live.jpg", get(live::picture))
        .route("/api/cameras/{name}/snapshot.jpg", get(live::snapshot))
        .route("/api/cameras/{name}/kept/{id}", get(kept::picture))
        .merge(review::routes())
        .fallback(|| async { ApiError::new(StatusCode::NOT_FOUND, "there is nothing at this address") })
        .method_not_allowed_fallback(|| async {
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here")
        })
        .with_state(app)
        .layer(middleware::map_response(guard));
    if ip.is_loopback() { routes.layer(middleware::from_fn(only_this_machine)) } else { routes }
}

/// Headers that every answer carries.
async fn guard(mut response: Response) -> Response {
    const HEADERS: [(HeaderName, &str); 5] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Refuses names other than this machine's: whoever asks for one was led here by a foreign page.
async fn only_this_machine(request: Request, next: Next) -> Response {
    if names_this_machine(request.headers()) {
        return next.run(request).await;
    }
    ApiError::new(
        StatusCode::MISDIRECTED_REQUEST,
        "this server is for this machine only: ask for localhost or an IP address, or set [web] listen to an address of the network",
    )
    .into_response()
}

pub(crate) fn names_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else {
        // Browsers always send one.
        return true;
    };
    let Ok(host) = host.to_str() else {
        return false;
    };
    if host.parse::<SocketAddr>().is_ok() {
        return true;
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests;
