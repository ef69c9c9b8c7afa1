//! What keeps evidence, and what brings it from the outbox to the store.

use std::sync::Arc;

use crate::clock::Clock;
use crate::config::EvidenceConfig;
use crate::evidence::{Evidence, Keeper, KeeperHandle};
use crate::outbox::OutboxHandle;
use crate::ship::{Courier, CourierHandle, Inlet, ShipError, Sink, Store};
use crate::web::Hub;

/// What keeps evidence, and what brings it from the outbox to the store.
pub(super) struct EvidenceLine {
    pub(super) keeper: Keeper,
    pub(super) courier: Courier,
}

impl EvidenceLine {
    pub(super) fn start(
        settings: &EvidenceConfig,
        outbox: &OutboxHandle,
        hub: &Arc<Hub>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, ShipError> {
        let sink = ShownStore { store: Store::open(&settings.store)?, hub: Arc::clone(hub) };
        let courier = Courier::start(outbox.clone(), sink);
        Ok(Self { keeper: Keeper::start(settings, Inlet(outbox.clone()), Arc::clone(clock)), courier })
    }

    pub(super) fn handles(&self) -> (KeeperHandle, CourierHandle) {
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
