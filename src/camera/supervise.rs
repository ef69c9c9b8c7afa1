//! A camera on a thread of its own: opened, kept to its pace, opened again when it fails.
//!
//! ```text
//! connecting ──picture──► ok ──end──► off
//!      ▲  └──────end, stop─┼───────────┘
//!      └──────error────────┘
//! ```
//!
//! While pictures come the camera may also be `frozen` or `blind`, by what `trust` makes of them, and `blind`
//! where a queue that promised to keep every frame had no room for one.
//!
//! How pictures reach the mailbox depends on the source. A live camera's come when they come, a record that is played
//! in real time and a simulation keep to their own pace; in both the newest picture wins. A record without a pace is
//! read as fast as its pictures are taken, and every one is.
//!
//! A source that fails is opened again after a wait that grows, with jitter, up to 30 s. So is a live camera that
//! ends, and one at this machine as soon as it is plugged in. A record that ends starts over where it loops, else the
//! camera is off.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::error::CameraError;
use super::ffmpeg::Ffmpeg;
use super::images;
use super::mailbox::Mailbox;
use super::motion::Gate;
use super::options::{Authority, CameraOptions};
use super::pace::{Pacer, Thinner};
use super::source::Source;
use super::stop::{GLANCE, Stop};
use super::trust::look::Look;
use super::trust::{Verdict, Watch};
use super::v4l::plug::{self, Waited};
use super::{Reader, Shot};
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::config::Name;
use crate::frame::{Frame, Image};
use crate::status::{CAMERA_SCHEMA, CameraState, CameraStatus};

/// How long pictures must have come for the next failure to start with the shortest wait again.
const STEADY: Duration = Duration::from_secs(30);

/// How long a queue must have had room for every frame before the camera counts as well again.
const QUIET: Duration = Duration::from_secs(10);
/// Why a camera with a full queue is blind.
const OVERRUN: &str = "frames come faster than they are scored: some were not looked at";

/// Who watches the camera's pictures.
fn watch(options: &CameraOptions) -> Watch {
    let mut trust = options.trust.clone();
    if matches!(options.source, Source::Pictures { .. }) {
        // Stills are still.
        trust.still = 0.0;
    }
    let reference = trust.reference.as_deref().and_then(|path| match images::read(path) {
        Ok(image) => Some(image),
        Err(error) => {
            tracing::warn!(%error, "There is no reference picture: the view at the start is taken for it.");
            None
        }
    });
    Watch::new(trust, reference.as_ref())
}

/// A running camera. Dropping it stops it.
#[derive(Debug)]
pub struct Camera {
    name: Name,
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Camera {
    /// Starts a camera that leaves its frames in `mailbox`, which it closes when it is off. `observe` hears of each
    /// change of its state once, on the camera's thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn(
        name: &Name,
        options: CameraOptions,
        mailbox: Arc<Mailbox>,
        clock: Arc<dyn Clock>,
        observe: impl FnMut(CameraStatus) + Send + 'static,
    ) -> io::Result<Self> {
        if let (Source::Network(url), Authority::Nobody) = (&options.source, &options.authority)
            && url.is_secure()
        {
            tracing::warn!(camera = %name, "The camera's certificate is not checked (`tls_verify = false`): others may pretend to be it.");
        }
        let tools = Ffmpeg { silence_limit: options.timeout, ..Ffmpeg::default() };
        let asked = options.clone();
        let open = move |stop: &Stop| super::open(&asked, &tools, stop);
        Self::with(name, options, mailbox, clock, observe, open)
    }

    fn with(
        name: &Name,
        options: CameraOptions,
        mailbox: Arc<Mailbox>,
        clock: Arc<dyn Clock>,
        observe: impl FnMut(CameraStatus) + Send + 'static,
        open: impl FnMut(&Stop) -> Opened + Send + 'static,
    ) -> io::Result<Self> {
        let stop = Stop::new();
        let work = Work {
            camera: name.shared(),
            mode: Mode::of(&options.source),
            thinner: options.fps.map(Thinner::new),
            gate: options.motion.map(Gate::new),
            watch: watch(&options),
            fit: (CameraState::Ok, String::new()),
            lost: None,
            source: options.source,
            mailbox,
            status: Reporter { camera: name.shared(), clock: Arc::clone(&clock), observe, last: None },
            clock,
            stop: stop.clone(),
            open,
            seq: 0,
            started: None,
            first: None,
            shown: Duration::ZERO,
            pacer: Pacer::default(),
        };
        let thread = thread::Builder::new().name(format!("camera-{name}")).spawn(move || work.run())?;
        Ok(Self { name: name.clone(), stop, thread: Some(thread) })
    }

