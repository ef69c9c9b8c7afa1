//! A package against the network that it describes.

use ocellus_onnx::{ElementType, TensorInfo};

use super::labels::LabelFile;
use super::spec::{DEFAULT_LABELS, Spec, Task, Thresholds};
use super::{BUILTIN, Labels, Origin, Package, PackageError, bare_spec};
use crate::detection::{ModelRef, Object, Rect};
use crate::model::heads::{Candidate, Head, HeadError, Selection, fitting};
use crate::model::input::Placement;
use crate::model::preprocess::InputSpec;
use crate::model::{nms, profiles};

/// A package that fits its network: all that it takes to run it.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The complete description; its input has a size.
    pub spec: Spec,
    /// Name, version and digest.
    pub reference: ModelRef,
    /// How pictures become the network's input.
    pub input: InputSpec,
    /// Names of the classes, as many as the network has.
    pub labels: Labels,
    head: Head,
}

/// What a network found in one picture.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Found {
    /// The objects, best score first.
    pub objects: Vec<Object>,
    /// Values dropped because they mean nothing. Above 0 the description, the network or the device is at fault.
    pub invalid: usize,
    /// What describes the picture as a whole, of length 1; only from the head `embedding`.
    pub embedding: Option<Vec<f32>>,
}

impl Package {
    /// Checks the description against the network's inputs and outputs, and completes it from them.
    /// A bare file without a profile gets the one that fits.
    ///
    /// # Errors
    /// When the input is no picture of the size described, the outputs are not what the head reads, there are
    /// more or fewer labels than classes, or no profile fits unambiguously.
    pub fn resolve(&self, inputs: &[TensorInfo], outputs: &[TensorInfo]) -> Result<Resolved, PackageError> {
        let mut spec = match &self.spec {
            Some(spec) => spec.clone(),
            None => {
                let profile = profiles::recognise(inputs, outputs)
                    .map_err(|source| PackageError::Profile { path: self.path.clone(), source })?;
                bare_spec(&self.path, profile)?
            }
        };
        let size = input_size(&spec, inputs)?;
        spec.input.size = Some([size.0, size.1]);
        let head = Head::new(&spec.head, size, outputs).map_err(|source| unfit(&spec, source, size, outputs))?;
        let (labels, digest) = match &self.origin {
            Origin::Directory { labels, digest } => {
                (directory_labels(&spec, labels.as_ref(), head.classes())?, digest.clone())
            }
            Origin::Bare { labels } => {
                let (labels, file) = self.bare_labels(&mut spec, labels.as_ref(), head.classes())?;
                (labels, self.bare_digest(&spec, file.as_ref())?)
            }
        };
        let reference = ModelRef { name: spec.name.clone(), version: spec.version.clone(), digest };
        Ok(Resolved { input: spec.input.with_size(size.0, size.1), spec, reference, labels, head })
    }

    /// Labels asked for must fit. Labels that merely lie there, or come with the profile, are taken if they do.
    fn bare_labels(
        &self,
        spec: &mut Spec,
        asked: Option<&LabelFile>,
        classes: Option<usize>,
    ) -> Result<(Labels, Option<LabelFile>), PackageError> {
        if let Some(file) = asked {
            check_count(spec, &file.labels, classes, &file.path.display().to_string())?;
            spec.labels = Some(DEFAULT_LABELS.to_owned());
            return Ok((file.labels.clone(), Some(file.clone())));
        }
        if let Some(path) = self.labels_beside() {
            let file = LabelFile::read(path)?;
            if fits(&file.labels, classes) {
                spec.labels = Some(DEFAULT_LABELS.to_owned());
                return Ok((file.labels.clone(), Some(file)));
            }
            tracing::warn!(
                model = spec.name,
                file = %file.path.display(),
                labels = file.labels.len(),
                classes = classes.unwrap_or_default(),
                "Labels beside the model do not fit its number of classes and are left aside."
            );
        }
        if let Some(labels) = builtin(spec)?.filter(|labels| fits(labels, classes)) {
            return Ok((labels, None));
        }
        spec.labels = None;
        Ok((Labels::numbered(classes.unwrap_or(0)), None))
    }
}

impl Resolved {
    /// Whether so many numbers of a picture mean nothing that they were not meant to be read this way.
    #[must_use]
    pub fn is_nonsense(&self, invalid: usize) -> bool {
        invalid > self.head.rows() / 4
    }

    /// How the head's candidates lie in the outputs, for a device that selects them.
    #[must_use]
    pub fn selection(&self) -> Option<Selection> {
        self.head.selection()
    }

