//! Kept frames and what people say of them: where they are held, who may say something, and who brings it to the store.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Daemon, DaemonError};
use crate::clock::Clock;
use crate::command::{Order, Refusal};
use crate::config::{Config, Name, ReviewNames};
use crate::digest::sha256;
use crate::evidence::{Gate, Naming, ReviewError, ReviewGate, Reviews, Said, Taken, Via};
use crate::privacy::Log;
use crate::privacy::audit::What;
use crate::ship::store::is_off_site;
use crate::ship::{Leave, Note, Store, Timetable, VerdictCourier};
use crate::web::{ReviewDesk, Reviewers};

/// Where frames wait for verdicts, and verdicts for the store.
pub(super) struct ReviewLine {
    pub(super) desk: ReviewDesk,
    pub(super) courier: VerdictCourier,
}

impl ReviewLine {
    /// None where nothing is to be reviewed. What leaves is noted in the log, where there is a policy.
    pub(super) fn start(
        config: &Config,
        place: &str,
        log: Option<&Log>,
        store: &Store,
        timetable: &Timetable,
        clock: &Arc<dyn Clock>,
    ) -> Result<Option<Self>, DaemonError> {
        let settings = &config.review;
        if !settings.enabled {
            return Ok(None);
        }
        let reviewers = Reviewers::of(settings)?;
        let folder = if config.outbox.enabled { Some(config.outbox.folder()?) } else { None };
        let reviews = Reviews::open(settings, folder.as_deref(), Arc::clone(clock));
        let naming = match settings.names {
            ReviewNames::Keep => Naming::Keep,
            ReviewNames::Drop => Naming::Drop,
            ReviewNames::Auto if !is_off_site(place) => Naming::Keep,
            // Without a salt no name leaves.
            ReviewNames::Auto | ReviewNames::Hash => reviews.hashing().unwrap_or(Naming::Drop),
        };
        let leave = Leave { naming, note: log.map(|log| noting(log.clone(), place.to_owned())) };
        let courier = VerdictCourier::start(reviews.clone(), store.clone(), leave, timetable.clone());
        Ok(Some(Self { desk: ReviewDesk { reviews, reviewers }, courier }))
    }

    /// Another gate, before which frames are held for review.
    pub(super) fn before(&self, gate: Arc<dyn Gate>) -> Arc<dyn Gate> {
        Arc::new(ReviewGate::new(gate, self.desk.reviews.clone()))
    }
}

/// Notes in the audit log each verdict that leaves.
fn noting(log: Log, destination: String) -> Note {
    Arc::new(move |verdict| {
        let Ok(json) = verdict.json() else { return false };
        let what = What::Verdict {
            id: verdict.id.clone(),
            frame: verdict.frame.clone(),
            camera: verdict.camera.clone(),
            destination: destination.clone(),
            verdict: verdict.verdict,
            by: verdict.by.clone(),
            digest: sha256(json),
        };
        log.note(what).is_some()
    })
}

impl Daemon {
    /// Takes a verdict that was commanded, and answers when it is on the disk.
    pub(super) fn judge(&self, camera: Option<Name>, said: Value, order: Order) {
        let Some(reviews) = self.evidence.as_ref().and_then(|line| line.reviews()) else {
            let reason = "no frames are reviewed: the configuration needs a table [evidence], and not `enabled = false` \
                          under [review]";
            return order.answer(Err(Refusal::not_now(reason)));
        };
        tokio::task::spawn_blocking(move || order.answer(judge(&reviews, camera.as_deref(), &said).map_err(refusal)));
    }
}

fn judge(reviews: &Reviews, camera: Option<&str>, said: &Value) -> Result<Value, ReviewError> {
    let said = Said::read(said.to_string().as_bytes())?;
    let Some(frame) = said.frame.clone() else {
        return Err(ReviewError::Invalid("`frame` is missing: the id of the frame that it is about".to_owned()));
    };
    if let Some(camera) = camera
        && reviews.detail(&frame)?.frame.camera != *camera
    {
        return Err(ReviewError::Invalid(format!("frame {frame} is not of camera `{camera}`")));
    }
    let Taken { verdict, repeated } = reviews.judge(&frame, said, Via::Command)?;
    let (kind, revision) = (verdict.verdict.name(), verdict.revision);
    // No name: the broker keeps the answer for everybody.
    Ok(json!({"id": verdict.id, "frame": frame, "verdict": kind, "revision": revision, "repeated": repeated}))
}

fn refusal(error: ReviewError) -> Refusal {
    match error {
        ReviewError::NotNow(reason) => Refusal::not_now(reason),
        other => Refusal::bad_value(other.to_string()),
    }
}
