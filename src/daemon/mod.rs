//! The wiring: the only place that knows every room.
//!
//! ```text
//! camera threads ─► mailboxes ─► scoring threads (one a model) ─► outlet, scenes ─► MQTT, page, evidence
//!                                                             events, evidence ─► outbox ─► MQTT, store
//! ```
//!
//! Start is back to front, so that nothing flows before there is somewhere to flow to: models are opened and warm,
//! the page's port is bound, then the broker is dialled, then cameras open. Stop is front to back, so that what was
//! captured is scored, kept and published before the broker hears `stopped`.

mod announce;
mod evidence;
mod lines;
mod meter;
mod models;
mod outlet;
mod reload;
mod scenes;
mod scoring;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use self::announce::announce;
use self::evidence::EvidenceLine;
use self::lines::Lines;
pub use self::meter::percentiles;
pub(crate) use self::models::model_of;
use self::models::open_engines;
pub use self::models::open_package;
use self::outlet::{Outlet, Outputs};
use self::reload::Plan;
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Config, Loaded};
use crate::model::engine::EngineError;
use crate::outbox::Outbox;
use crate::publish::{Durable, Mqtt, MqttError};
use crate::web::{Hub, NodeInfo, Web};

/// How often statistics are published.
const STATS_EVERY: Duration = Duration::from_secs(1);
/// How long a clean stop may take to flush evidence, and then to flush MQTT.
const FLUSH: Duration = Duration::from_secs(5);

