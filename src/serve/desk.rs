//! Where pictures that were sent in wait for a model, and what is known of the models.
//!
//! A model has one [`Counter`]. Requests leave [`Ticket`]s there, the model's scoring thread takes them when no camera's
//! frame waits. There is room for so many and no more; who has stopped waiting is passed over.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use tokio::sync::oneshot;

use super::error::{Refused, shown};
use super::limits::Held;
use crate::camera::mailbox::Notifier;
use crate::clock::Clock;
use crate::config::{Config, Name, ServeConfig};
use crate::detection::ModelRef;
use crate::frame::Image;
use crate::model::engine::{Engine, Outcome};
use crate::model::package::Task;

/// What a model saw in a picture that was sent in.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    /// The model that looked, which need not be the one that ran when the picture came.
    pub(super) model: ModelRef,
    /// When it was put in.
    pub(super) since: Instant,
    /// When the engine took it.
    pub(super) taken: Instant,
}

/// A picture that waits for its score.
#[derive(Debug)]
pub struct Ticket {
    image: Image,
    /// Lowest score of a detection, instead of the model's.
    score: Option<f32>,
    since: Instant,
    answer: oneshot::Sender<Answer>,
    /// The memory that it takes.
    _held: Arc<Held>,
}

impl Ticket {
    /// The picture.
    #[must_use]
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Lowest score of a detection, instead of the model's.
    #[must_use]
    pub fn score(&self) -> Option<f32> {
        self.score
    }

    /// Hands over what was seen. Who has gone meanwhile hears nothing.
    pub fn answer(self, outcome: Outcome, model: &ModelRef, taken: Instant) {
        let _ = self.answer.send(Answer { outcome, model: model.clone(), since: self.since, taken });
    }
}

/// What is known of a model that runs.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) reference: ModelRef,
    pub(super) task: Task,
}

impl Facts {
    fn of(engine: &Engine) -> Self {
        Self { reference: engine.model_ref(), task: engine.spec().task }
    }

    /// Whether this is the version that was asked for: by its name, or by the digest.
    pub(super) fn is(&self, version: &str) -> bool {
        is_version(&self.reference, version)
    }
}

/// Whether a model is the version that was asked for.
pub(super) fn is_version(model: &ModelRef, version: &str) -> bool {
    version == model.version || version == model.digest
}

/// Where pictures wait for one model.
#[derive(Debug)]
pub struct Counter {
    waiting: Mutex<Waiting>,
    /// Wakes the scoring thread.
    notifier: Arc<Notifier>,
    room: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    tickets: VecDeque<Ticket>,
    /// None while the model can't be run.
    facts: Option<Facts>,
}

impl Counter {
    fn new(notifier: Arc<Notifier>, room: usize, facts: Option<Facts>) -> Self {
        Self { waiting: Mutex::new(Waiting { tickets: VecDeque::new(), facts }), notifier, room }
    }

    /// Leaves pictures, all or none; what is seen in them comes in their order.
    pub(super) fn put(
        &self,
        pictures: Vec<(Image, Arc<Held>)>,
        score: Option<f32>,
        now: Instant,
    ) -> Result<Vec<oneshot::Receiver<Answer>>, Refused> {
        let mut waiting = self.lock();
        if waiting.facts.is_none() {
            return Err(Refused::not_now("the model is being opened again, or the daemon stops"));
        }
        waiting.tickets.retain(|ticket| !ticket.answer.is_closed());
        if pictures.len() > self.room {
            let message = format!("{} pictures in a request; at most {} may wait", pictures.len(), self.room);
            return Err(Refused::too_large(format!("{message} (`queue` in the [serve] table)")));
        }
        if waiting.tickets.len() + pictures.len() > self.room {
            return Err(Refused::not_now(format!("{} pictures wait for this model already", waiting.tickets.len())));
        }
        let mut answers = Vec::with_capacity(pictures.len());
        for (image, held) in pictures {
            let (answer, receiver) = oneshot::channel();
            waiting.tickets.push_back(Ticket { image, score, since: now, answer, _held: held });
            answers.push(receiver);
        }
        drop(waiting);
        self.notifier.notify();
        Ok(answers)
    }

