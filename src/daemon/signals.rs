//! What the system asks of the daemon: to end, or to read its configuration again.

use tokio::signal::unix::{self, Signal, SignalKind};

/// Ends when the process is asked to: SIGTERM or Ctrl-C.
pub async fn signal() {
    let mut terminate = match unix::signal(SignalKind::terminate()) {
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

/// SIGHUP.
pub(super) struct Hangups(Option<Signal>);

impl Hangups {
    pub(super) fn watch() -> Self {
        Self(match unix::signal(SignalKind::hangup()) {
            Ok(hangups) => Some(hangups),
            Err(error) => {
                tracing::error!(%error, "SIGHUP can't be watched: the command `reload` does the same.");
                None
            }
        })
    }

    pub(super) async fn next(&mut self) {
        match &mut self.0 {
            Some(hangups) => _ = hangups.recv().await,
            None => std::future::pending().await,
        }
    }
}
