//! Kept frames that await a verdict, and the verdicts.
//!
//! # Invariants
//! 1. A verdict is on the disk, synced, before anybody is told that it was taken. It is never changed; the last one on a
//!    frame counts.
//! 2. It is known by its id: said again it is the same verdict, and something else under its id is refused.
//! 3. It waits here until the store has it. A verdict on a frame of which the policy lets nothing go stays here.
//! 4. Frames are bounded in number and bytes: the oldest go, and what was said of them with them, once the store has it.
//!
//! Everything is in `reviews.db`, SQLite (`application_id` "OCRV"), in the outbox's folder and under its lock; without
//! such a folder in memory. A database that can't be read is moved aside, and a new one begun.

mod database;
mod error;
mod frame;
mod gate;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use ulid::Ulid;

use self::database::{Database, Tally, Trouble};
pub use self::error::ReviewError;
use self::frame::Frame;
pub use self::frame::{FrameDetail, FrameList, FrameView, PictureView};
pub use self::gate::ReviewGate;
use super::verdict::{Judgement, Marked, Naming, Said, VERDICT_SCHEMA, Verdict, Via};
use crate::clock::Clock;
use crate::config::{ReviewConfig, ReviewPictures, nearest};
use crate::outage::Outage;
use crate::sqlite::open_or_begin;
use crate::status::ModelVerdicts;

/// The database's file.
const FILE: &str = "reviews.db";
/// Most verdicts on one frame.
const MAX_VERDICTS: usize = 100;
/// Most verdicts that wait for the store.
const MAX_WAITING: u64 = 100_000;
/// Labels that a message lists.
const LISTED: usize = 20;
/// Characters of what somebody sent that are repeated.
const SHOWN: usize = 64;
/// Frames that are listed at once.
pub const MAX_LIST: usize = 200;

/// Which frames are listed.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only those of this camera.
    pub camera: Option<String>,
    /// Only those with a verdict, or only those without one.
    pub judged: Option<bool>,
    /// Only those before this id.
    pub before: Option<String>,
    /// How many, at most [`MAX_LIST`].
    pub limit: usize,
}

/// A verdict that was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// As it is kept.
    pub verdict: Verdict,
    /// Whether it was there already.
    pub repeated: bool,
}

/// What frames and verdicts are kept in. Cloning shares it. Everything but the counts waits for the disk.
#[derive(Clone)]
pub struct Reviews(Arc<Shared>);

struct Shared {
    settings: ReviewConfig,
    clock: Arc<dyn Clock>,
    path: Option<PathBuf>,
    database: Mutex<Option<Database>>,
    /// What models call things, by camera.
    labels: Mutex<BTreeMap<String, Vec<String>>>,
    tallies: Mutex<BTreeMap<String, Vec<ModelVerdicts>>>,
    waiting: AtomicU64,
    /// Why frames are not held.
    outage: Outage,
    changed: Notify,
}

impl Reviews {
    /// Opens what is in a folder, or begins in memory. A disk that doesn't take it is no error: it is tried again with
    /// every use.
    #[must_use]
    pub fn open(settings: &ReviewConfig, folder: Option<&Path>, clock: Arc<dyn Clock>) -> Self {
        let shared = Shared {
            settings: settings.clone(),
            clock,
            path: folder.map(|folder| folder.join(FILE)),
            database: Mutex::default(),
            labels: Mutex::default(),
            tallies: Mutex::default(),
            waiting: AtomicU64::new(0),
            outage: Outage::default(),
            changed: Notify::new(),
        };
        let reviews = Self(Arc::new(shared));
        // What keeps the disk from it is said with the first frame.
        let _ = reviews.with(|database| {
            reviews.count(database);
            Ok(())
        });
        reviews
    }

    /// Which pictures reviewers see.
    #[must_use]
    pub fn pictures(&self) -> ReviewPictures {
        self.0.settings.pictures
    }

    /// Notes what the cameras' models call things.
    pub fn know(&self, labels: BTreeMap<String, Vec<String>>) {
        *lock(&self.0.labels) = labels;
    }

    fn with<T>(&self, act: impl FnOnce(&mut Database) -> Result<T, ReviewError>) -> Result<T, ReviewError> {
        let mut held = lock(&self.0.database);
        let database = match &mut *held {
            Some(database) => database,
            none => none.insert(open(self.0.path.as_deref())?),
        };
        act(database)
    }

    /// Notes how many there are of each kind. What can't be read stays as it was.
    fn count(&self, database: &Database) {
        if let Ok(tallies) = database.tallies() {
            *lock(&self.0.tallies) = sums(&tallies);
        }
        if let Ok(waiting) = database.count_waiting() {
            self.0.waiting.store(waiting, Ordering::Relaxed);
        }
    }

