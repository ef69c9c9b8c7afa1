//! Scoring for others, as it runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::config::Loaded;
use crate::serve::{Desk, Serve, ServeError};

/// The endpoint, and the desk at which it leaves pictures.
pub(super) struct Serving {
    desk: Arc<Desk>,
    server: JoinHandle<()>,
}

impl Serving {
    /// Starts serving, if it is configured; models come to the desk as they start.
    pub(super) async fn start(
        loaded: &Loaded,
        clock: &Arc<dyn Clock>,
        stopped: &watch::Receiver<bool>,
    ) -> Result<Option<Self>, ServeError> {
        let Some(settings) = &loaded.config.serve else { return Ok(None) };
        let bound = Serve::bind(settings).await?;
        let desk = Arc::new(Desk::new(settings, &loaded.config, &loaded.digest, Arc::clone(clock)));
        let mut stopped = stopped.clone();
        let shutdown = async move {
            // An error means that the daemon is gone, and then it is time as well.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        let server = tokio::spawn(bound.serve(Arc::clone(&desk), shutdown));
        Ok(Some(Self { desk, server }))
    }

    pub(super) fn desk(&self) -> Arc<Desk> {
        Arc::clone(&self.desk)
    }

    /// Waits for its end, once the daemon stops.
    pub(super) async fn close(self, patience: Duration) {
        if tokio::time::timeout(patience, self.server).await.is_err() {
            tracing::warn!("Scoring for others did not end in time.");
        }
    }
}
