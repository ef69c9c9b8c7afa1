//! `Pad` that wraps around or whose value is computed, and `CenterCropPad`.

use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::native::{Choice, Given, Kernel, Made, Native, at, axis, coordinates, gather, integers, place};
use super::{Built, standard};

/// One axis of the output, and where its places come from.
#[derive(Debug, Clone, Copy)]
struct Along {
    /// The output's extent.
    size: usize,
    /// The input's extent.
    extent: usize,
    /// The input's place that comes first.
    first: i64,
    wrap: bool,
}

impl Along {
    fn whole(extent: usize) -> Self {
        Self { size: extent, extent, first: 0, wrap: false }
    }

    fn source(&self, at: usize) -> Option<usize> {
        let at = at as i64 + self.first;
        let at = if self.wrap { at.rem_euclid(self.extent.max(1) as i64) } else { at };
        usize::try_from(at).ok().filter(|at| *at < self.extent)
    }
}

fn shape_of(axes: &[Along]) -> TVec<usize> {
    axes.iter().map(|along| along.size).collect()
}

/// The tensor with these axes.
fn picked(tensor: &Tensor, axes: &[Along], fill: Option<&Tensor>) -> TractResult<Tensor> {
    let shape = shape_of(axes);
    let places = coordinates(&shape).map(|c| {
        let source: Option<TVec<usize>> = c.iter().zip(axes).map(|(c, along)| along.source(*c)).collect();
        source.map(|source| place(&source, tensor.shape()))
    });
    gather(tensor, &shape, places, fill)
}

/// See <https://onnx.ai/onnx/operators/onnx__Pad.html>.
#[derive(Debug)]
struct Pad {
    wrap: bool,
    value: Option<usize>,
    axes: Option<usize>,
}

pub(super) fn pad(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let mode = node.get_attr_opt::<&str>("mode")?.unwrap_or("constant");
    if ctx.onnx_operator_set_version < 11 || !matches!(mode, "constant" | "wrap") {
        return standard(ctx, node);
    }
    let mut optional = optional_inputs(node).skip(2);
    let (value, axes) = (optional.next().flatten(), optional.next().flatten());
    let own = Pad { wrap: mode == "wrap", value, axes };
    match value {
        _ if own.wrap => Native::new(own).built(),
        Some(2) => Choice::built(standard(ctx, node), own, |facts| Some(!facts.get(2)?.value.is_concrete())),
        _ => standard(ctx, node),
    }
}

impl Pad {
    fn along(&self, shape: &[usize], pads: &[i64], axes: Option<&[i64]>) -> TractResult<Vec<Along>> {
        let rank = shape.len();
        let axes = match axes {
            Some(axes) => axes.iter().map(|a| axis(*a, rank)).collect::<TractResult<Vec<_>>>()?,
            None => (0..rank).collect(),
        };
        ensure!(pads.len() == 2 * axes.len(), "{} pads for {} axes", pads.len(), axes.len());
        let mut along: Vec<Along> = shape.iter().map(|n| Along::whole(*n)).collect();
        for (ix, a) in axes.iter().enumerate() {
            let (before, after, extent) = (pads[ix], pads[ix + axes.len()], shape[*a] as i64);
            let limit = 1_i64 << 40;
            ensure!(before.abs() < limit && after.abs() < limit, "pads of {before} and {after}");
            let size = before + extent + after;
            ensure!((0..=1 << 28).contains(&size), "pads of {before} and {after} make {size} of {extent}");
            ensure!(!self.wrap || extent > 0 || size == 0, "there is nothing to wrap around");
            along[*a] = Along { size: usize::try_from(size)?, extent: shape[*a], first: -before, wrap: self.wrap };
        }
        Ok(along)
    }
}

impl Kernel for Pad {
    fn name(&self) -> &'static str {
        "Pad"
    }

    fn infer(&self, given: &[Given]) -> TractResult<Option<Made>> {
        let x = at(given, 0)?;
        let axes = self.axes.map(|ix| at(given, ix)).transpose()?;
        let (Some(pads), true) = (&at(given, 1)?.value, axes.is_none_or(|axes| axes.value.is_some())) else {
            return Ok(None);
        };
        if let Some(ix) = self.value {
            let value = at(given, ix)?;
            ensure!(value.dtype == x.dtype && value.shape.iter().product::<usize>() == 1, "it takes one value");
        }
        let axes = axes.and_then(|axes| axes.value.as_ref()).map(|axes| integers(axes)).transpose()?;
        let along = self.along(&x.shape, &integers(pads)?, axes.as_deref())?;
        Ok(Some(tvec![(x.dtype, shape_of(&along))]))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let axes = self.axes.map(|ix| integers(&inputs[ix])).transpose()?;
        let along = self.along(inputs[0].shape(), &integers(&inputs[1])?, axes.as_deref())?;
        Ok(tvec![picked(&inputs[0], &along, self.value.map(|ix| &*inputs[ix]))?])
    }
}

/// Crops or pads with zeros around the middle; the smaller half of an odd difference comes first.
/// See <https://onnx.ai/onnx/operators/onnx__CenterCropPad.html>.
#[derive(Debug)]
struct CenterCropPad {
    axes: Option<Vec<i64>>,
}

pub(super) fn center_crop_pad(_ctx: &ParsingContext, node: &NodeProto) -> Built {
    Native::new(CenterCropPad { axes: node.get_attr_opt_vec("axes")? }).built()
}

impl CenterCropPad {
    fn along(&self, shape: &[usize], sizes: &[i64]) -> TractResult<Vec<Along>> {
        let rank = shape.len();
        let axes = match &self.axes {
            Some(axes) => axes.iter().map(|a| axis(*a, rank)).collect::<TractResult<Vec<_>>>()?,
            None => (0..rank).collect(),
        };
        ensure!(axes.len() == sizes.len(), "{} sizes for {} axes", sizes.len(), axes.len());
        let mut along: Vec<Along> = shape.iter().map(|n| Along::whole(*n)).collect();
        for (a, size) in axes.into_iter().zip(sizes) {
            let size = usize::try_from(*size).ok().filter(|n| *n <= 1 << 28).with_context(|| format!("size {size}"))?;
            let extent = shape[a];
            let first = if size <= extent { ((extent - size) / 2) as i64 } else { -(((size - extent) / 2) as i64) };
            along[a] = Along { size, extent, first, wrap: false };
        }
        Ok(along)
    }
}

impl Kernel for CenterCropPad {
    fn name(&self) -> &'static str {
        "CenterCropPad"
    }

    fn infer(&self, given: &[Given]) -> TractResult<Option<Made>> {
        let x = at(given, 0)?;
        let Some(sizes) = &at(given, 1)?.value else { return Ok(None) };
        Ok(Some(tvec![(x.dtype, shape_of(&self.along(&x.shape, &integers(sizes)?)?))]))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let along = self.along(inputs[0].shape(), &integers(&inputs[1])?)?;
        Ok(tvec![picked(&inputs[0], &along, None)?])
    }
}
