//! Which floats a model runs with on a GPU: 16-bit ones where they lose little enough.

use ocellus_onnx::{Graph, Precision};

use super::gpu::GpuRunner;
use super::runner::Order;
use super::{EngineError, EngineOptions};
use crate::config::PrecisionChoice;
use crate::detection::Object;
use crate::gpu::Gpu;
use crate::model::package::{GoldenObject, GoldenPicture, Package, Resolved, Thresholds};

/// The precision that a model runs with, and why, for people.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chosen {
    pub precision: Precision,
    pub why: String,
}

impl Chosen {
    fn single(why: impl Into<String>) -> Self {
        Self { precision: Precision::F32, why: why.into() }
    }

    fn half(why: impl Into<String>) -> Self {
        Self { precision: Precision::F16, why: why.into() }
    }
}

/// Opens a model on a GPU with the precision that is asked for, or the best one.
///
/// # Errors
/// When the model can't run, or 16-bit floats were asked for by name and lose more than the package allows.
pub(super) fn open(
    graph: &Graph,
    gpu: &Gpu,
    options: &EngineOptions,
    model: &Resolved,
    package: &Package,
) -> Result<(GpuRunner, Chosen), EngineError> {
    let wrong = EngineError::graph(&model.spec.name);
    let batch = options.batch.max(1);
    let single =
        |chosen: Chosen| Ok((GpuRunner::open(graph, gpu, batch, model, Precision::F32).map_err(&wrong)?, chosen));
    let wanted = options.precision.unwrap_or(model.spec.precision);
    if wanted == PrecisionChoice::F32 {
        return single(Chosen::single("asked for"));
    }
    let golden = package.golden()?;
    let by_name = wanted == PrecisionChoice::F16;
    if golden.is_empty() && !by_name {
        return single(Chosen::single("without a golden set in the package, the loss of f16 can't be measured"));
    }
    let tolerance = model.spec.golden.tolerance;
    let measured = GpuRunner::open(graph, gpu, batch, model, Precision::F16).map_err(&wrong).and_then(|mut half| {
        let loss = measure(&mut half, model, options.thresholds(&model.spec), &golden)?;
        Ok((half, loss))
    });
    match measured {
        Err(reason) if by_name => Err(reason),
        Err(reason) => single(Chosen::single(format!("f16 fails: {reason}"))),
        Ok((half, None)) => Ok((half, Chosen::half("asked for; its loss is not known, without a golden set"))),
        Ok((half, Some(loss))) if loss <= tolerance => {
            Ok((half, Chosen::half(format!("it loses {loss:.4} on the golden set, of {tolerance} allowed"))))
        }
        Ok((_, Some(loss))) if by_name => {
            Err(EngineError::Precision { model: model.spec.name.clone(), loss, tolerance })
        }
        Ok((_, Some(loss))) => {
            single(Chosen::single(format!("f16 loses {loss:.4} on the golden set, over the {tolerance} allowed")))
        }
    }
}

/// The loss over a golden set; none where there is no set.
fn measure(
    runner: &mut GpuRunner,
    model: &Resolved,
    thresholds: Thresholds,
    golden: &[GoldenPicture],
) -> Result<Option<f32>, EngineError> {
    let mut worst = None;
    for GoldenPicture { image, objects } in golden {
        let mut outcomes = std::collections::VecDeque::new();
        runner.submit(model, Order { thresholds, whole: false }, &[image], &mut outcomes)?;
        while runner.finish(model, &mut outcomes)? {}
        for outcome in outcomes {
            let loss = loss(&outcome.objects, objects, thresholds.score);
            worst = Some(worst.map_or(loss, |worst: f32| worst.max(loss)));
        }
    }
    Ok(worst)
}

/// How far what was seen is from what must be seen, the worst of it: the difference of scores, or what is missing of
/// a full overlap. What is there on one side only counts by how far it scores above the threshold.
fn loss(seen: &[Object], golden: &[GoldenObject], threshold: f32) -> f32 {
    let off = |object: &Object, wanted: &GoldenObject| {
        if *object.label != *wanted.label {
            return f32::INFINITY;
        }
        (object.score - wanted.score).abs().max(1.0 - object.rect.iou(&wanted.rect()))
    };
    let alone = |score: f32| (score - threshold).max(0.0);
    let nearest = |all: &mut dyn Iterator<Item = f32>| all.fold(f32::INFINITY, f32::min);
    let missed = golden.iter().map(|wanted| nearest(&mut seen.iter().map(|o| off(o, wanted))).min(alone(wanted.score)));
    let invented = seen.iter().map(|o| nearest(&mut golden.iter().map(|wanted| off(o, wanted))).min(alone(o.score)));
    missed.chain(invented).fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detection::Rect;

    fn seen(label: &str, score: f32, x: f32) -> Object {
        let rect = Rect { x, y: 0.0, w: 0.5, h: 0.5 };
        Object { class: 0, label: label.into(), score, rect, track: None, zones: Vec::new() }
    }

    fn wanted(label: &str, score: f32, x: f32) -> GoldenObject {
        GoldenObject { label: label.to_owned(), score, r#box: [x, 0.0, 0.5, 0.5] }
    }

    #[test]
    fn the_loss_is_the_worst_of_what_differs() {
        let near = |a: f32, b: f32| assert!((a - b).abs() < 1e-5, "{a}, not {b}");
        let golden = [wanted("a", 0.9, 0.0), wanted("b", 0.8, 0.5)];
        near(loss(&[seen("a", 0.9, 0.0), seen("b", 0.8, 0.5)], &golden, 0.3), 0.0);
        near(loss(&[seen("a", 0.88, 0.0), seen("b", 0.83, 0.5)], &golden, 0.3), 0.03);
        // A tenth of the width off: 0.9 of 1.1 is shared.
        near(loss(&[seen("a", 0.9, 0.05), seen("b", 0.8, 0.5)], &golden, 0.3), 1.0 - 0.9 / 1.1);
        // Missing, invented, or called something else.
        near(loss(&[seen("a", 0.9, 0.0)], &golden, 0.3), 0.5);
        near(loss(&[seen("a", 0.9, 0.0), seen("b", 0.8, 0.5), seen("c", 0.35, 0.2)], &golden, 0.3), 0.05);
        near(loss(&[seen("a", 0.9, 0.0), seen("c", 0.8, 0.5)], &golden, 0.3), 0.5);
        near(loss(&[], &[], 0.3), 0.0);
    }
}
