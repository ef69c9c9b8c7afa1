//! One thread a model: takes the newest frame of each of its cameras, scores them together, hands them on. While no
//! camera has one it scores pictures that others have sent.
//!
//! While a GPU works on one batch the next may be handed in, if frames are waiting; if none are, the thread waits for
//! the batch at once. So nothing is held back to keep a device busy.
//!
//! When the device fails the thread goes on: with `device = "auto"` on the CPU, else its cameras are blind until the
//! device can be opened again.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::models::open_package;
use super::outlet::Outlet;
use super::pulse::Pulse;
use crate::backoff::Backoff;
use crate::camera::mailbox::{Mailbox, Notifier};
use crate::config::{DeviceChoice, ModelConfig, Name};
use crate::frame::{Frame, Image};
use crate::model::engine::{Engine, EngineError, EngineOptions};
use crate::serve::{Counter, Ticket};

/// How long the thread sleeps when no frame comes, before it looks whether it should end.
const IDLE: Duration = Duration::from_millis(200);

/// A camera as the engine sees it.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) camera: Name,
    pub(super) mailbox: Arc<Mailbox>,
    /// Lowest score of a detection, instead of the model's.
    pub(super) score: Option<f32>,
}

/// The cameras that one model looks at, which may change while it does, and pictures that others send.
#[derive(Default)]
pub(super) struct Watched {
    lines: Mutex<Arc<Vec<Line>>>,
    counter: Option<Arc<Counter>>,
}

impl Watched {
    /// No camera yet, and what is left at `counter`.
    pub(super) fn new(counter: Option<Arc<Counter>>) -> Self {
        Self { lines: Mutex::default(), counter }
    }

    /// Adds a camera, or gives it a new mailbox.
    pub(super) fn add(&self, line: Line) {
        self.change(|lines| {
            lines.retain(|other| other.camera != line.camera);
            lines.push(line);
        });
    }

    /// Changes what a camera's detections must score.
    pub(super) fn set_score(&self, camera: &Name, score: Option<f32>) {
        self.change(|lines| {
            lines.iter_mut().filter(|line| line.camera == *camera).for_each(|line| line.score = score);
        });
    }

    pub(super) fn remove(&self, camera: &Name) {
        self.change(|lines| lines.retain(|line| line.camera != *camera));
    }

    fn change(&self, with: impl FnOnce(&mut Vec<Line>)) {
        with(Arc::make_mut(&mut self.lines.lock().unwrap_or_else(PoisonError::into_inner)));
    }