    /// Takes pictures for which somebody still waits, the oldest first, at most so many.
    pub fn take(&self, most: usize) -> Vec<Ticket> {
        let mut waiting = self.lock();
        let mut taken = Vec::new();
        while taken.len() < most {
            match waiting.tickets.pop_front() {
                Some(ticket) if ticket.answer.is_closed() => {}
                Some(ticket) => taken.push(ticket),
                None => break,
            }
        }
        taken
    }

    /// Notes that the model can't be run any more; who waits is told.
    pub fn close(&self) {
        let mut waiting = self.lock();
        waiting.facts = None;
        waiting.tickets.clear();
    }

    /// Notes which model runs now.
    pub fn open(&self, engine: &Engine) {
        self.lock().facts = Some(Facts::of(engine));
    }

    pub(super) fn facts(&self) -> Option<Facts> {
        self.lock().facts.clone()
    }

    fn waiting(&self) -> usize {
        self.lock().tickets.len()
    }

    /// A poisoned lock still holds whole values.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The models that are served, and what answers say of the node.
#[derive(Debug)]
pub struct Desk {
    pub(super) settings: ServeConfig,
    pub(super) site: String,
    pub(super) node: String,
    pub(super) clock: Arc<dyn Clock>,
    /// The digest of the configuration in force.
    config: Mutex<String>,
    counters: RwLock<BTreeMap<Name, Arc<Counter>>>,
    /// The number of the next answer that has one.
    number: AtomicU64,
}

impl Desk {
    /// A desk without a model yet.
    #[must_use]
    pub fn new(settings: &ServeConfig, config: &Config, digest: &str, clock: Arc<dyn Clock>) -> Self {
        Self {
            settings: settings.clone(),
            site: config.site.to_string(),
            node: config.node.to_string(),
            clock,
            config: Mutex::new(digest.to_owned()),
            counters: RwLock::default(),
            number: AtomicU64::default(),
        }
    }

