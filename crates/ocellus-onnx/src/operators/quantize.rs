//! `QuantizeLinear` and `DequantizeLinear` whose scales are computed, of another type than `f32`, or one a block.
//!
//! `y = saturate(round(x / scale) + zero point)`, halves to even, and `x = (y - zero point) * scale`. See
//! <https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html>.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::tract_hir::internal::*;

use super::native::{Choice, Given, Kernel, Made, Native, at, axis, coordinates, floats, of_floats, place};
use super::{Built, standard};

#[derive(Debug)]
struct Linear {
    quantize: bool,
    axis: i64,
    /// Elements along the axis that share a scale; 0: all, or one scale a place.
    block: usize,
    output: Option<DatumType>,
}

pub(super) fn quantize(ctx: &ParsingContext, node: &NodeProto) -> Built {
    build(ctx, node, true)
}

pub(super) fn dequantize(ctx: &ParsingContext, node: &NodeProto) -> Built {
    build(ctx, node, false)
}

fn build(ctx: &ParsingContext, node: &NodeProto, quantize: bool) -> Built {
    let output = match node.get_attr_opt::<i64>("output_dtype")?.unwrap_or(0) {
        0 => None,
        number => Some(DatumType::try_from(DataType::try_from(i32::try_from(number)?)?)?),
    };
    let block: i64 = node.get_attr_opt("block_size")?.unwrap_or(0);
    let own = Linear {
        quantize,
        axis: node.get_attr_opt("axis")?.unwrap_or(1),
        block: usize::try_from(block).context("a negative block")?,
        output,
    };
    if own.block > 0 || output.is_some() {
        return Native::new(own).built();
    }
    Choice::built(standard(ctx, node), own, |facts| {
        let parameters_known = facts.iter().skip(1).all(|f| f.value.is_concrete());
        Some(!parameters_known || facts.get(1)?.datum_type.concretize()? != DatumType::F32)
    })
}

impl Linear {
    /// The shape that scales are looked up in, with the extent of a block along the axis.
    fn scales(&self, x: &[usize], scale: &[usize]) -> TractResult<(TVec<usize>, usize, usize)> {
        let count: usize = scale.iter().product();
        if self.block > 0 {
            let axis = axis(self.axis, x.len())?;
            let fits = scale.len() == x.len()
                && scale.iter().zip(x).enumerate().all(
                    |(ix, (s, n))| {
                        if ix == axis { *s == n.div_ceil(self.block) } else { s == n }
                    },
                );
            ensure!(fits, "scales of {scale:?} for {x:?} in blocks of {}", self.block);
            return Ok((scale.into(), axis, self.block));
        }
        let mut shape: TVec<usize> = tvec![1; x.len()];
        if count == 1 {
            return Ok((shape, 0, 1));
        }
        let axis = axis(self.axis, x.len())?;
        ensure!(scale == [x[axis]], "scales of {scale:?} along axis {axis} of {x:?}");
        shape[axis] = count;
        Ok((shape, axis, 1))
    }

    fn output(&self, scale: DatumType, zero: Option<DatumType>) -> TractResult<DatumType> {
        let dtype = self.output.unwrap_or(if self.quantize { zero.unwrap_or(DatumType::U8) } else { scale });
        let quantized = matches!(dtype, DatumType::U8 | DatumType::I8 | DatumType::U16 | DatumType::I16);
        ensure!(if self.quantize { quantized } else { dtype.is_float() }, "values of type {dtype:?} are not supported");
        Ok(dtype)
    }
}

impl Kernel for Linear {
    fn name(&self) -> &'static str {
        if self.quantize { "QuantizeLinear" } else { "DequantizeLinear" }
    }

    fn infer(&self, given: &[Given]) -> TractResult<Option<Made>> {
        let (x, scale, zero) = (at(given, 0)?, at(given, 1)?, given.get(2));
        ensure!(scale.dtype.is_float(), "scales of type {:?}", scale.dtype);
        ensure!(zero.is_none_or(|z| z.shape == scale.shape), "scales and zero points of different shapes");
        self.scales(&x.shape, &scale.shape)?;
        Ok(Some(tvec![(self.output(scale.dtype, zero.map(|z| z.dtype))?, x.shape.clone())]))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let (x, scale, zero) = (&inputs[0], &inputs[1], inputs.get(2));
        let dtype = self.output(scale.datum_type(), zero.map(|z| z.datum_type()))?;
        let (shape, axis, block) = self.scales(x.shape(), scale.shape())?;
        let (values, scales) = (floats(x)?, floats(scale)?);
        let zeros = zero.map_or_else(|| Ok(vec![0.0; scales.len()]), |zero| floats(zero))?;
        let single = x.datum_type() != DatumType::F64;
        let (low, high) = match dtype {
            DatumType::U8 => (0.0, 255.0),
            DatumType::I8 => (-128.0, 127.0),
            DatumType::U16 => (0.0, 65_535.0),
            _ => (-32_768.0, 32_767.0),
        };
        let data: Vec<f64> = coordinates(x.shape())
            .zip(values)
            .map(|(mut c, v)| {
                if let Some(slot) = c.get_mut(axis) {
                    *slot /= block;
                }
                let at = place(&c, &shape);
                let (scale, zero) = (scales[at], zeros[at]);
                if !self.quantize {
                    return (v - zero) * scale;
                }
                // The quotient is rounded as in single precision, so that halves fall where they do elsewhere.
                let quotient = if single { f64::from(v as f32 / scale as f32) } else { v / scale };
                (quotient.round_ties_even() + zero).clamp(low, high)
            })
            .collect();
        Ok(tvec![of_floats(dtype, x.shape(), &data)?])
    }
}
