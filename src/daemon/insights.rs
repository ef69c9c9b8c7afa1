//! What counts for the fleet, what writes it down every few seconds, and what brings closed hours into the outbox.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};

use super::DaemonError;
use crate::clock::Clock;
use crate::config::{Config, Global};
use crate::detection::Detections;
use crate::event::Event;
use crate::insights::{Batch, Files, Held, Ledger, LedgerError, Look, Made, Origin, Part, Policy, Tally};
use crate::outage::Outage;
use crate::outbox::OutboxHandle;
use crate::privacy::Log;
use crate::privacy::audit::What;
use crate::ship::store::is_off_site;
use crate::ship::{Carrier, Store, Timetable, insights_item};

/// How often what was counted is written down: so much is lost with a crash.
const WRITE_EVERY: Duration = Duration::from_secs(5);

/// What those hold who have something to count. Cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct InsightsHandle(Arc<Mutex<Tally>>);

impl InsightsHandle {
    pub(super) fn scored(&self, detections: &Detections) {
        self.tally().scored(detections);
    }

    pub(super) fn happened(&self, event: &Event) {
        self.tally().happened(event);
    }

    pub(super) fn look<'a>(&self, wall: DateTime<Utc>, now: Instant, cameras: impl IntoIterator<Item = Look<'a>>) {
        self.tally().look(wall, now, cameras);
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way from what is counted to the store.
pub(super) struct InsightsLine {
    handle: InsightsHandle,
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
    carrier: Carrier,
}

impl InsightsLine {
    /// Starts, where the configuration asks for it. `folder` is where the ledger is kept; in memory without one. `log` is
    /// the audit log.
    pub(super) fn start(
        config: &Config,
        folder: Option<PathBuf>,
        outbox: &OutboxHandle,
        log: Option<Log>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Option<Self>, DaemonError> {
        let (Some(settings), Some(store)) = (&config.insights, config.insights_store()) else { return Ok(None) };
        let way = config.insights_way();
        let open = Store::open_by(store, &way)?;
        let timetable = Timetable { hours: way.hours, clock: Arc::clone(clock) };
        let carrier = Carrier::start(timetable, outbox.clone(), open);
        let log = log.filter(|_| has_global_policy(config, store));
        let handle = InsightsHandle(Arc::new(Mutex::new(Tally::new(config.uncertain_band()))));
        let desk = Desk { folder, origin: origin(config), span: settings.hours_per_file, handle: handle.clone() };
        let exit = Exit { policy: policy(config, store), log, destination: store.to_owned(), outbox: outbox.clone() };
        let (stop, stopped) = watch::channel(false);
        let writer = Writer { desk, clock: Arc::clone(clock), ledger: None, pending: None, outage: Outage::default() };
        let task = tokio::spawn(work(writer, Arc::new(exit), stopped));
        Ok(Some(Self { handle, task, stop, carrier }))
    }

    pub(super) fn handle(&self) -> InsightsHandle {
        self.handle.clone()
    }

    /// Writes down what was counted, and brings what is closed to the store as far as the time allows.
    pub(super) async fn close(mut self, outbox: &OutboxHandle, deadline: Duration) {
        self.stop.send_replace(true);
        if tokio::time::timeout(deadline, &mut self.task).await.is_err() {
            self.task.abort();
            tracing::warn!("What was counted for the fleet was not written down in time.");
        }
        self.carrier.close(outbox, deadline).await;
    }
}

/// Whether what leaves for the store is what the policy calls global, and no more.
pub(super) fn has_global_policy(config: &Config, store: &str) -> bool {
    config.privacy.global.is_some() || is_off_site(store)
}

fn origin(config: &Config) -> Origin {
    Origin { site: config.site.to_string(), node: config.node.to_string() }
}

/// What may leave: what is called global; where nothing is, all of it for a directory, and nothing for a store elsewhere,
/// which the configuration's check does not let pass.
fn policy(config: &Config, store: &str) -> Policy {
    match &config.privacy.global {
        Some(global) => Policy::of(global.iter().copied()),
        None if is_off_site(store) => Policy::of([]),
        None => Policy::of(Global::ALL),
    }
}

/// Whose hours are counted, and where they are kept.
struct Desk {
    folder: Option<PathBuf>,
    origin: Origin,
    span: u32,
    handle: InsightsHandle,
}

/// Writes what was counted into the ledger.
struct Writer {
    desk: Desk,
    clock: Arc<dyn Clock>,
    ledger: Option<Ledger>,
    /// What is not known to be in the ledger, with its number.
    pending: Option<(i64, Batch)>,
    outage: Outage,
}

impl Writer {
    /// Writes down what was counted since, closes what is over, forgets what was delivered, and gives what is to be
    /// delivered next, with what it holds. A disk that takes nothing is tried again next time.
    fn round(&mut self, delivered: Option<Part>) -> Option<(Part, Held)> {
        match self.try_round(delivered) {
            Ok(next) => {
                if self.outage.end() {
                    tracing::info!("What is counted for the fleet is written down again.");
                }
                next
            }
            Err(error) => {
                // It may have been moved or replaced: it is opened anew.
                self.ledger = None;
                if self.outage.begin(&error.to_string()) {
                    tracing::warn!(%error, "What is counted for the fleet waits in memory.");
                }
                None
            }
        }
    }

    fn try_round(&mut self, delivered: Option<Part>) -> Result<Option<(Part, Held)>, LedgerError> {
        let now = self.clock.wall();
        let ledger = match &mut self.ledger {
            Some(ledger) => ledger,
            none => {
                let Desk { folder, origin, span, .. } = &self.desk;
                none.insert(Ledger::open(folder.as_deref(), origin.clone(), *span, now)?)
            }
        };
        if self.pending.is_none() {
            let number = ledger.last_batch()? + 1;
            let batch = self.desk.handle.tally().take();
            self.pending = (!batch.is_empty()).then_some((number, batch));
        }
        if let Some((number, batch)) = &self.pending {
            ledger.add(*number, batch)?;
            self.pending = None;
        }
        if let Some(part) = delivered {
            ledger.forget(&part)?;
        }
        ledger.close(now)?;
        let Some(part) = ledger.closed()? else { return Ok(None) };
        let held = ledger.read(&part)?;
        Ok(Some((part, held)))
    }
}

/// The way out.
struct Exit {
    policy: Policy,
    /// Where every file is noted that leaves; none where there is no policy.
    log: Option<Log>,
    destination: String,
    outbox: OutboxHandle,
}

impl Exit {
    /// Makes the files of a span and brings them into the outbox. False where that is to be tried again.
    async fn deliver(&self, part: &Part, held: Held) -> bool {
        let files = match Files::of(part, held, &self.policy) {
            Ok(files) => files,
            Err(error) => {
                tracing::error!(%error, from = %part.from, "Hours can't be made a file of, and are given up.");
                return true;
            }
        };
        for made in files.all() {
            if !self.note(&made) || !self.outbox.keep(insights_item(&made)).await {
                return false;
            }
        }
        true
    }

    /// Notes that a file leaves, before it does.
    fn note(&self, made: &Made) -> bool {
        let Some(log) = &self.log else { return true };
        let what = What::Told {
            id: made.id.to_string(),
            destination: self.destination.clone(),
            name: made.name.clone(),
            rows: made.rows,
            global: self.policy.names().into_iter().map(str::to_owned).collect(),
            digest: made.sha256(),
        };
        log.note(what).is_some()
    }
}

/// What is on its way into the outbox. It may wait for the disk there, for which nothing else must.
type UnderWay = Option<(Part, JoinHandle<bool>)>;

/// Writes every few seconds, until the daemon stops and all that is closed is in the outbox, or can't get there.
async fn work(mut writer: Writer, exit: Arc<Exit>, mut stopped: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(WRITE_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut under_way: UnderWay = None;
    loop {
        let ending = *stopped.borrow_and_update();
        let mut delivered = None;
        tokio::select! {
            biased;
            part = arrival(&mut under_way), if under_way.is_some() => match part {
                Some(part) => delivered = Some(part),
                None if ending => return,
                None => continue,
            },
            _ = stopped.changed(), if !ending => {}
            _ = tick.tick(), if !ending => {}
            else => {}
        }
        let round = spawn_blocking(move || {
            let next = writer.round(delivered);
            (writer, next)
        });
        let Ok((back, next)) = round.await else {
            return tracing::error!("Nothing is counted for the fleet any more: its thread failed.");
        };
        writer = back;
        match next {
            Some((part, held)) if under_way.is_none() => {
                let (exit, going) = (Arc::clone(&exit), part.clone());
                under_way = Some((part, tokio::spawn(async move { exit.deliver(&going, held).await })));
            }
            None if ending && under_way.is_none() => return,
            _ => {}
        }
    }
}

/// Waits until what is under way is in the outbox, and gives it; none where it did not get there.
async fn arrival(under_way: &mut UnderWay) -> Option<Part> {
    let arrived = match under_way {
        Some((_, task)) => task.await.unwrap_or(false),
        None => false,
    };
    under_way.take().map(|(part, _)| part).filter(|_| arrived)
}
