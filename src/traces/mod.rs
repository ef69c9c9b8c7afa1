//! Traces of frames for OpenTelemetry: what became of one in how many, stage by stage, by OTLP over HTTP.
//!
//! Nobody who scores frames waits: what there is no room for, or what the collector doesn't take, is dropped and counted.
//! A trace has the number of its frame's message, so that either leads to the other.

mod message;
mod spans;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prost::Message as _;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use ulid::Ulid;

use self::message::Resource;
pub use self::spans::FrameTrace;
use self::spans::{request, resource};
use crate::causes::with_causes;
use crate::config::{Name, TracesConfig};
use crate::outage::Outage;

/// Frames that may wait to be sent.
const QUEUE: usize = 1024;
/// Frames that are sent together.
const BATCH: usize = 256;
/// How long they are collected.
const EVERY: Duration = Duration::from_secs(2);
/// How long the collector may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends traces in the background, until it is closed or dropped.
pub struct Traces {
    handle: TracesHandle,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// What those who score frames hold. Cloning shares it.
#[derive(Clone)]
pub struct TracesHandle {
    frames: mpsc::Sender<FrameTrace>,
    ratio: f64,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    dropped: AtomicU64,
}

impl Counts {
    fn lose(&self, frames: usize) {
        self.dropped.fetch_add(u64::try_from(frames).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Traces {
    /// Starts. To be called within a tokio runtime.
    ///
    /// # Errors
    /// When there is no HTTP client to be had.
    pub fn start(config: &TracesConfig, site: &Name, node: &Name) -> reqwest::Result<Self> {
        let client = reqwest::Client::builder().timeout(PATIENCE).redirect(Policy::none()).build()?;
        let (frames, waiting) = mpsc::channel(QUEUE);
        let counts = Arc::<Counts>::default();
        let (stop, stopped) = oneshot::channel();
        let exporter = Exporter {
            client,
            url: config.url.clone(),
            resource: resource(site, node),
            counts: Arc::clone(&counts),
            outage: Outage::default(),
        };
        let task = tokio::spawn(exporter.run(waiting, stopped));
        Ok(Self { handle: TracesHandle { frames, ratio: config.ratio, counts }, stop, task })
    }

    /// What those who score frames hold.
    #[must_use]
    pub fn handle(&self) -> TracesHandle {
        self.handle.clone()
    }

    /// Sends what waits, as far as that is done in time.
    pub async fn close(self, deadline: Duration) {
        let Self { stop, mut task, .. } = self;
        // An error means that it has ended by itself.
        let _ = stop.send(());
        if tokio::time::timeout(deadline, &mut task).await.is_err() {
            task.abort();
        }
    }
}

impl TracesHandle {
    /// Whether the frame whose message has this id is one that is traced: as many as `ratio` says.
    #[must_use]
    pub fn wants(&self, id: &str) -> bool {
        // The lower half of a ULID is random.
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
        let place = |id: Ulid| (id.0 as u64) as f64 / u64::MAX as f64;
        Ulid::from_string(id).is_ok_and(|id| self.ratio >= 1.0 || place(id) < self.ratio)
    }

    /// Has a frame's trace sent. Never waits.
    pub fn send(&self, frame: FrameTrace) {
        if self.frames.try_send(frame).is_err() {
            self.counts.lose(1);
        }
    }

    /// Frames whose traces the collector has taken, since the start.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.counts.sent.load(Ordering::Relaxed)
    }

    /// Frames whose traces were dropped, since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for TracesHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracesHandle").field("ratio", &self.ratio).finish_non_exhaustive()
    }
}

struct Exporter {
    client: reqwest::Client,
    url: String,
    resource: Resource,
    counts: Arc<Counts>,
    outage: Outage,
}

impl Exporter {
    async fn run(self, mut waiting: mpsc::Receiver<FrameTrace>, mut stopped: oneshot::Receiver<()>) {
        let mut frames = Vec::new();
        loop {
            let collected = tokio::select! {
                biased;
                _ = &mut stopped => break,
                collected = collect(&mut waiting, &mut frames) => collected,
            };
            if !collected {
                break;
            }
            self.export(&frames).await;
            frames.clear();
        }
        while let Ok(frame) = waiting.try_recv() {
            frames.push(frame);
        }
        for batch in frames.chunks(BATCH) {
            self.export(batch).await;
        }
    }

    /// Sends once: traces are not worth more.
    async fn export(&self, frames: &[FrameTrace]) {
        let body = request(self.resource.clone(), frames).encode_to_vec();
        let sent = self.client.post(&self.url).header(CONTENT_TYPE, "application/x-protobuf").body(body).send().await;
        match sent.and_then(reqwest::Response::error_for_status) {
            Ok(answer) if answer.status().is_success() => {
                self.counts.sent.fetch_add(u64::try_from(frames.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
                if self.outage.end() {
                    tracing::info!(url = self.url, "Traces are taken again.");
                }
            }
            Ok(answer) => self.lose(frames.len(), &format!("it answers {}", answer.status())),
            Err(error) => self.lose(frames.len(), &with_causes(&error.without_url())),
        }
    }

    fn lose(&self, frames: usize, reason: &str) {
        self.counts.lose(frames);
        if self.outage.begin(reason) {
            tracing::warn!(url = self.url, reason, "Traces are not taken; they are dropped meanwhile.");
        }
    }
}

/// Collects frames for a while from the first on, or until they are enough; false once nobody sends any more. Frames
/// that were collected are kept where this is given up in between.
async fn collect(waiting: &mut mpsc::Receiver<FrameTrace>, frames: &mut Vec<FrameTrace>) -> bool {
    if waiting.recv_many(frames, BATCH).await == 0 {
        return false;
    }
    let until = tokio::time::Instant::now() + EVERY;
    while frames.len() < BATCH {
        let room = BATCH - frames.len();
        match tokio::time::timeout_at(until, waiting.recv_many(frames, room)).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::spans::tests::frame;
    use super::*;

    fn handle(ratio: f64) -> (TracesHandle, mpsc::Receiver<FrameTrace>) {
        let (frames, waiting) = mpsc::channel(2);
        (TracesHandle { frames, ratio, counts: Arc::default() }, waiting)
    }

    #[test]
    fn as_many_are_traced_as_the_ratio_says() {
        let ids: Vec<String> = (0..2000).map(|_| Ulid::generate().to_string()).collect();
        let wanted = |ratio| ids.iter().filter(|id| handle(ratio).0.wants(id)).count();
        assert_eq!((wanted(0.0), wanted(1.0)), (0, 2000));
        // Eight standard deviations around a tenth.
        assert!((93..307).contains(&wanted(0.1)), "{}", wanted(0.1));
        assert!(!handle(1.0).0.wants("no id"));
    }

    #[test]
    fn what_there_is_no_room_for_is_dropped_and_counted() {
        let (handle, _waiting) = handle(1.0);
        (0..5).for_each(|_| handle.send(frame()));
        assert_eq!(handle.dropped(), 3);
    }
}
