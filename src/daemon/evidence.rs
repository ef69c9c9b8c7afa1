//! What keeps evidence, and what brings it from the outbox to the store.

use std::sync::Arc;
use std::time::Duration;

use super::DaemonError;
use crate::clock::Clock;
use crate::config::{Config, EvidenceConfig};
use crate::evidence::{Evidence, Gate, Keeper, KeeperHandle, Notebook, Open, Reviews};
use crate::outbox::{Kind, OutboxHandle};
use crate::privacy::{Guard, Leaving, Log};
use crate::ship::store::is_off_site;
use crate::ship::{Courier, CourierHandle, Inlet, ShipError, Sink, Store, Timetable};
use crate::state::StateFile;
use crate::web::Hub;

use super::review::ReviewLine;

/// How often withheld frames are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Withheld frames wait while so many pieces of evidence are on their way.
const AHEAD: u64 = 32;

/// What keeps evidence, and what brings it from the outbox to the store.
pub(super) struct EvidenceLine {
    keeper: Keeper,
    courier: Courier,
    reviews: Option<ReviewLine>,
    /// What frames must pass, where there is a policy.
    pub(super) guard: Option<Arc<Guard>>,
}

/// What else of the daemon's the evidence needs.
pub(super) struct Own<'a> {
    /// The audit log, where there is a policy.
    pub(super) log: Option<&'a Log>,
    /// What is known of uploads that were cut.
    pub(super) uploads: StateFile,
    /// What is known of what was kept.
    pub(super) notebook: Notebook,
}

impl EvidenceLine {
    pub(super) fn start(
        config: &Config,
        settings: &EvidenceConfig,
        outbox: &OutboxHandle,
        hub: &Arc<Hub>,
        own: Own<'_>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, DaemonError> {
        let log = own.log.filter(|_| has_policy(config, &settings.store));
        let guard = match log {
            Some(log) => Some(guard(config, &settings.store, log)?),
            None => None,
        };
        let gate: Arc<dyn Gate> = match &guard {
            Some(guard) => Arc::clone(guard) as Arc<dyn Gate>,
            None => Arc::new(Open),
        };
        let store = Store::open_by(&settings.store, &settings.ship)?.remembering(own.uploads);
        let timetable = Timetable { hours: settings.ship.hours.clone(), clock: Arc::clone(clock) };
        let reviews = ReviewLine::start(config, &settings.store, log, &store, &timetable, clock)?;
        let gate = reviews.as_ref().map_or(Arc::clone(&gate), |line| line.before(gate));
        let sink = ShownStore { store, hub: Arc::clone(hub) };
        let courier = Courier::start_within(timetable, outbox.clone(), sink);
        let keeper = Keeper::start_behind(gate, own.notebook, settings, Inlet(outbox.clone()), Arc::clone(clock));
        if let Some(guard) = &guard {
            tokio::spawn(let_go(Arc::clone(guard), outbox.clone()));
        }
        if let Some(line) = &reviews {
            hub.review(line.desk.clone());
        }
        Ok(Self { keeper, courier, reviews, guard })
    }

    /// What is said of kept frames.
    pub(super) fn reviews(&self) -> Option<Reviews> {
        self.reviews.as_ref().map(|line| line.desk.reviews.clone())
    }

    /// Brings to the store what it can within the time.
    pub(super) async fn close(self, outbox: &OutboxHandle, deadline: Duration) {
        self.keeper.close(deadline).await;
        let verdicts = async {
            if let Some(line) = self.reviews {
                line.courier.close(deadline).await;
            }
        };
        tokio::join!(self.courier.close(outbox, deadline), verdicts);
    }

    pub(super) fn handles(&self) -> (KeeperHandle, CourierHandle) {
        (self.keeper.handle(), self.courier.handle())
    }
}

/// Whether frames must pass a policy on their way to the store. Without rules nothing is held back from a folder; the
/// configuration's check has seen to it that there are rules for stores elsewhere.
pub(super) fn has_policy(config: &Config, store: &str) -> bool {
    !config.privacy.store.is_empty() || is_off_site(store)
}

/// What a frame must pass before it may go to the store.
fn guard(config: &Config, store: &str, log: &Log) -> Result<Arc<Guard>, DaemonError> {
    let folder = config.withheld_folder()?;
    let guard = Guard::for_store(&config.privacy, store, log.clone(), &folder, config.device)?;
    let guard = Arc::new(guard);
    tokio::task::spawn_blocking({
        let guard = Arc::clone(&guard);
        move || guard.warm()
    });
    Ok(guard)
}

/// Brings withheld frames that may leave now to the outbox, one after the other, as long as the store keeps up.
async fn let_go(guard: Arc<Guard>, outbox: OutboxHandle) {
    let inlet = Inlet(outbox.clone());
    loop {
        tokio::time::sleep(LOOK).await;
        loop {
            if outbox.status().loads.of(Kind::Evidence).items >= AHEAD {
                break;
            }
            let next = tokio::task::spawn_blocking({
                let guard = Arc::clone(&guard);
                move || guard.next_to_leave()
            });
            let Ok(Some(Leaving { evidence, asked_by })) = next.await else { break };
            if !inlet.take(&evidence).await {
                guard.later();
                break;
            }
            tracing::info!(id = evidence.id, asked_by, "A frame that was withheld leaves.");
            let guard = Arc::clone(&guard);
            let _ = tokio::task::spawn_blocking(move || guard.left(&evidence.id)).await;
        }
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
