//! `OneHot`, `ReverseSequence`, `Upsample`, `SpaceToDepth` in the order of columns and rows, and zeros of no given type.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::array::ConstantOfShape;

use super::native::{Given, Kernel, Made, Native, at, axis, coordinates, floats, gather, integers, place};
use super::{Built, standard};

/// Zeros are 32-bit floats where the file gives no value; tract's are 64-bit ones then.
/// See <https://onnx.ai/onnx/operators/onnx__ConstantOfShape.html>.
pub(super) fn constant_of_shape(ctx: &ParsingContext, node: &NodeProto) -> Built {
    if node.attribute.iter().any(|a| a.name == "value") {
        return standard(ctx, node);
    }
    Ok((expand(ConstantOfShape::new(rctensor0(0.0_f32))), vec![]))
}

/// Indices beyond the depth, either way, select nothing; see <https://onnx.ai/onnx/operators/onnx__OneHot.html>.
#[derive(Debug)]
struct OneHot {
    axis: i64,
}

pub(super) fn one_hot(_ctx: &ParsingContext, node: &NodeProto) -> Built {
    Native::new(OneHot { axis: node.get_attr_opt("axis")?.unwrap_or(-1) }).built()
}

impl OneHot {
    fn shape(&self, indices: &[usize], depth: &Tensor) -> TractResult<(TVec<usize>, usize)> {
        ensure!(depth.len() == 1, "it takes one depth");
        let depth = integers(depth)?.into_iter().next().and_then(|n| usize::try_from(n).ok());
        let depth = depth.filter(|n| *n <= 1 << 28).context("a depth that no tensor has")?;
        let axis = axis(self.axis, indices.len() + 1)?;
        let mut shape: TVec<usize> = indices.into();
        shape.insert(axis, depth);
        Ok((shape, axis))
    }
}

impl Kernel for OneHot {
    fn name(&self) -> &'static str {
        "OneHot"
    }

    fn infer(&self, given: &[Given]) -> TractResult<Option<Made>> {
        let (indices, values) = (at(given, 0)?, at(given, 2)?);
        ensure!(*values.shape == [2], "it takes the values for off and on");
        let Some(depth) = &at(given, 1)?.value else { return Ok(None) };
        Ok(Some(tvec![(values.dtype, self.shape(&indices.shape, depth)?.0)]))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let (shape, axis) = self.shape(inputs[0].shape(), &inputs[1])?;
        let (indices, depth) = (integers(&inputs[0])?, shape[axis] as i64);
        let places = coordinates(&shape).map(|mut c| {
            let here = c.remove(axis) as i64;
            let index = indices[place(&c, inputs[0].shape())];
            Some(usize::from(index == here || index.checked_add(depth) == Some(here)))
        });
        Ok(tvec![gather(&inputs[2], &shape, places, None)?])
    }
}

/// Turns the beginning of each sequence round; see <https://onnx.ai/onnx/operators/onnx__ReverseSequence.html>.
#[derive(Debug)]
struct ReverseSequence {
    batch: usize,
    time: usize,
}

pub(super) fn reverse_sequence(_ctx: &ParsingContext, node: &NodeProto) -> Built {
    let batch: i64 = node.get_attr_opt("batch_axis")?.unwrap_or(1);
    let time: i64 = node.get_attr_opt("time_axis")?.unwrap_or(0);
    ensure!(matches!((batch, time), (0, 1) | (1, 0)), "batch and time are the first two axes");
    Native::new(ReverseSequence { batch: usize::try_from(batch)?, time: usize::try_from(time)? }).built()
}

impl Kernel for ReverseSequence {
    fn name(&self) -> &'static str {
        "ReverseSequence"
    }

    fn infer(&self, given: &[Given]) -> TractResult<Option<Made>> {
        let (x, lengths) = (at(given, 0)?, at(given, 1)?);
        ensure!(x.shape.len() >= 2 && *lengths.shape == [x.shape[self.batch]], "it takes a length for each sequence");
        Ok(Some(tvec![(x.dtype, x.shape.clone())]))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let shape = inputs[0].shape();
        let steps = shape[self.time];
        let lengths = integers(&inputs[1])?.into_iter().map(|n| usize::try_from(n).ok().filter(|n| *n <= steps));
        let lengths = lengths.collect::<Option<Vec<usize>>>().context("a length beyond the sequence")?;
        let places = coordinates(shape).map(|mut c| {
            let length = lengths[c[self.batch]];
            if c[self.time] < length {
                c[self.time] = length - 1 - c[self.time];
            }
            Some(place(&c, shape))
        });
        Ok(tvec![gather(&inputs[0], shape, places, None)?])
    }
}