    fn add(&self, frame: &Frame) {
        let limits = (self.0.settings.frames.into(), self.0.settings.mib.saturating_mul(1 << 20));
        match self.with(|database| Ok(database.add(frame, limits)?)) {
            Ok(()) if self.0.outage.end() => tracing::info!("Frames are held for review again."),
            Ok(()) => {}
            Err(error) if self.0.outage.begin(&error.to_string()) => {
                tracing::error!(%error, "Frames are not held for review until the disk takes them.");
            }
            Err(_) => {}
        }
    }

    /// Frames that are held, the newest first.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn list(&self, wanted: &Wanted) -> Result<FrameList, ReviewError> {
        let limit = wanted.limit.clamp(1, MAX_LIST);
        let Wanted { camera, judged, before, .. } = wanted;
        self.with(|database| {
            let mut found = database.frames(before.as_deref(), camera.as_deref(), *judged, limit + 1)?;
            let more = found.len() > limit;
            found.truncate(limit);
            let frames: Vec<_> = found.into_iter().map(|(frame, has_picture)| frame.view(has_picture)).collect();
            let (awaiting, held) = database.counts()?;
            let next = frames.last().filter(|_| more).map(|frame| frame.id.clone());
            Ok(FrameList { awaiting, held, frames, next })
        })
    }

    /// One frame with all that was said of it.
    ///
    /// # Errors
    /// When it is not held, or can't be read.
    pub fn detail(&self, id: &str) -> Result<FrameDetail, ReviewError> {
        let (frame, has_picture, verdicts) = self.with(|database| {
            let (frame, has_picture) = database.frame(id)?.ok_or_else(|| unknown(id))?;
            Ok((frame, has_picture, database.verdicts(id)?))
        })?;
        let labels = self.labels(&frame).into_iter().collect();
        Ok(FrameDetail { frame: frame.view(has_picture), labels, verdicts })
    }

    /// A frame's picture, as JPEG.
    ///
    /// # Errors
    /// When the frame is not held or has none, or it can't be read.
    pub fn picture(&self, id: &str) -> Result<Vec<u8>, ReviewError> {
        self.with(|database| database.picture(id)?.ok_or_else(|| unknown(id)))
    }

    /// Takes a verdict on a frame. It is on the disk when this returns.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn judge(&self, id: &str, said: Said, via: Via) -> Result<Taken, ReviewError> {
        let said = said.checked()?;
        let taken = self.with(|database| {
            if database.count_waiting()? >= MAX_WAITING {
                let many = format!("{MAX_WAITING} verdicts wait for the store already: see why it takes none");
                return Err(ReviewError::NotNow(many));
            }
            let judging = database.judge()?;
            let known = said.id.as_deref().map(|id| judging.find(id)).transpose()?.flatten();
            if let Some(verdict) = known {
                if verdict.frame == id && said.is(&verdict) {
                    return Ok(Taken { verdict, repeated: true });
                }
                let of = &verdict.frame;
                return Err(ReviewError::Conflict(format!(
                    "{} is the id of another verdict, on frame {of}",
                    verdict.id
                )));
            }
            let (frame, _) = judging.frame(id)?.ok_or_else(|| unknown(id))?;
            let before = judging.verdicts(id)?;
            let verdict = self.verdict(&frame, said, via, &before)?;
            judging.keep(&verdict, before.last().map(|last| last.verdict), frame.leaves)?;
            self.count(database);
            Ok(Taken { verdict, repeated: false })
        })?;
        self.0.changed.notify_one();
        Ok(taken)
    }

    fn verdict(&self, frame: &Frame, said: Said, via: Via, before: &[Verdict]) -> Result<Verdict, ReviewError> {
        let id = &frame.record.id;
        let last = before.last();
        if let Some(seen) = said.replaces
            && seen.as_ref() != last.map(|last| &last.id)
        {
            let is = last.map_or_else(|| "there is none".to_owned(), |last| format!("it is {}", last.id));
            return Err(ReviewError::Conflict(format!(
                "another verdict counts for frame {id} than the one that this replaces: {is}; look at the frame again"
            )));
        }
        if before.len() >= MAX_VERDICTS {
            return Err(ReviewError::Conflict(format!("frame {id} has {MAX_VERDICTS} verdicts, which is the most")));
        }
        self.check_labels(frame, said.objects.iter().flatten())?;
        let detections = &frame.record.detections;
        Ok(Verdict {
            schema: VERDICT_SCHEMA.to_owned(),
            id: said.id.unwrap_or_else(|| Ulid::generate().to_string()),
            frame: id.clone(),
            site: detections.site.clone(),
            node: detections.node.clone(),
            camera: detections.camera.clone(),
            captured_at: detections.frame.captured_at,
            model: detections.model.clone(),
            verdict: said.verdict,
            objects: said.objects,
            by: said.by,
            at: self.0.clock.wall(),
            via,
            revision: u32::try_from(before.len()).unwrap_or(u32::MAX).saturating_add(1),
            replaces: last.map(|last| last.id.clone()),
        })
    }

    /// What objects in a frame may be called.
    fn labels(&self, frame: &Frame) -> BTreeSet<String> {
        let detections = &frame.record.detections;
        let of_model = lock(&self.0.labels).get(&detections.camera).cloned().unwrap_or_default();
        let seen = detections.objects.iter().map(|object| object.label.to_string());
        of_model.into_iter().chain(self.0.settings.labels.iter().cloned()).chain(seen).collect()
    }

    fn check_labels<'a>(
        &self,
        frame: &Frame,
        mut objects: impl Iterator<Item = &'a Marked>,
    ) -> Result<(), ReviewError> {
        let labels = self.labels(frame);
        let Some(Marked { label, .. }) = objects.find(|object| !labels.contains(&object.label)) else { return Ok(()) };
        let shown: String = label.chars().take(SHOWN).collect();
        let names: Vec<&str> = labels.iter().map(String::as_str).collect();
        let hint = match nearest(&shown, &names) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.len() > LISTED => format!("the frame lists the {} that there are as `labels`", names.len()),
            None => format!("there are `{}`", names.join("`, `")),
        };
        Err(ReviewError::Invalid(format!(
            "there is no label `{shown}`: {hint} Others are named under `labels` in the [review] table"
        )))
    }

    /// The next verdicts for the store, with their numbers.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn waiting(&self, limit: usize) -> Result<Vec<(i64, Verdict)>, ReviewError> {
        self.with(|database| Ok(database.waiting(limit)?))
    }

    /// How many wait for the store.
    ///
    /// # Errors
    /// When that can't be read.
    pub fn count_waiting(&self) -> Result<u64, ReviewError> {
        self.with(|database| Ok(database.count_waiting()?))
    }

    /// How many wait for the store, as of the last change.
    #[must_use]
    pub fn last_waiting(&self) -> u64 {
        self.0.waiting.load(Ordering::Relaxed)
    }

    /// The store has the verdict with this number, or will never have it.
    ///
    /// # Errors
    /// When that can't be written: it is brought to the store again then.
    pub fn delivered(&self, seq: i64) -> Result<(), ReviewError> {
        self.with(|database| {
            database.delivered(seq)?;
            self.count(database);
            Ok(())
        })
    }

    /// Returns once a verdict has come since the last time.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// What makes names into hashes on this node.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn hashing(&self) -> Result<Naming, ReviewError> {
        self.with(|database| Ok(Naming::Hash(database.salt()?)))
    }

    /// How many frames of a camera have which verdict, by model.
    #[must_use]
    pub fn tallies(&self, camera: &str) -> Vec<ModelVerdicts> {
        lock(&self.0.tallies).get(camera).cloned().unwrap_or_default()
    }
}

