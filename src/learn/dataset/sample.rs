//! A picture with its labels.

use chrono::NaiveDate;

use crate::detection::{Object, Rect};
use crate::digest::sha256;
use crate::evidence::{Judgement, Marked, Reason, Record, Verdict};

/// A picture with what was seen in it.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The evidence's id.
    pub id: String,
    /// The picture's name in its store.
    pub picture: String,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Pixels across and down.
    pub size: (u32, u32),
    /// The site, and the camera.
    pub site: String,
    /// The camera.
    pub camera: String,
    /// The day of capture, UTC.
    pub day: NaiveDate,
    /// When it was captured, as in RFC 3339.
    pub captured_at: String,
    /// Why it was kept.
    pub reason: Reason,
    /// `sha256:…` of the model that saw the labels, and its name and version.
    pub model: (String, String),
    /// `sha256:…` of the configuration.
    pub config: String,
    /// What was seen.
    pub labels: Vec<Label>,
    /// What people said of that; the last word, where there are several.
    pub verdict: Option<Judgement>,
    /// What there is by that word, where it says so.
    pub truth: Option<Vec<Label>>,
}

/// A box in a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// The class.
    pub name: String,
    /// How sure the model was, 0..=1; 1 for what people have marked.
    pub score: f32,
    /// Where, as fractions of the picture: inside it, and not empty.
    pub rect: Rect,
}

impl Sample {
    /// The sample of a record; none where it has no picture.
    #[must_use]
    pub fn of(record_name: &str, record: Record, verdict: Option<&Verdict>) -> Option<Self> {
        let image = record.image?;
        // They lie side by side.
        let folder = record_name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let picture = if folder.is_empty() { image.file.clone() } else { format!("{folder}/{}", image.file) };
        let detections = record.detections;
        let crop = image.crop.unwrap_or(Rect::FULL);
        let seen = |object: &Object| label(&object.label, object.score, object.rect, crop);
        let labels: Vec<Label> = detections.objects.iter().filter_map(seen).collect();
        let marked = |marked: &Marked| label(&marked.label, 1.0, marked.rect, crop);
        let truth = verdict.and_then(|verdict| match verdict.verdict {
            Judgement::Right => Some(labels.clone()),
            Judgement::Wrong => None,
            Judgement::Corrected => Some(verdict.objects.iter().flatten().filter_map(marked).collect()),
        });
        Some(Self {
            id: record.id,
            picture,
            sha256: image.sha256,
            size: (image.width, image.height),
            day: detections.frame.captured_at.date_naive(),
            captured_at: detections.frame.captured_at.to_rfc3339(),
            reason: record.reason,
            model: (detections.model.digest, format!("{} {}", detections.model.name, detections.model.version)),
            config: detections.config,
            labels,
            verdict: verdict.map(|verdict| verdict.verdict),
            truth,
            site: detections.site,
            camera: detections.camera,
        })
    }

    /// What it is labelled with: what people said that there is, else what the model saw.
    #[must_use]
    pub fn boxes(&self) -> &[Label] {
        self.truth.as_deref().unwrap_or(&self.labels)
    }

    /// Whether the model's boxes are known to be wrong, and nobody has said what is right.
    #[must_use]
    pub fn is_refuted(&self) -> bool {
        self.verdict == Some(Judgement::Wrong)
    }

    /// Whether these are the bytes of its picture.
    #[must_use]
    pub fn is(&self, jpeg: &[u8]) -> bool {
        sha256(jpeg) == self.sha256
    }

    /// A box in pixels: left, top, width, height.
    pub(super) fn pixels(&self, rect: Rect) -> [f64; 4] {
        let (width, height) = (f64::from(self.size.0), f64::from(self.size.1));
        let Rect { x, y, w, h } = rect;
        [f64::from(x) * width, f64::from(y) * height, f64::from(w) * width, f64::from(h) * height]
            .map(|value| (value * 100.0).round() / 100.0)
    }
}

/// A box in a frame as a label of the part of it that was kept; none where it lies outside.
fn label(name: &str, score: f32, rect: Rect, crop: Rect) -> Option<Label> {
    let span = |start: f32, size: f32, from: f32, whole: f32| {
        let low = ((start - from) / whole).clamp(0.0, 1.0);
        let high = ((start + size - from) / whole).clamp(0.0, 1.0);
        (high > low).then_some((low, high - low))
    };
    let Rect { x, y, w, h } = rect;
    let ((x, w), (y, h)) = (span(x, w, crop.x, crop.w)?, span(y, h, crop.y, crop.h)?);
    Some(Label { name: name.to_owned(), score, rect: Rect { x, y, w, h } })
}
