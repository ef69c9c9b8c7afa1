//! The wiring: the only place that knows every room.
//!
//! ```text
//! camera threads ─► mailboxes ─► scoring threads (one a model) ─► outlet, scenes ─► MQTT, page, evidence
//!                                                             events, evidence ─► outbox ─► MQTT, store
//! ```
//!
//! Start is back to front, so that nothing flows before there is somewhere to flow to: models are opened and warm,
//! the page's port is bound, then broker and hub are dialled, then cameras open. Stop is front to back, so that what was
//! captured is scored, kept and published before the broker hears `stopped`.

mod announce;
mod control;
mod counts;
mod diagnosis;
mod entry;
mod error;
mod evidence;
mod insights;
mod lines;
mod meter;
mod models;
mod operator;
mod outlet;
mod policy;
mod pulse;
mod reload;
mod review;
mod scenes;
mod scoring;
mod serving;
mod signals;
mod standing;
mod stop;
mod summary;
mod systemd;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use self::counts::Counts;
pub use self::error::DaemonError;
use self::evidence::{EvidenceLine, Own};
use self::insights::InsightsLine;
use self::lines::Lines;
pub use self::meter::percentiles;
pub(crate) use self::models::model_of;
use self::models::open_engines;
pub use self::models::open_package;
use self::outlet::{Outlet, Outputs};
use self::serving::Serving;
use self::signals::Hangups;
pub use self::signals::signal;
use self::standing::Standing;
use crate::clock::{Clock, SystemClock};
use crate::command::{self, Book, Commander, Orders};
use crate::config::{Config, Loaded};
use crate::evidence::Notebook;
use crate::outbox::{Destination, Outbox, OutboxHandle};
use crate::publish::{Durable, IotHub, Mqtt};
use crate::state::StateFile;
use crate::traces::Traces;
use crate::web::{Hub, NodeInfo, Web};

/// How often statistics are published.
const STATS_EVERY: Duration = Duration::from_secs(1);
/// Of so many statistics one is told to systemd, in a line.
const STATUS_EVERY: u32 = 5;
/// Counts are written to the disk every so many statistics, and at the end.
const COUNTS_EVERY: u32 = 5;
/// Commands that may wait.
const COMMANDS: usize = 64;

/// A running daemon.
pub struct Daemon {
    standing: Standing,
    /// Where what was commanded is kept.
    book: StateFile,
    commander: Commander,
    orders: Orders,
    lines: Lines,
    outlet: Arc<Outlet>,
    mqtt: Mqtt,
    iothub: Option<IotHub>,
    outbox: Outbox,
    evidence: Option<EvidenceLine>,
    insights: Option<InsightsLine>,
    traces: Option<Traces>,
    shutdown: watch::Sender<bool>,
    web: Option<(SocketAddr, tokio::task::JoinHandle<()>)>,
    serve: Option<Serving>,
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
        let serve = Serving::start(&loaded, &clock, &stopped).await?;
        let outbox = Outbox::of(&config.outbox, Arc::clone(&clock))?;
        // Beside what else must survive a restart, and so locked by this process.
        let folder = if config.outbox.enabled { Some(config.outbox.folder()?) } else { None };
        let file = |name| StateFile::of(folder.as_deref(), name);
        let log = policy::log(config, &clock)?;
        let evidence = match &config.evidence {
            Some(settings) => {
                let own =
                    Own { log: log.as_ref(), uploads: file("uploads.json"), notebook: Notebook::of(folder.as_deref()) };
                Some(EvidenceLine::start(config, settings, &outbox.handle(), &hub, own, &clock)?)
            }
            None => None,
        };
        let insights = InsightsLine::start(config, folder.clone(), &outbox.handle(), log.clone(), &clock)?;
        let traces = config.traces.as_ref().map(|of| Traces::start(of, &config.site, &config.node)).transpose()?;
        let durable = || Durable { outbox: outbox.handle(), backlog_rate: config.outbox.backlog_rate };
        let mqtt = Mqtt::start(&config.mqtt, &config.site, &config.node, Arc::clone(&clock), durable())?;
        let (commander, orders) = command::line(COMMANDS);
        let iothub = match &config.iothub {
            Some(settings) => Some(IotHub::start(settings, Arc::clone(&clock), durable(), commander.clone())?),
            None => None,
        };
        warn_of_the_forgotten(config, &outbox.handle()).await;
        let watched = Arc::clone(&hub);
        let outputs = Outputs {
            mqtt: mqtt.handle(),
            iothub: iothub.as_ref().map(IotHub::handle),
            hub,
            evidence: evidence.as_ref().map(EvidenceLine::handles),
            reviews: evidence.as_ref().and_then(EvidenceLine::reviews),
            insights: insights.as_ref().map(InsightsLine::handle),
            guard: evidence.as_ref().and_then(|line| line.guard.clone()),
            to_broker: policy::to_broker(config, log.as_ref()),
            to_iothub: policy::to_iothub(config, log.as_ref()),
            outbox: outbox.handle(),
            serve: serve.as_ref().map(Serving::desk),
            traces: traces.as_ref().map(Traces::handle),
        };
        let topics = format!("{}/{}/{}", config.mqtt.prefix, config.site, config.node);
        let book = file("commands.json");
        let standing = standing(loaded, &book);
        let saved = file("counts.json");
        let mut counts: Counts = saved.read();
        counts.settle(standing.config());
        let outlet = Arc::new(Outlet::new(&standing, outputs, (counts, saved), Arc::clone(&clock), device.clone()));

