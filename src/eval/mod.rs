//! How good a detector is, by COCO's rules.
//!
//! The same definitions as pycocotools' `COCOeval` for boxes, areas of all sizes, at most 100 detections a picture
//! and category, averaged over the IoU thresholds 0.50, 0.55, …, 0.95 and over the categories that have boxes:
//!
//! - *AP* of a category: precision, made to fall monotonically, averaged over the recalls 0, 0.01, …, 1.
//! - *AR* of a category: the highest recall.
//!
//! `truth` reads the annotations, `matching` pairs detections with boxes one picture and category at a time,
//! `measure` makes curves and averages of it.

mod matching;
mod measure;
mod truth;

use std::collections::BTreeMap;

use serde::Serialize;

use self::matching::{Judged, judge};
use self::measure::{Quality, quality};
pub use self::truth::{Truth, TruthError, TruthImage};
use crate::model::package::Labels;

/// Detections of one picture and category that count, best first.
pub const MAX_DETECTIONS: usize = 100;
/// IoU thresholds that are averaged over: 0.50, 0.55, …, 0.95.
const THRESHOLDS: usize = 10;
/// Names that an error lists.
const MAX_NAMES: usize = 8;

/// IoU from which on a detection matches a box, at threshold `i`. As `numpy.linspace(.5, .95, 10)` rounds them.
#[allow(clippy::cast_precision_loss)]
fn threshold(i: usize) -> f64 {
    if i + 1 >= THRESHOLDS { 0.95 } else { 0.5 + i as f64 * ((0.95 - 0.5) / 9.0) }
}

/// Something that a detector found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// Index of the class in the model's labels.
    pub class: usize,
    /// Confidence.
    pub score: f64,
    /// Left, top, width, height in pixels of the picture.
    pub bbox: [f64; 4],
}

/// Why a model can't be measured against annotations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// No class of the model is a category of the annotations.
    #[error(
        "none of the model's labels ({labels}) is a category of the annotations ({categories}); \
         name the model's classes as the annotations do, one a line, with --labels FILE"
    )]
    NothingInCommon {
        /// The model's labels, not all where they are many.
        labels: String,
        /// The annotations' categories, likewise.
        categories: String,
    },
    /// There is nothing to find.
    #[error("the annotations have no box of any category that the model knows, so there is nothing to measure")]
    NothingToFind,
}

/// What comes out, as fractions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Report {
    /// Mean average precision over all IoU thresholds.
    pub map: f64,
    /// The same at IoU 0.50 only.
    pub ap50: f64,
    /// The same at IoU 0.75 only.
    pub ap75: f64,
    /// Mean highest recall over all IoU thresholds, with 100 detections a picture and category.
    pub ar100: f64,
}

/// A detector being measured.
#[derive(Debug)]
pub struct Evaluation<'t> {
    truth: &'t Truth,
    /// The category (its index) of each class of the model; none for classes that the annotations don't know.
    category_of: Vec<Option<usize>>,
    found: BTreeMap<i64, Vec<Detection>>,
}

impl<'t> Evaluation<'t> {
    /// Starts a measurement. Classes and categories are paired by name, upper and lower case being the same;
    /// categories that the model has no class for do not count ([`Evaluation::left_out`]).
    ///
    /// # Errors
    /// When nothing is left to measure.
    pub fn new(truth: &'t Truth, labels: &Labels) -> Result<Self, EvalError> {
        let categories = truth.categories();
        let same = |a: &str, b: &str| a.trim().to_lowercase() == b.trim().to_lowercase();
        let category_of: Vec<Option<usize>> =
            labels.iter().map(|label| categories.iter().position(|c| same(&c.name, label))).collect();
        if category_of.iter().all(Option::is_none) {
            return Err(EvalError::NothingInCommon {
                labels: some_of(labels.iter().map(AsRef::as_ref)),
                categories: some_of(categories.iter().map(|c| c.name.as_str())),
            });
        }
        let evaluation = Self { truth, category_of, found: BTreeMap::new() };
        if evaluation.categories() == 0 { Err(EvalError::NothingToFind) } else { Ok(evaluation) }
    }

    /// Notes what was found in a picture. A picture that nothing is noted for counts as one in which nothing was found.
    pub fn add(&mut self, image: i64, detections: impl IntoIterator<Item = Detection>) {
        self.found.entry(image).or_default().extend(detections);
    }

    /// How many categories are measured: those that have boxes and that the model has a class for.
    #[must_use]
    pub fn categories(&self) -> usize {
        (0..self.truth.categories().len()).filter(|c| self.is_known(*c) && self.truth.has_boxes(*c)).count()
    }

    /// The categories that have boxes, but that the model has no class for.
    #[must_use]
    pub fn left_out(&self) -> Vec<&'t str> {
        let all = self.truth.categories().iter().enumerate();
        all.filter(|(i, _)| !self.is_known(*i) && self.truth.has_boxes(*i)).map(|(_, c)| c.name.as_str()).collect()
    }

    fn is_known(&self, category: usize) -> bool {
        self.category_of.contains(&Some(category))
    }

    /// The result of all that was added.
    #[must_use]
    pub fn report(&self) -> Report {
        let measured = (0..self.truth.categories().len()).filter(|c| self.is_known(*c));
        let qualities: Vec<Quality> = measured.filter_map(|c| quality(self.judged(c))).collect();
        let over_all = |q: &[f64; THRESHOLDS]| mean(q.iter().copied());
        // Thresholds 0 and 5 are IoU 0.50 and 0.75.
        Report {
            map: mean(qualities.iter().map(|q| over_all(&q.precision))),
            ap50: mean(qualities.iter().map(|q| q.precision[0])),
            ap75: mean(qualities.iter().map(|q| q.precision[5])),
            ar100: mean(qualities.iter().map(|q| over_all(&q.recall))),
        }
    }

    /// Every picture's detections of one category against its boxes, pictures in the order of their ids.
    fn judged(&self, category: usize) -> impl Iterator<Item = Judged> + '_ {
        self.truth.ids().map(move |image| {
            let of_category = |d: &&Detection| self.category_of.get(d.class) == Some(&Some(category));
            let found = self.found.get(&image).into_iter().flatten().filter(of_category).copied().collect();
            judge(found, self.truth.boxes(image, category))
        })
    }
}

/// The mean; 0 where there is nothing.
#[allow(clippy::cast_precision_loss)]
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), v| (sum + v, count + 1));
    sum / count.max(1) as f64
}

/// The first few names, for people.
fn some_of<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = if names.len() > MAX_NAMES { ", …" } else { "" };
    format!("{}{more}", names.take(MAX_NAMES).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests;
