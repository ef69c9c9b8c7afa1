//! What of a frame may leave for the store, made fit for it; what stays is kept.

mod stay;

pub use self::stay::Leaving;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::audit::What;
use super::brush::Brush;
use super::canvas::Canvas;
use super::finder::{Finder, Finders};
use super::scope::{Scope, Subject};
use super::strip::strip;
use super::withheld::{Cause, Withheld};
use super::{FolderError, Log};
use crate::config::{Allow, DeviceChoice, Method, Name, PrivacyConfig, Redact, RuleConfig};
use crate::detection::{Object, Rect};
use crate::evidence::{Encoded, Evidence, EvidenceError, Found, Gate, Handled, Handling, Pick};
use crate::frame::Image;
use crate::outage::Outage;

/// How often a picture is searched and redacted before it is given up.
const PASSES: usize = 3;
/// What is kept around the objects of a crop, as a share of their size.
const AROUND: f32 = 0.1;

/// Why a frame stays.
struct Stays {
    cause: Cause,
    reason: String,
    found: Found,
}

impl Stays {
    fn by(cause: Cause, reason: String) -> Self {
        Self { cause, reason, found: Found::default() }
    }
}

/// The policy for one destination.
pub struct Guard {
    destination: String,
    rules: Vec<RuleConfig>,
    masks: BTreeMap<Name, Vec<Vec<[f64; 2]>>>,
    finders: Mutex<Finders>,
    brush: Brush,
    log: Log,
    withheld: Mutex<Withheld>,
    /// Frames that stay because something does not work are tried again then.
    retry_at: Mutex<Option<Instant>>,
    lost: AtomicU64,
    told_of_room: AtomicBool,
    trouble: Outage,
}

impl Guard {
    /// The policy for the store, which `destination` names in the audit log. Frames that stay are kept in `folder`. Models
    /// are opened when they are first needed, or by [`warm`](Self::warm).
    ///
    /// # Errors
    /// When the folder can't be used.
    pub fn for_store(
        config: &PrivacyConfig,
        destination: &str,
        log: Log,
        folder: &Path,
        device: DeviceChoice,
    ) -> Result<Self, FolderError> {
        let max_bytes = config.withheld_mib.saturating_mul(1 << 20);
        let withheld = Withheld::open(folder, max_bytes).map_err(|source| FolderError {
            what: "the folder of withheld frames",
            path: folder.to_owned(),
            source,
        })?;
        let mut masks = BTreeMap::<Name, Vec<_>>::new();
        for mask in &config.masks {
            masks.entry(mask.camera.clone()).or_default().push(mask.points.clone());
        }
        let finders = Finders {
            persons: config.persons.as_ref().map(|finder| Finder::persons(finder, device)),
            faces: config.faces.as_ref().map(|finder| Finder::faces(finder, device)),
        };
        Ok(Self {
            destination: destination.to_owned(),
            rules: config.store.clone(),
            masks,
            finders: Mutex::new(finders),
            brush: Brush::new(device),
            log,
            withheld: Mutex::new(withheld),
            retry_at: Mutex::default(),
            lost: AtomicU64::new(0),
            told_of_room: AtomicBool::new(false),
            trouble: Outage::default(),
        })
    }

    /// Opens the models that the policy needs, and says where one can't run. Takes seconds.
    pub fn warm(&self) {
        self.finders.lock().unwrap_or_else(PoisonError::into_inner).warm();
    }

    /// The first rule that fits a frame.
    fn rule(&self, pick: &Pick) -> Option<&RuleConfig> {
        let detections = &*pick.scored.detections;
        let subject = Subject::of(detections);
        self.rules.iter().find(|rule| {
            let RuleConfig { cameras, zones, hours, .. } = rule;
            Scope { cameras: cameras.as_deref(), zones: zones.as_deref(), hours }.holds(&subject)
        })
    }

    /// What of a frame may leave, made fit for it.
    fn handle(&self, pick: &Pick, asked: bool) -> Result<(Handling, Option<Encoded>), Stays> {
        let rule = self.rule(pick).ok_or_else(|| Stays::by(Cause::Policy, "no rule fits".to_owned()))?;
        if rule.on_request && !asked && rule.allow != Allow::Nothing {
            let reason = format!("rule `{}` lets it go when somebody asks for it", rule.name);
            return Err(Stays::by(Cause::OnRequest, reason));
        }
        let handling = |allow, found: Found| {
            let method = (found != Found::default()).then_some(rule.method);
            Handling { rule: rule.name.to_string(), allow, method, found }
        };
        let image = &pick.scored.frame.image;
        let crop = match rule.allow {
            Allow::Nothing => {
                return Err(Stays::by(Cause::Policy, format!("rule `{}` lets nothing go", rule.name)));
            }
            Allow::Metadata => return Ok((handling(Allow::Metadata, Found::default()), None)),
            Allow::Frame => None,
            Allow::Crop => match around(pick) {
                Some(rect) => Some(rect),
                None => return Ok((handling(Allow::Metadata, Found::default()), None)),
            },
        };
        if crop.is_none() && rule.redact.is_empty() {
            let picture = whole(image).map_err(|reason| Stays::by(Cause::Picture, reason))?;
            return Ok((handling(Allow::Frame, Found::default()), Some(picture)));
        }
        let (mut canvas, found) = self.redacted(rule, &pick.scored.detections.camera, image)?;
        let wrong = |reason: &str| Stays { cause: Cause::Picture, reason: reason.to_owned(), found };
        let mut part = None;
        if let Some(rect) = crop {
            let area = canvas.area(rect, AROUND).ok_or_else(|| wrong("the objects lie outside the picture"))?;
            part = Some(canvas.fractions(area));
            canvas.crop(area);
        }
        let image = canvas.image().ok_or_else(|| wrong("what is left is no picture"))?;
        let encoded = Encoded::of(&image).map_err(|reason| wrong(&reason))?;
        Ok((handling(rule.allow, found), Some(Encoded { crop: part, ..encoded })))
    }