        let mut lines = Lines::new(Arc::clone(&outlet), clock);
        lines.start(&standing, engines)?;
        let told = move |stuck| watched.stuck(stuck);
        tokio::spawn(systemd::feed_watchdog(lines.pulses(), told, stopped.clone()));
        let stats = tokio::spawn(publish_stats(Arc::clone(&outlet), stopped));
        let heard = file("heard.json");
        let mut daemon = Self {
            standing,
            book,
            commander,
            orders,
            lines,
            outlet,
            mqtt,
            iothub,
            outbox,
            evidence,
            insights,
            traces,
            shutdown,
            web,
            serve,
            stats,
            models,
            device,
            topics,
        };
        daemon.tell()?;
        daemon.outlet.set_config(daemon.outlet.config());
        daemon.mqtt.listen(daemon.commander.clone(), heard);
        systemd::ready();
        Ok(daemon)
    }

    /// What others hold who ask for something: MQTT has one of its own.
    #[must_use]
    pub fn commander(&self) -> Commander {
        self.commander.clone()
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
        self.run(None, end).await;
    }

    /// Runs until `end` completes, then stops in good order. On SIGHUP, or when it is commanded, the configuration at `path`
    /// is read again: what it changes is started, changed or stopped, and nothing else touched. One that can't be used, or
    /// can't be put in force without a restart, changes nothing.
    pub async fn run_reloading(self, path: &Path, end: impl Future<Output = ()>) {
        self.run(Some(path), end).await;
    }

    async fn run(mut self, path: Option<&Path>, end: impl Future<Output = ()>) {
        let mut end = std::pin::pin!(end);
        let mut hangups = Hangups::watch();
        loop {
            tokio::select! {
                biased;
                () = &mut end => break,
                () = hangups.next(), if path.is_some() => {
                    systemd::reloading();
                    // What came of it is in the log.
                    let _ = self.reload(path).await;
                    systemd::ready();
                }
                Some(order) = self.orders.next() => self.obey(order, path).await,
            }
        }
        self.stop().await;
    }
}

/// Says that events wait for somebody who is not configured any more: they take room until they are the oldest.
async fn warn_of_the_forgotten(config: &Config, outbox: &OutboxHandle) {
    for (destination, configured) in
        [(Destination::Broker, config.mqtt.enabled), (Destination::Hub, config.iothub.is_some())]
    {
        if !configured && !outbox.read(destination, 0, 1).await.is_empty() {
            let to = destination.name();
            tracing::warn!(to, "Events wait in the outbox for somebody who is not configured any more.");
        }
    }
}

/// What is in force at the start: the configuration, and what was commanded before.
fn standing(loaded: Loaded, file: &StateFile) -> Standing {
    let mut book: Book = file.read();
    control::settle(&mut book, &loaded.config);
    Standing::new(loaded, book)
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
    for number in 0_u32.. {
        tokio::select! {
            biased;
            _ = stopped.changed() => return,
            _ = tick.tick() => {}
        }
        let summary = outlet.publish_stats();
        if number % STATUS_EVERY == 0 {
            systemd::status(&summary);
        }
        if number % COUNTS_EVERY == COUNTS_EVERY - 1 {
            let outlet = Arc::clone(&outlet);
            // The disk may be slow; statistics go on meanwhile.
            tokio::task::spawn_blocking(move || {
                outlet.save_counts();
                outlet.note_messages(false);
            });
        }
    }
}