/// Why the daemon does not start. Once it runs, it goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonError {
    /// A model can't be opened.
    #[error(transparent)]
    Model(#[from] EngineError),
    /// A camera's source makes no sense.
    #[error("camera {camera}: {reason}")]
    Camera {
        /// The camera's name.
        camera: String,
        /// What is wrong.
        reason: String,
    },
    /// The page can't be served.
    #[error(transparent)]
    Web(#[from] crate::web::WebError),
    /// The broker's settings make no sense.
    #[error(transparent)]
    Mqtt(#[from] MqttError),
    /// There is no outbox.
    #[error(transparent)]
    Outbox(#[from] crate::outbox::OutboxError),
    /// The store's settings make no sense.
    #[error(transparent)]
    Store(#[from] crate::ship::ShipError),
    /// A thread can't be started.
    #[error("a thread can't be started: {0}")]
    Thread(std::io::Error),
}

/// A running daemon.
pub struct Daemon {
    /// What is in force.
    config: Config,
    lines: Lines,
    outlet: Arc<Outlet>,
    mqtt: Mqtt,
    outbox: Outbox,
    evidence: Option<EvidenceLine>,
    shutdown: watch::Sender<bool>,
    web: Option<(SocketAddr, tokio::task::JoinHandle<()>)>,
    stats: tokio::task::JoinHandle<()>,
    models: Vec<String>,
    device: String,
    topics: String,
}

/// The runtime that the network side runs on.
///
/// # Errors
/// When the system gives no threads.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

/// Ends when the process is asked to: SIGTERM or Ctrl-C.
pub async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = match signal(SignalKind::terminate()) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::error!(%error, "Signals can't be watched: stop the process with SIGKILL.");
            return std::future::pending().await;
        }
    };
    tokio::select! {
        _ = terminate.recv() => tracing::info!("Stopping on SIGTERM."),
        _ = tokio::signal::ctrl_c() => tracing::info!("Stopping on Ctrl-C."),
    }
}

impl Daemon {
    /// Starts everything; must be called on a tokio runtime.
    ///
    /// # Errors
    /// When a model, a port or a setting won't do. Brokers, cameras and stores that are away are waited for instead.
    pub async fn start(loaded: Loaded) -> Result<Self, DaemonError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let config = &loaded.config;
        if let Some(directory) = &config.cache {
            crate::gpu::keep_in(directory.clone());
        }
        let engines = open_engines(config).await?;
        let models = engines.values().map(|e| e.spec().name.clone()).collect();
        let device = engines.values().next().map_or_else(|| "none".to_owned(), |e| e.device().to_owned());

        let hub = Arc::new(hub(config, &device, &clock));
        let (shutdown, stopped) = watch::channel(false);
        let web = match &config.web {
            Some(settings) => {
                let bound = Web::bind(settings).await?;
                let address = bound.address();
                Some((address, tokio::spawn(serve(bound, Arc::clone(&hub), stopped.clone()))))
            }
            None => None,
        };
        let outbox = Outbox::of(&config.outbox, Arc::clone(&clock))?;
        let evidence = match &config.evidence {
            Some(settings) => Some(EvidenceLine::start(settings, &outbox.handle(), &hub, &clock)?),
            None => None,
        };
        let durable = Durable { outbox: outbox.handle(), backlog_rate: config.outbox.backlog_rate };
        let mqtt = Mqtt::start(&config.mqtt, &config.site, &config.node, Arc::clone(&clock), durable)?;
        if config.mqtt.home_assistant {
            announce(config, &mqtt.handle())?;
        }
        let outputs = Outputs {
            mqtt: mqtt.handle(),
            hub,
            evidence: evidence.as_ref().map(EvidenceLine::handles),
            outbox: outbox.handle(),
        };
        let outlet = Arc::new(Outlet::new(&loaded, outputs, Arc::clone(&clock), device.clone()));

        let mut lines = Lines::new(Arc::clone(&outlet), clock);
        lines.start(config, engines)?;
        let stats = tokio::spawn(publish_stats(Arc::clone(&outlet), stopped));
        let topics = format!("{}/{}/{}", config.mqtt.prefix, config.site, config.node);
        let config = loaded.config;
        Ok(Self { config, lines, outlet, mqtt, outbox, evidence, shutdown, web, stats, models, device, topics })
    }

    /// Where the page is.
    #[must_use]
    pub fn web(&self) -> Option<SocketAddr> {
        self.web.as_ref().map(|(address, _)| *address)
    }

    /// The models' names.
    #[must_use]
    pub fn model_names(&self) -> &[String] {
        &self.models
    }

    /// The device that models run on.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }

    /// What all topics start with.
    #[must_use]
    pub fn topics(&self) -> &str {
        &self.topics
    }

    /// Runs until `end` completes, then stops in good order: all that was scored is flushed.
    pub async fn run_until(self, end: impl Future<Output = ()>) {
        end.await;
        self.stop().await;
    }

    /// Runs until `end` completes, then stops in good order. On SIGHUP the configuration at `path` is read again: cameras
    /// that it adds, changes or removes are started and stopped, and no others touched. One that can't be used changes
    /// nothing.
    pub async fn run_reloading(mut self, path: &Path, end: impl Future<Output = ()>) {
        use tokio::signal::unix::{SignalKind, signal};
        let mut end = std::pin::pin!(end);
        match signal(SignalKind::hangup()) {
            Ok(mut hangups) => loop {
                tokio::select! {
                    biased;
                    () = &mut end => break,
                    _ = hangups.recv() => match self.reload(path).await {
                        Ok(plan) if plan.is_empty() => tracing::info!("Reloaded: no camera changed."),
                        Ok(plan) => tracing::info!("Reloaded: {plan}."),
                        Err(reason) => tracing::error!(reason, "Not reloaded; the configuration before stays in force."),
                    },
                }
            },
            Err(error) => {
                tracing::error!(%error, "SIGHUP can't be watched: a changed configuration takes a restart.");
                end.await;
            }
        }
        self.stop().await;
    }

    async fn reload(&mut self, path: &Path) -> Result<Plan, String> {
        let loaded = config::load(path).map_err(|error| error.to_string())?;
        let plan = Plan::of(&self.config, &loaded.config)?;
        let mut unused = loaded.config.clone();
        unused.models.retain(|name, _| !self.lines.models().any(|running| running == name));
        unused
            .cameras
            .retain(|_, camera| model_of(&loaded.config, camera).is_some_and(|m| unused.models.contains_key(m)));
        let engines = if unused.cameras.is_empty() {
            BTreeMap::new()
        } else {
            open_engines(&unused).await.map_err(|error| error.to_string())?
        };
        let change = || self.lines.change(&loaded.config, &plan, engines);
        tokio::task::block_in_place(change).map_err(|error| error.to_string())?;
        self.outlet.set_config(&loaded.digest);
        self.config = loaded.config;
        Ok(plan)
    }

    async fn stop(self) {
        let Self { lines, mqtt, outbox, evidence, shutdown, web, stats, .. } = self;
        // Threads are joined off the runtime, which must go on carrying what they still publish.
        let joined = tokio::task::spawn_blocking(move || lines.stop());
        if joined.await.is_err() {
            tracing::error!("A thread failed while stopping.");
        }
        stats.abort();
        if let Some(EvidenceLine { keeper, courier }) = evidence {
            keeper.close(FLUSH).await;
            courier.close(&outbox.handle(), FLUSH).await;
        }
        mqtt.close(FLUSH).await;
        // It waits for the disk, which may be slow.
        let closed = tokio::task::spawn_blocking(move || outbox.close());
        if tokio::time::timeout(FLUSH, closed).await.is_err() {
            tracing::warn!("The outbox did not close in time; what it kept is on the disk.");
        }
        shutdown.send_replace(true);
        if let Some((_, server)) = web
            && tokio::time::timeout(FLUSH, server).await.is_err()
        {
            tracing::warn!("The page's viewers did not go in time.");
        }
        tracing::info!("Stopped.");
    }
}

fn hub(config: &Config, device: &str, clock: &Arc<dyn Clock>) -> Hub {
    let info = NodeInfo {
        site: config.site.to_string(),
        node: config.node.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        device: device.to_owned(),
    };
    Hub::new(info, config.cameras.keys().map(|name| name.to_string()), Arc::clone(clock))
}

/// Serves the page until the daemon stops; without it the daemon goes on.
async fn serve(web: Web, hub: Arc<Hub>, mut stopped: watch::Receiver<bool>) {
    let shutdown = async move {
        // An error means that the daemon is gone, and then it is time as well.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    if let Err(error) = web.serve(hub, shutdown).await {
        tracing::error!(%error, "The page is gone; everything else goes on.");
    }
}

/// Publishes statistics until the daemon stops.
async fn publish_stats(outlet: Arc<Outlet>, mut stopped: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(STATS_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            _ = stopped.changed() => return,
            _ = tick.tick() => outlet.publish_stats(),
        }
    }
}
