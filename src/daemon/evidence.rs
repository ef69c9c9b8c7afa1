//! What keeps evidence, and what brings it from the outbox to the store.

use std::sync::Arc;
use std::time::Duration;

use super::DaemonError;
use crate::clock::Clock;
use crate::config::{Config, EvidenceConfig};
use crate::evidence::{Evidence, Gate, Keeper, KeeperHandle, Notebook, Open, Reviews};
use crate::outbox::OutboxHandle;
use crate::privacy::{AuditLog, Guard};
use crate::ship::store::is_off_site;
use crate::ship::{Courier, CourierHandle, Inlet, ShipError, Sink, Store, Timetable};
use crate::web::Hub;

use super::review::ReviewLine;

/// What keeps evidence, and what brings it from the outbox to the store.
pub(super) struct EvidenceLine {
    keeper: Keeper,
    courier: Courier,
    reviews: Option<ReviewLine>,
    /// The audit log, where a policy writes it.
    pub(super) log: Option<AuditLog>,
}

impl EvidenceLine {
    pub(super) fn start(
        config: &Config,
        (settings, notebook): (&EvidenceConfig, Notebook),
        outbox: &OutboxHandle,
        hub: &Arc<Hub>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, DaemonError> {
        let (gate, log) = gate(config, &settings.store, clock)?;
        let store = Store::open_by(&settings.store, &settings.ship)?;
        let timetable = Timetable { hours: settings.ship.hours.clone(), clock: Arc::clone(clock) };
        let reviews = ReviewLine::start(config, &settings.store, &store, &timetable, clock)?;
        let gate = reviews.as_ref().map_or(Arc::clone(&gate), |line| line.before(gate));
        let sink = ShownStore { store, hub: Arc::clone(hub) };
        let courier = Courier::start_within(timetable, outbox.clone(), sink);
        let keeper = Keeper::start_behind(gate, notebook, settings, Inlet(outbox.clone()), Arc::clone(clock));
        if let Some(line) = &reviews {
            hub.review(line.desk.clone());
        }
        Ok(Self { keeper, courier, reviews, log })
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

/// What a frame must pass, and the audit log where that writes one.
type Gated = (Arc<dyn Gate>, Option<AuditLog>);

/// What a frame must pass before it may go to the store. Without rules nothing is held back from a folder; the
/// configuration's check has seen to it that there are rules for stores elsewhere.
fn gate(config: &Config, store: &str, clock: &Arc<dyn Clock>) -> Result<Gated, DaemonError> {
    if config.privacy.store.is_empty() && !is_off_site(store) {
        return Ok((Arc::new(Open), None));
    }
    let folder = config.audit_folder()?;
    let guard = Arc::new(Guard::for_store(&config.privacy, store, &folder, config.device, Arc::clone(clock))?);
    tokio::task::spawn_blocking({
        let guard = Arc::clone(&guard);
        move || guard.warm()
    });
    let log = guard.log();
    Ok((guard, Some(log)))
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