    /// The picture with all that a rule wants so made unrecognisable. It is searched again until nothing more is found.
    fn redacted(&self, rule: &RuleConfig, camera: &str, image: &Image) -> Result<(Canvas, Found), Stays> {
        let gpu = if rule.method == Method::Fill { None } else { self.brush.gpu() };
        let (mut canvas, mut found) = (Canvas::of(image).on(gpu), Found::default());
        if rule.redact.contains(&Redact::Masks) {
            for points in self.masks.iter().filter(|(name, _)| ***name == *camera).flat_map(|(_, masks)| masks) {
                canvas.obscure_polygon(points, rule.method);
                found.masks += 1;
            }
        }
        let mut finders = self.finders.lock().unwrap_or_else(PoisonError::into_inner);
        for pass in 0..=PASSES {
            let stays = |reason: String| Stays { cause: Cause::Trouble, reason, found };
            let picture = canvas.image().ok_or_else(|| stays("it is no picture".to_owned()))?;
            let persons = search(rule, Redact::Persons, finders.persons.as_mut(), &picture).map_err(stays)?;
            let faces = search(rule, Redact::Faces, finders.faces.as_mut(), &picture).map_err(stays)?;
            if persons.is_empty() && faces.is_empty() {
                return Ok((canvas, found));
            }
            // What is still found where it was redacted is made black.
            let method = if pass == 0 { rule.method } else { Method::Fill };
            found.persons += u32::try_from(persons.len()).unwrap_or(u32::MAX);
            found.faces += u32::try_from(faces.len()).unwrap_or(u32::MAX);
            for (rect, margin) in persons.into_iter().chain(faces) {
                if let Some(area) = canvas.area(rect, margin) {
                    canvas.obscure(area, method);
                }
            }
        }
        let reason = format!("persons or faces are still found after it was redacted {PASSES} times");
        Err(Stays { cause: Cause::Picture, reason, found })
    }

    /// Lets a frame go as far as the rules allow, and notes so.
    fn let_go(&self, id: &str, pick: &Pick, asked_by: Option<&str>) -> Result<Result<Evidence, EvidenceError>, Stays> {
        let (handling, picture) = self.handle(pick, asked_by.is_some())?;
        let what = What::Released {
            id: id.to_owned(),
            camera: pick.scored.detections.camera.clone(),
            destination: self.destination.clone(),
            handling: handling.clone(),
            picture: picture.as_ref().map(Encoded::sha256),
            asked_by: asked_by.map(str::to_owned),
        };
        let audit = self.log.note(what).ok_or_else(|| Stays {
            cause: Cause::Trouble,
            reason: "the audit log can't be written".to_owned(),
            found: handling.found,
        })?;
        Ok(Evidence::assemble(id, pick, picture, Some(Handled { handling, audit })))
    }
}

impl Gate for Guard {
    fn pass(&self, id: &str, pick: &Pick) -> Result<Option<Evidence>, EvidenceError> {
        match self.let_go(id, pick, None) {
            Ok(evidence) => evidence.map(Some),
            Err(stays) => {
                self.withhold(id, pick, &stays);
                Ok(None)
            }
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("destination", &self.destination).finish_non_exhaustive()
    }
}

/// Where a rule wants something unrecognisable, with the margin around it.
fn search(
    rule: &RuleConfig,
    what: Redact,
    finder: Option<&mut Finder>,
    picture: &Image,
) -> Result<Vec<(Rect, f32)>, String> {
    if !rule.redact.contains(&what) {
        return Ok(Vec::new());
    }
    let finder = finder.ok_or_else(|| "there is no model for what is to be redacted".to_owned())?;
    let margin = finder.margin();
    Ok(finder.find(picture)?.into_iter().map(|rect| (rect, margin)).collect())
}

/// A whole picture without what a camera wrote beside it.
fn whole(image: &Image) -> Result<Encoded, String> {
    match image.jpeg().and_then(|original| strip(original)) {
        Some(jpeg) => Ok(Encoded { jpeg: jpeg.into(), size: (image.width(), image.height()), crop: None }),
        None => Encoded::of(image),
    }
}

/// The smallest rectangle around the objects that a frame was kept for, or around all where its reason names none.
fn around(pick: &Pick) -> Option<Rect> {
    let label = pick.reason.label();
    let objects = pick.scored.detections.objects.iter();
    let wanted = objects.filter(|object: &&Object| label.is_none_or(|label| *object.label == *label));
    wanted.map(|object| object.rect).reduce(|a, b| {
        let (x, y) = (a.x.min(b.x), a.y.min(b.y));
        Rect { x, y, w: (a.x + a.w).max(b.x + b.w) - x, h: (a.y + a.h).max(b.y + b.h) - y }
    })
}

#[cfg(test)]
impl Guard {
    /// Lets nothing more be written to the audit log.
    pub(super) fn fill_the_disk(&self) {
        self.log.lock().fill_the_disk();
    }
}