impl fmt::Debug for Reviews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reviews").field("path", &self.0.path).finish_non_exhaustive()
    }
}

/// A poisoned lock still holds a whole value: the database undoes what was begun.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unknown(id: &str) -> ReviewError {
    ReviewError::UnknownFrame { id: id.chars().take(SHOWN).collect() }
}

/// Opens the database; one that can't be read is moved aside.
fn open(path: Option<&Path>) -> Result<Database, Trouble> {
    let Some(path) = path else { return Database::open(None) };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let open = |path: &Path| Database::open(Some(path));
    open_or_begin("The database of reviews", path, open, |trouble| matches!(trouble, Trouble::Corrupt(_)))
}

fn sums(tallies: &[Tally]) -> BTreeMap<String, Vec<ModelVerdicts>> {
    let mut all = BTreeMap::<String, Vec<ModelVerdicts>>::new();
    for Tally { camera, model, verdict, frames } in tallies {
        let models = all.entry(camera.clone()).or_default();
        let at = models.iter().position(|known| known.model == *model).unwrap_or_else(|| {
            models.push(ModelVerdicts { model: model.clone(), right: 0, wrong: 0, corrected: 0 });
            models.len() - 1
        });
        let Some(sum) = models.get_mut(at) else { continue };
        *match verdict {
            Judgement::Right => &mut sum.right,
            Judgement::Wrong => &mut sum.wrong,
            Judgement::Corrected => &mut sum.corrected,
        } += frames;
    }
    all
}