    /// Asks it to stop, without waiting.
    pub fn ask_to_stop(&self) {
        self.stop.set();
    }

    /// Stops it and waits for its end, which comes within a moment, whatever the source does.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.stop.set();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(camera = %self.name, "The camera's thread failed.");
        }
    }
}

type Opened = Result<Option<Box<dyn Reader>>, CameraError>;

/// How pictures reach the mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// When they come; the newest wins.
    Live,
    /// When they are due; the newest wins.
    Paced,
    /// When there is room; every one.
    Every,
}

impl Mode {
    fn of(source: &Source) -> Self {
        match source {
            _ if source.is_live() => Self::Live,
            Source::Conveyor { .. } => Self::Paced,
            _ if source.realtime() == Some(true) => Self::Paced,
            _ => Self::Every,
        }
    }
}

/// Why a source gives no more pictures.
enum End {
    Stopped,
    Over,
}

/// What the camera's thread works with.
struct Work<O, S> {
    camera: Arc<str>,
    source: Source,
    mode: Mode,
    mailbox: Arc<Mailbox>,
    status: Reporter<S>,
    clock: Arc<dyn Clock>,
    stop: Stop,
    open: O,
    /// The number of the next frame; goes on when the source is opened again.
    seq: u64,
    /// When the first picture of all came: where the time of a live camera's pictures is counted from.
    started: Option<Instant>,
    /// When the first picture came, since the source was opened.
    first: Option<Instant>,
    /// How long all pictures so far last together.
    shown: Duration,
    pacer: Pacer,
    thinner: Option<Thinner>,
    gate: Option<Gate>,
    watch: Watch,
    /// What the last look at the pictures said of the camera, and why.
    fit: (CameraState, String),
    /// When a queue last had no room, in the time of the pictures.
    lost: Option<Duration>,
}

