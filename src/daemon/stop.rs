//! The end in good order, front to back.

use std::time::Duration;

use super::{Daemon, systemd};

/// How long a clean stop may take to flush evidence, and then to flush MQTT.
const FLUSH: Duration = Duration::from_secs(5);

impl Daemon {
    pub(super) async fn stop(self) {
        systemd::stopping();
        let Self {
            lines, outlet, mqtt, iothub, outbox, evidence, insights, traces, shutdown, web, serve, stats, ..
        } = self;
        // Threads are joined off the runtime, which must go on carrying what they still publish.
        stats.abort();
        let joined = tokio::task::spawn_blocking(move || {
            // Before the cameras are off: they were not until now.
            outlet.look();
            lines.stop();
            outlet.save_counts();
            outlet.look();
            outlet.note_messages(true);
        });
        if joined.await.is_err() {
            tracing::error!("A thread failed while stopping.");
        }
        if let Some(line) = evidence {
            line.close(&outbox.handle(), FLUSH).await;
        }
        if let Some(insights) = insights {
            insights.close(&outbox.handle(), FLUSH).await;
        }
        let iothub = async {
            if let Some(iothub) = iothub {
                iothub.close(FLUSH).await;
            }
        };
        let traces = async {
            if let Some(traces) = traces {
                traces.close(FLUSH).await;
            }
        };
        tokio::join!(mqtt.close(FLUSH), iothub, traces);
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
        if let Some(serve) = serve {
            serve.close(FLUSH).await;
        }
        tracing::info!("Stopped.");
    }
}
