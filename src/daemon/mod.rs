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

mod lines;
mod meter;
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

use self::lines::Lines;
pub use self::meter::percentiles;
use self::outlet::{Outlet, Outputs};
use self::reload::Plan;
use crate::clock::{Clock, SystemClock};
use crate::config::{self, CameraConfig, Config, EvidenceConfig, Loaded, ModelConfig, Name};
use crate::evidence::{Evidence, Keeper, KeeperHandle};
use crate::model::engine::{Engine, EngineError, EngineOptions, WarmUp};
use crate::model::package::Package;
use crate::outbox::{Outbox, OutboxHandle};
use crate::publish::home_assistant::{Announced, discovery};
use crate::publish::{Durable, Mqtt, MqttError, MqttHandle, Topics};
use crate::ship::{Courier, CourierHandle, Inlet, ShipError, Sink, Store};
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

/// Opens the package of a configured model.
///
/// # Errors
/// When it can't be read or makes no sense.
pub fn open_package(name: &Name, model: &ModelConfig) -> Result<Package, EngineError> {
    tracing::debug!(model = %name, path = %model.path.display(), "Opening the model.");
    Ok(Package::open(&model.path, model.profile.as_deref(), model.labels.as_deref())?)
}

/// The model that a camera is scored by. The configuration's check has seen to it that there is one.
pub(crate) fn model_of<'a>(config: &'a Config, camera: &'a CameraConfig) -> Option<&'a Name> {
    camera.model.as_ref().or_else(|| config.models.keys().next())
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

/// Tells Home Assistant what there is.
fn announce(config: &Config, mqtt: &MqttHandle) -> Result<(), DaemonError> {
    let topics = Topics::new(&config.mqtt.prefix, &config.site, &config.node).map_err(MqttError::from)?;
    let cameras: Vec<_> = config
        .cameras
        .iter()
        .map(|(name, camera)| Announced {
            name: name.to_string(),
            events: camera.track.is_some() || !camera.zones.is_empty() || !camera.lines.is_empty(),
            lines: camera.lines.iter().map(|line| line.name.to_string()).collect(),
            zones: camera.zones.iter().map(|zone| zone.name.to_string()).collect(),
        })
        .collect();
    let messages = discovery(&topics, &config.site, &config.node, &cameras).map_err(MqttError::from)?;
    for (topic, message) in messages {
        mqtt.announce(topic, &message);
    }
    Ok(())
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

/// What keeps evidence, and what brings it from the outbox to the store.
struct EvidenceLine {
    keeper: Keeper,
    courier: Courier,
}

impl EvidenceLine {
    fn start(
        settings: &EvidenceConfig,
        outbox: &OutboxHandle,
        hub: &Arc<Hub>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, ShipError> {
        let sink = ShownStore { store: Store::open(&settings.store)?, hub: Arc::clone(hub) };
        let courier = Courier::start(outbox.clone(), sink);
        Ok(Self { keeper: Keeper::start(settings, Inlet(outbox.clone()), Arc::clone(clock)), courier })
    }

    fn handles(&self) -> (KeeperHandle, CourierHandle) {
        (self.keeper.handle(), self.courier.handle())
    }
}

/// The store, which shows on the page what it has kept.
struct ShownStore {
    store: Store,
    hub: Arc<Hub>,
}

impl Sink for ShownStore {
    async fn keep(&self, item: &Evidence) -> Result<(), ShipError> {
        self.store.keep(item).await?;
        self.hub.kept(item);
        Ok(())
    }
}

/// Opens every model that a camera uses, off the runtime's threads.
async fn open_engines(config: &Config) -> Result<BTreeMap<Name, Engine>, DaemonError> {
    let mut engines = BTreeMap::new();
    for (name, model) in &config.models {
        let cameras = config.cameras.values().filter(|c| model_of(config, c) == Some(name)).count();
        if cameras == 0 {
            tracing::warn!(model = %name, "No camera uses this model: it is not opened.");
            continue;
        }
        let (name, model, device) = (name.clone(), model.clone(), config.device);
        let opened = tokio::task::spawn_blocking(move || {
            let options = engine_options(&model, cameras);
            let said = name.clone();
            let engine = Engine::open_watched(open_package(&name, &model)?, device, &options, &mut |warm_up| {
                tell(&said, warm_up);
            })?;
            Ok::<_, EngineError>((name, engine))
        });
        match opened.await {
            Ok(result) => {
                let (name, engine) = result?;
                let (device, precision) = (engine.device(), engine.precision());
                tracing::info!(model = %name, device, precision, "The model is open and warm.");
                engines.insert(name, engine);
            }
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
    Ok(engines)
}

/// Says how far opening a model is, where it may take long.
fn tell(model: &Name, warm_up: WarmUp) {
    if warm_up.cold {
        tracing::info!(%model, "Starting cold, {warm_up}.");
    }
}

fn engine_options(model: &ModelConfig, cameras: usize) -> EngineOptions {
    let ModelConfig { score, iou, precision, memory_mib, .. } = *model;
    let batch = model.batch.min(cameras);
    EngineOptions { score, iou, precision, memory_mib, batch, ..EngineOptions::default() }
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