    /// Notes that another configuration is in force.
    pub fn set_config(&self, digest: &str) {
        digest.clone_into(&mut self.config.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn config(&self) -> String {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A counter for a model; none where it is not to be served. `notifier` wakes its scoring thread.
    pub fn counter(&self, name: &Name, engine: &Engine, notifier: Arc<Notifier>) -> Option<Arc<Counter>> {
        let served = self.settings.serves(name);
        served.then(|| Arc::new(Counter::new(notifier, self.settings.queue, Some(Facts::of(engine)))))
    }

    /// Serves these models from now on, and no other.
    pub fn serve(&self, counters: BTreeMap<Name, Arc<Counter>>) {
        *self.counters.write().unwrap_or_else(PoisonError::into_inner) = counters;
    }

    /// The models that are served, by their names in the configuration.
    pub(super) fn counters(&self) -> BTreeMap<Name, Arc<Counter>> {
        self.counters.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Finds a model by its name in the configuration; without one the only model. With a version it is that one or
    /// none.
    pub(super) fn find(&self, name: Option<&str>, version: Option<&str>) -> Result<Found, Refused> {
        let counters = self.counters();
        let known = || counters.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let (name, counter) = match name {
            Some(name) => counters.iter().find(|(key, _)| ***key == *name).ok_or_else(|| {
                Refused::not_found(format!("there is no model {}; there is {}", shown(name), known()))
            })?,
            None => match counters.iter().collect::<Vec<_>>().as_slice() {
                [only] => *only,
                _ => return Err(Refused::bad(format!("say which model with `?model=`: there is {}", known()))),
            },
        };
        let facts = counter.facts();
        match (version, &facts) {
            (Some(version), Some(facts)) if !facts.is(version) => Err(other_version(name, version, &facts.reference)),
            _ => Ok(Found { name: name.clone(), counter: Arc::clone(counter), facts }),
        }
    }

    /// A number that no other answer has.
    pub(super) fn number(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed)
    }

    /// Pictures that wait, for all models together.
    pub(super) fn waiting(&self) -> usize {
        self.counters().values().map(|counter| counter.waiting()).sum()
    }
}

/// A model that was asked for.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: Name,
    pub(super) counter: Arc<Counter>,
    /// None while it can't be run.
    pub(super) facts: Option<Facts>,
}

impl Found {
    /// What is known of the model, if it runs.
    pub(super) fn running(&self) -> Result<&Facts, Refused> {
        let name = &self.name;
        self.facts.as_ref().ok_or_else(|| Refused::not_now(format!("the model `{name}` is being opened again")))
    }
}

/// That another version runs than the one asked for.
pub(super) fn other_version(name: &str, version: &str, model: &ModelRef) -> Refused {
    let ModelRef { version: runs, digest, .. } = model;
    Refused::not_found(format!("model `{name}` has no version {}; {runs} ({digest}) runs", shown(version)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::PixelFormat;
    use crate::serve::limits::Memory;

    fn model(version: &str, digest: &str) -> ModelRef {
        ModelRef { name: "parts".to_owned(), version: version.to_owned(), digest: digest.to_owned() }
    }

    fn counter(room: usize) -> Counter {
        let facts = Facts { reference: model("1", "sha256:1"), task: Task::Detect };
        Counter::new(Arc::new(Notifier::new()), room, Some(facts))
    }

    fn pictures(count: usize) -> Vec<(Image, Arc<Held>)> {
        let memory = Memory::new(1);
        let image = Image::new(1, 1, PixelFormat::Rgb8, vec![0; 3].into()).expect("a picture");
        let held = Arc::new(memory.hold(1).expect("room"));
        vec![(image, held); count]
    }

    #[tokio::test]
    async fn there_is_room_for_so_many_and_no_more() {
        let counter = counter(3);
        let now = Instant::now();
        let first = counter.put(pictures(2), None, now).expect("room");
        let refused = counter.put(pictures(2), None, now).expect_err("no room");
        assert_eq!(refused.status, 503, "{refused:?}");
        let refused = counter.put(pictures(4), None, now).expect_err("never room");
        assert_eq!(refused.status, 413, "{refused:?}");
        // Whoever has gone leaves their room.
        drop(first);
        let mut answers = counter.put(pictures(3), Some(0.2), now).expect("room");
        let tickets = counter.take(2);
        assert_eq!((tickets.len(), counter.waiting()), (2, 1));
        for ticket in tickets {
            assert_eq!(ticket.score(), Some(0.2));
            ticket.answer(Outcome::default(), &model("2", "sha256:2"), now);
        }
        let last = answers.pop().expect("three");
        for answer in answers {
            assert_eq!(answer.await.expect("an answer").model.version, "2");
        }
        counter.close();
        assert!(last.await.is_err(), "the model is gone");
        assert_eq!(counter.put(pictures(1), None, now).expect_err("gone").status, 503);
    }

    #[test]
    fn who_has_gone_is_passed_over() {
        let counter = counter(3);
        let gone = counter.put(pictures(2), None, Instant::now()).expect("room");
        let stays = counter.put(pictures(1), None, Instant::now()).expect("room");
        drop(gone);
        assert_eq!(counter.take(8).len(), 1);
        drop(stays);
        assert_eq!(counter.take(8).len(), 0);
    }

    #[test]
    fn a_version_is_a_version_or_a_digest() {
        let runs = Facts { reference: model("1.2.0", "sha256:12"), task: Task::Detect };
        assert!(runs.is("1.2.0") && runs.is("sha256:12"));
        assert!(!runs.is("1.2") && !runs.is("12") && !runs.is(""));
        let refused = other_version("parts", "1.1.0", &runs.reference);
        assert_eq!(refused.message, "model `parts` has no version \"1.1.0\"; 1.2.0 (sha256:12) runs");
    }
}