    /// What the network's outputs for one picture mean.
    ///
    /// `outputs` are in the network's order, each without its batch axis; `source` is the picture's width and
    /// height, and `placement` where it lay in the input. Boxes are cut off at the frame; what is left with
    /// no area is dropped.
    ///
    /// # Errors
    /// [`HeadError::Length`] where outputs are not as long as the network promised.
    pub fn objects(
        &self,
        outputs: &[&[f32]],
        thresholds: &Thresholds,
        placement: &Placement,
        source: (u32, u32),
    ) -> Result<Found, HeadError> {
        let decoded = self.head.decode(outputs, thresholds.score)?;
        let object = |c: &Candidate, rect| Object {
            class: c.class,
            label: self.labels.name(c.class),
            score: c.score,
            rect,
            track: None,
            zones: Vec::new(),
        };
        let objects = match self.spec.task {
            Task::Embed => Vec::new(),
            Task::Classify => {
                let best = decoded.candidates.iter().take(thresholds.max_detections);
                best.map(|c| object(c, Rect::FULL)).collect()
            }
            Task::Detect => nms::per_class(decoded.candidates, thresholds.nms, thresholds.max_detections)
                .iter()
                .filter_map(|c| Some(object(c, in_frame(c, placement, source)?)))
                .collect(),
        };
        Ok(Found { objects, invalid: decoded.invalid, embedding: decoded.embedding })
    }
}

/// A box as fractions of the frame, cut off at its edges; none where nothing is left.
#[allow(clippy::cast_precision_loss)]
fn in_frame(c: &Candidate, placement: &Placement, source: (u32, u32)) -> Option<Rect> {
    let (w, h) = (source.0 as f32, source.1 as f32);
    let (x1, y1) = placement.to_source(c.x1, c.y1);
    let (x2, y2) = placement.to_source(c.x2, c.y2);
    let part = |v: f32, of: f32| (v / of).clamp(0.0, 1.0);
    let (x1, x2) = (part(x1, w), part(x2, w));
    let (y1, y2) = (part(y1, h), part(y2, h));
    // False for NaN as well.
    (x2 > x1 && y2 > y1).then_some(Rect { x: x1, y: y1, w: x2 - x1, h: y2 - y1 })
}

/// The error for outputs that the head does not read: what there is, and what would read it.
fn unfit(spec: &Spec, source: HeadError, size: (u32, u32), outputs: &[TensorInfo]) -> PackageError {
    let fitting = fitting(size, outputs);
    let fitting = if fitting.is_empty() { "none".to_owned() } else { fitting.join(", ") };
    let choices = format!("its outputs: {}; heads that suit their shapes: {fitting}", profiles::shown(outputs)).into();
    PackageError::Head { model: spec.name.clone(), source: Box::new(source), choices }
}

fn input_size(spec: &Spec, inputs: &[TensorInfo]) -> Result<(u32, u32), PackageError> {
    let wrong = |reason: String| PackageError::Input { model: spec.name.clone(), reason };
    let [input] = inputs else {
        return Err(wrong(format!("the network has {} inputs; it takes one picture", inputs.len())));
    };
    if input.dtype != ElementType::F32 {
        return Err(wrong(format!(
            "input `{}` takes {}, but pictures are given as f32; export the model in f32",
            input.name, input.dtype
        )));
    }
    if input.shape.contains(&0) {
        return Err(wrong(format!("input `{}` of shape {:?} has room for no picture", input.name, input.shape)));
    }
    let side = |n: usize| u32::try_from(n).ok().filter(|n| (1..=4096).contains(n));
    let size = match *input.shape.as_slice() {
        [_, 3, height, width] => side(width).zip(side(height)),
        _ => None,
    };
    let size = size.ok_or_else(|| {
        wrong(format!(
            "input `{}` has shape {:?}; it takes [batch, 3, height, width] with sides of 1 to 4096 pixels",
            input.name, input.shape
        ))
    })?;
    match spec.input.size {
        Some([w, h]) if (w, h) != size => Err(wrong(format!(
            "input `{}` is {}x{} pixels, but the description says size = [{w}, {h}]",
            input.name, size.0, size.1
        ))),
        _ => Ok(size),
    }
}

fn directory_labels(spec: &Spec, file: Option<&LabelFile>, classes: Option<usize>) -> Result<Labels, PackageError> {
    let (labels, origin) = match (file, builtin(spec)?) {
        (Some(file), _) => (file.labels.clone(), file.path.display().to_string()),
        (None, Some(labels)) => (labels, spec.labels.clone().unwrap_or_default()),
        (None, None) => return Ok(Labels::numbered(classes.unwrap_or(0))),
    };
    check_count(spec, &labels, classes, &origin)?;
    Ok(labels)
}

/// Whether there is a label for each class; any number will do where the network does not say how many there are.
fn fits(labels: &Labels, classes: Option<usize>) -> bool {
    classes.is_none_or(|classes| labels.len() == classes)
}

fn check_count(spec: &Spec, labels: &Labels, classes: Option<usize>, origin: &str) -> Result<(), PackageError> {
    match classes {
        Some(classes) if !fits(labels, Some(classes)) => Err(PackageError::LabelCount {
            model: spec.name.clone(),
            classes,
            labels: labels.len(),
            origin: origin.to_owned(),
        }),
        _ => Ok(()),
    }
}

fn builtin(spec: &Spec) -> Result<Option<Labels>, PackageError> {
    let Some(name) = spec.labels.as_deref().and_then(|l| l.strip_prefix(BUILTIN)) else {
        return Ok(None);
    };
    let missing = || PackageError::NoSuchLabels { model: spec.name.clone(), name: name.to_owned() };
    Labels::builtin(name).map(Some).ok_or_else(missing)
}