impl<O, S> Work<O, S>
where
    O: FnMut(&Stop) -> Opened,
    S: FnMut(CameraStatus),
{
    fn run(mut self) {
        self.status.report(CameraState::Connecting, "");
        let mut backoff = Backoff::default();
        let reason = loop {
            self.first = None;
            match self.play() {
                Ok(End::Stopped) => break "it was switched off".to_owned(),
                Ok(End::Over) => break format!("{} has ended", self.source),
                Err(error) if error.is_final() => break error.to_string(),
                Err(error) => {
                    if matches!(error, CameraError::Refused { .. }) {
                        // Cameras lock accounts that are tried too often.
                        backoff.slow_down();
                    }
                    self.status.report(CameraState::Connecting, &error.to_string());
                }
            }
            if self.first.is_some_and(|first| self.since(first) >= STEADY) {
                backoff.reset();
            }
            if self.pause(&mut backoff) {
                break "it was switched off".to_owned();
            }
        };
        self.mailbox.close();
        self.status.report(CameraState::Off, &reason);
    }

    /// Waits before the next try; `true` where the signal came. A camera that is plugged in meanwhile is tried at once.
    fn pause(&self, backoff: &mut Backoff) -> bool {
        let wait = backoff.wait();
        let Source::V4l(path) = &self.source else { return self.stop.wait(wait) };
        let waited = plug::wait(path, wait, &self.stop);
        if waited == Waited::Plugged {
            backoff.reset();
        }
        waited == Waited::Stopped
    }

    /// Opens the source and shows its pictures, over and over where it loops.
    fn play(&mut self) -> Result<End, CameraError> {
        loop {
            let Some(mut reader) = contained(&self.source, || (self.open)(&self.stop))? else {
                return Ok(End::Stopped);
            };
            while let Some(shot) = contained(&self.source, || reader.next(&self.stop))? {
                self.show(shot);
                if self.stop.is_set() {
                    break;
                }
            }
            match self.source.looping() {
                _ if self.stop.is_set() => return Ok(End::Stopped),
                Some(true) => {}
                _ if self.mode == Mode::Live => {
                    let (from, reason) = (self.source.to_string(), "the stream ended".to_owned());
                    return Err(CameraError::Broken { from, reason });
                }
                _ => return Ok(End::Over),
            }
        }
    }

    /// Shows one picture at its time.
    fn show(&mut self, shot: Shot) {
        let now = self.clock.monotonic();
        self.first.get_or_insert(now);
        let taken = shot.captured.unwrap_or(now);
        let started = *self.started.get_or_insert(taken);
        let at = if self.mode == Mode::Live { taken.saturating_duration_since(started) } else { self.shown };
        self.shown += shot.lasts;
        let seq = self.seq;
        self.seq += 1;
        let look = self.look(at, &shot.image);
        let state = self.report_fitness(at);
        let wait = if self.mode == Mode::Paced { self.pacer.wait(now, shot.lasts) } else { Duration::ZERO };
        if self.thinner.as_mut().is_some_and(|thinner| !thinner.keeps(at)) {
            return;
        }
        if let (Some(gate), Some(look)) = (&mut self.gate, &look)
            && !gate.lets(at, look)
        {
            self.mailbox.leave_out();
            return;
        }
        let in_time = match self.mode {
            Mode::Live => true,
            Mode::Paced => !self.stop.wait(wait),
            Mode::Every => self.wait_for_room(),
        };
        if in_time {
            let shown = self.clock.monotonic();
            let captured = shot.captured.map_or(shown, |taken| taken.min(shown));
            let captured_at = self.clock.wall() - shown.saturating_duration_since(captured);
            let camera = Arc::clone(&self.camera);
            if !self.mailbox.put(Frame { camera, seq, captured_at, captured, state, image: shot.image }) {
                self.lost = Some(at);
            }
        }
    }

    /// Looks at a picture, where somebody wants to know, and notes what it says of the camera.
    fn look(&mut self, at: Duration, image: &Image) -> Option<Look> {
        let due = self.watch.is_due(at);
        let look = (due || self.gate.is_some()).then(|| Look::at(image))?;
        if due {
            let Verdict { state, reason, signals } = self.watch.see(at, look.clone());
            self.mailbox.set_trust(signals);
            self.fit = (state, reason);
        }
        Some(look)
    }

    /// Says what state the camera is in, now that a picture came.
    fn report_fitness(&mut self, at: Duration) -> CameraState {
        let overrun = self.lost.is_some_and(|lost| at < lost + QUIET);
        let (state, reason) = match &self.fit {
            (CameraState::Ok | CameraState::Frozen, _) if overrun => (CameraState::Blind, OVERRUN),
            (state, reason) => (*state, reason.as_str()),
        };
        self.status.report(state, reason);
        state
    }

    /// Whether the mailbox had room before the signal came.
    fn wait_for_room(&self) -> bool {
        while !self.stop.is_set() {
            if self.mailbox.wait_for_room(GLANCE) {
                return true;
            }
        }
        false
    }

    fn since(&self, then: Instant) -> Duration {
        self.clock.monotonic().saturating_duration_since(then)
    }
}

/// Says each change of state once.
struct Reporter<S> {
    camera: Arc<str>,
    clock: Arc<dyn Clock>,
    observe: S,
    last: Option<CameraStatus>,
}

impl<S: FnMut(CameraStatus)> Reporter<S> {
    fn report(&mut self, state: CameraState, reason: &str) {
        let same = self.last.as_ref().filter(|last| last.state == state);
        if same.is_some_and(|last| last.reason == reason) {
            return;
        }
        let camera = &*self.camera;
        match state {
            CameraState::Ok => tracing::info!(camera, "The camera delivers."),
            CameraState::Frozen | CameraState::Blind => {
                tracing::warn!(camera, reason, "The camera's pictures are not to be trusted.");
            }
            CameraState::Off => tracing::info!(camera, reason, "The camera is off."),
            _ if reason.is_empty() => tracing::debug!(camera, "Opening the camera."),
            _ => tracing::warn!(camera, reason, "The camera failed; it is opened again."),
        }
        // Another reason for the same state is news, but the state is no younger for it.
        let since = same.map_or_else(|| self.clock.wall(), |last| last.since);
        let status = CameraStatus { schema: CAMERA_SCHEMA.to_owned(), state, reason: reason.to_owned(), since };
        self.last = Some(status.clone());
        (self.observe)(status);
    }
}

/// Turns a panic in a reader into an error: what a camera sends must not end its thread.
fn contained<T>(source: &Source, work: impl FnOnce() -> Result<T, CameraError>) -> Result<T, CameraError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let said = payload.downcast_ref::<&str>().copied();
        let said = said.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no word");
        Err(CameraError::Panicked {
            from: source.to_string(),
            reason: said.lines().next().unwrap_or_default().to_owned(),
        })
    })
}

#[cfg(test)]
pub(super) mod tests;