    fn now(&self) -> Arc<Vec<Line>> {
        Arc::clone(&self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What it takes to open the model again.
pub(super) struct Reopen {
    pub(super) name: Name,
    pub(super) model: ModelConfig,
    pub(super) device: DeviceChoice,
    pub(super) options: EngineOptions,
}

impl Reopen {
    /// Opens the model again: on the CPU where the choice of device is ours.
    fn open(&self, pulse: &Pulse) -> Result<Engine, EngineError> {
        let device = match self.device {
            DeviceChoice::Auto => DeviceChoice::Cpu,
            other => other,
        };
        let package = open_package(&self.name, &self.model)?;
        Engine::open_watched(package, device, &self.options, &mut |_| pulse.beat())
    }
}

/// A running thread.
pub(super) struct Scoring(JoinHandle<()>);

impl Scoring {
    pub(super) fn spawn(
        engine: Engine,
        reopen: Reopen,
        watched: Arc<Watched>,
        notifier: Arc<Notifier>,
        outlet: Arc<Outlet>,
        pulse: Arc<Pulse>,
        stopping: Arc<AtomicBool>,
    ) -> std::io::Result<Self> {
        let name = format!("model-{}", reopen.name);
        let lines = watched.now();
        let flying = VecDeque::new();
        let work = Work { engine, reopen, watched, lines, outlet, pulse, stopping, next: 0, flying };
        std::thread::Builder::new().name(name).spawn(move || work.run(&notifier)).map(Self)
    }

    pub(super) fn join(self) {
        if self.0.join().is_err() {
            tracing::error!("A scoring thread failed.");
        }
    }
}

struct Work {
    engine: Engine,
    reopen: Reopen,
    watched: Arc<Watched>,
    /// What is watched, as of the last look.
    lines: Arc<Vec<Line>>,
    outlet: Arc<Outlet>,
    /// Beats with every round, so that a device that never answers is noticed.
    pulse: Arc<Pulse>,
    stopping: Arc<AtomicBool>,
    /// The line that is looked at first: takes turns, so that none waits for ever.
    next: usize,
    /// Frames that were handed in to the engine, oldest first.
    flying: VecDeque<Batch>,
}

/// What is scored together.
struct Batch {
    taken: Instant,
    lot: Lot,
}

/// Frames of cameras, or pictures that others sent. They are not mixed, so that no frame waits for more pictures than
/// there were before it came.
enum Lot {
    Frames(Vec<Taken>),
    Sent(Vec<Ticket>),
}

impl Lot {
    fn is_empty(&self) -> bool {
        match self {
            Self::Frames(frames) => frames.is_empty(),
            Self::Sent(tickets) => tickets.is_empty(),
        }
    }

    fn images(&self) -> Vec<&Image> {
        match self {
            Self::Frames(frames) => frames.iter().map(|taken| &taken.frame.image).collect(),
            Self::Sent(tickets) => tickets.iter().map(Ticket::image).collect(),
        }
    }

    /// The lowest score that counts for any of them, where the model's own is `own`.
    fn score(&self, own: f32) -> f32 {
        match self {
            Self::Frames(frames) => frames.iter().map(|taken| taken.score).fold(1.0, f32::min),
            Self::Sent(tickets) => tickets.iter().map(|ticket| ticket.score().unwrap_or(own)).fold(1.0, f32::min),
        }
    }
}

/// A frame that is scored.
struct Taken {
    camera: Name,
    frame: Frame,
    /// What its detections must score.
    score: f32,
}

impl Work {
    fn run(mut self, notifier: &Notifier) {
        loop {
            self.pulse.beat();
            // Read before looking, so that a frame that comes in between wakes the wait below.
            let seen = notifier.generation();
            self.lines = self.watched.now();
            let lot = self.next();
            let idle = lot.is_empty();
            if idle && self.flying.is_empty() {
                if self.stopping() {
                    self.close_counter();
                    return;
                }
                notifier.wait(seen, IDLE);
                continue;
            }
            let scored = if idle { self.collect() } else { self.submit(lot) };
            if let Err(reason) = scored {
                self.recover(&reason);
            }
        }
    }

    fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// What is scored next: cameras' frames where there are some.
    fn next(&mut self) -> Lot {
        let frames = self.take();
        if frames.is_empty() { Lot::Sent(self.take_sent()) } else { Lot::Frames(frames) }
    }

    /// Pictures that others sent. With cameras beside them they are on the device one lot at a time, and on a CPU, where
    /// they run one after the other, one at a time: a frame that comes meanwhile has no more to wait for.
    fn take_sent(&self) -> Vec<Ticket> {
        let Some(counter) = self.watched.counter.as_ref().filter(|_| !self.stopping()) else { return Vec::new() };
        let alone = self.lines.is_empty();
        let under_way = self.flying.iter().any(|batch| matches!(batch.lot, Lot::Sent(_)));
        match (alone, self.engine.depth()) {
            (false, _) if under_way => Vec::new(),
            (false, 1) => counter.take(1),
            _ => counter.take(self.reopen.options.batch.max(1)),
        }
    }

    /// Tells those who sent pictures that none will be scored for now.
    fn close_counter(&self) {
        if let Some(counter) = &self.watched.counter {
            counter.close();
        }
    }

    /// The newest frame of each camera, up to the batch.
    fn take(&mut self) -> Vec<Taken> {
        let count = self.lines.len();
        let most = self.reopen.options.batch.max(1);
        let own = self.engine.score_threshold();
        let mut batch = Vec::new();
        let order = (0..count).map(|i| (self.next + i) % count).filter_map(|i| Some((i, self.lines.get(i)?)));
        let mut last = None;
        for (i, line) in order {
            if batch.len() == most {
                break;
            }
            if let Some(frame) = line.mailbox.try_take() {
                let (camera, score) = (line.camera.clone(), line.score.unwrap_or(own));
                batch.push(Taken { camera, frame, score });
                last = Some(i);
            }
        }
        self.next = last.map_or(self.next, |last| last + 1);
        batch
    }

    /// Hands pictures in; what the engine has no room for any longer is sent off.
    fn submit(&mut self, lot: Lot) -> Result<(), String> {
        let taken = self.outlet.clock().monotonic();
        // What the most curious one wants; the others leave out what is too weak for them.
        self.engine.set_score_threshold(lot.score(self.engine.score_threshold()));
        contained(|| self.engine.submit(&lot.images()))?;
        self.flying.push_back(Batch { taken, lot });
        while self.flying.len() >= self.engine.depth() {
            self.collect()?;
        }
        Ok(())
    }

    /// Waits for the oldest pictures that were handed in, and sends them off.
    fn collect(&mut self) -> Result<(), String> {
        let outcomes = contained(|| self.engine.collect())?.unwrap_or_default();
        let Some(Batch { taken, lot }) = self.flying.pop_front() else { return Ok(()) };
        let model = self.engine.model_ref();
        match lot {
            Lot::Frames(frames) => {
                for (Taken { camera, frame, score }, mut outcome) in frames.into_iter().zip(outcomes) {
                    outcome.objects.retain(|object| object.score > score);
                    self.outlet.scored(&camera, frame, outcome, &model, taken);
                }
            }
            Lot::Sent(tickets) => {
                let own = self.engine.score_threshold();
                for (ticket, mut outcome) in tickets.into_iter().zip(outcomes) {
                    let score = ticket.score().unwrap_or(own);
                    outcome.objects.retain(|object| object.score > score);
                    ticket.answer(outcome, &model, taken);
                }
            }
        }
        Ok(())
    }

    /// Opens the model again, trying until it works or the daemon stops.
    fn recover(&mut self, reason: &str) {
        tracing::error!(model = %self.reopen.name, reason, "The model can't be run; opening it again.");
        // The engine has given them up; newer frames are on their way.
        self.flying.clear();
        self.close_counter();
        for line in self.lines.iter() {
            self.outlet.set_blind(&line.camera, Some(reason));
        }
        let mut backoff = Backoff::default();
        while !self.stopping() {
            let opened = catch_unwind(AssertUnwindSafe(|| self.reopen.open(&self.pulse)));
            if let Ok(Ok(engine)) = opened {
                tracing::info!(model = %self.reopen.name, device = engine.device(), "The model runs again.");
                self.outlet.set_device(engine.device());
                self.engine = engine;
                if let Some(counter) = &self.watched.counter {
                    counter.open(&self.engine);
                }
                for line in self.lines.iter() {
                    self.outlet.set_blind(&line.camera, None);
                }
                return;
            }
            self.pause(backoff.wait());
        }
    }

    /// Sleeps, unless the daemon stops.
    fn pause(&self, delay: Duration) {
        let until = self.outlet.clock().monotonic() + delay;
        while !self.stopping() && self.outlet.clock().monotonic() < until {
            self.pulse.beat();
            std::thread::sleep(IDLE.min(delay));
        }
    }
}

/// Runs the engine. Libraries below may panic on a device that has gone; that must not end the thread.
fn contained<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|_| "the device failed without a word".to_owned())?
        .map_err(|e| e.to_string())
}