/// Blocks to channels, the channels of one input channel together;
/// see <https://onnx.ai/onnx/operators/onnx__SpaceToDepth.html>.
#[derive(Debug)]
struct SpaceToDepth {
    block: usize,
}

pub(super) fn space_to_depth(ctx: &ParsingContext, node: &NodeProto) -> Built {
    if node.get_attr_opt::<&str>("mode")?.unwrap_or("DCR") != "CRD" {
        return standard(ctx, node);
    }
    let block = usize::try_from(node.get_attr::<i64>("blocksize")?).ok().filter(|n| *n > 0).context("no block")?;
    Native::new(SpaceToDepth { block }).built()
}

impl SpaceToDepth {
    fn shape(&self, x: &[usize]) -> TractResult<TVec<usize>> {
        let &[batch, channels, height, width] = x else { bail!("it takes pictures, not {x:?}") };
        let block = self.block;
        ensure!(height % block == 0 && width % block == 0, "blocks of {block} do not divide {height}x{width}");
        Ok(tvec![batch, channels * block * block, height / block, width / block])
    }
}

impl Kernel for SpaceToDepth {
    fn name(&self) -> &'static str {
        "SpaceToDepth"
    }

    fn infer(&self, given: &[Given]) -> TractResult<Option<Made>> {
        let x = at(given, 0)?;
        Ok(Some(tvec![(x.dtype, self.shape(&x.shape)?)]))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let (block, x) = (self.block, inputs[0].shape());
        let shape = self.shape(x)?;
        let source = |c: TVec<usize>| {
            let (within, channel) = (c[1] % (block * block), c[1] / (block * block));
            Some(place(&[c[0], channel, c[2] * block + within / block, c[3] * block + within % block], x))
        };
        let places = coordinates(&shape).map(source);
        Ok(tvec![gather(&inputs[0], &shape, places, None)?])
    }
}

/// Repeats the nearest element; see <https://onnx.ai/onnx/operators/onnx__Upsample.html>.
#[derive(Debug)]
struct Upsample {
    scales: Option<Vec<f64>>,
}

pub(super) fn upsample(_ctx: &ParsingContext, node: &NodeProto) -> Built {
    let mode = node.get_attr_opt::<&str>("mode")?.unwrap_or("nearest");
    ensure!(mode == "nearest", "mode {mode:?} is not supported");
    let scales: Option<Vec<f32>> = node.get_attr_opt_vec("scales")?;
    Native::new(Upsample { scales: scales.map(|s| s.into_iter().map(f64::from).collect()) }).built()
}

impl Upsample {
    fn scales(&self, rank: usize, input: Option<&Tensor>) -> TractResult<Vec<f64>> {
        let scales = match (&self.scales, input) {
            (Some(scales), _) => scales.clone(),
            (None, Some(scales)) => floats(scales)?,
            (None, None) => bail!("it takes scales"),
        };
        ensure!(scales.len() == rank && scales.iter().all(|s| (1.0..65_536.0).contains(s)), "scales of {scales:?}");
        Ok(scales)
    }

    fn shape(x: &[usize], scales: &[f64]) -> TVec<usize> {
        x.iter().zip(scales).map(|(n, s)| (*n as f64 * s).floor() as usize).collect()
    }
}

impl Kernel for Upsample {
    fn name(&self) -> &'static str {
        "Upsample"
    }

    fn infer(&self, given: &[Given]) -> TractResult<Option<Made>> {
        let x = at(given, 0)?;
        if self.scales.is_none() && at(given, 1)?.value.is_none() {
            return Ok(None);
        }
        let scales = self.scales(x.shape.len(), given.get(1).and_then(|g| g.value.as_deref()))?;
        Ok(Some(tvec![(x.dtype, Self::shape(&x.shape, &scales))]))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let x = inputs[0].shape();
        let scales = self.scales(x.len(), inputs.get(1).map(|t| &**t))?;
        let shape = Self::shape(x, &scales);
        let from = |(c, (scale, n)): (&usize, (&f64, &usize))| ((*c as f64 / scale) as usize).min(n.saturating_sub(1));
        let places = coordinates(&shape).map(|c| {
            let source: TVec<usize> = c.iter().zip(scales.iter().zip(x)).map(from).collect();
            Some(place(&source, x))
        });
        Ok(tvec![gather(&inputs[0], &shape, places, None)?])
    }
}
