//! Convolutions, windows, resampling: tensors `[batch, channels, height, width]`.

use burn::backend::ops::{
    ConvOptions, ConvTransposeOptions, FloatTensorOps, GridSampleOptions, GridSamplePaddingMode, InterpolateMode,
    InterpolateOptions, ModuleOps,
};
use burn::backend::{Dispatch as B, DispatchTensor};

use super::execute::{Operands, Outcome};
use crate::lower::step::{ConvParams, ConvTransposeParams, GridPadding, Interpolation, PoolParams};

pub(super) fn conv(params: &ConvParams, mut operands: Operands) -> Outcome<DispatchTensor> {
    let ConvParams { stride, pads, dilation, groups } = params.clone();
    let options = ConvOptions::new_with_padding(stride, pads, dilation, groups);
    Ok(B::conv2d(operands.take()?, operands.take()?, operands.optional(), options))
}

pub(super) fn conv_transpose(params: &ConvTransposeParams, mut operands: Operands) -> Outcome<DispatchTensor> {
    let ConvTransposeParams { stride, crop, extra, dilation, groups } = params.clone();
    let options = ConvTransposeOptions::new(stride, crop, extra, dilation, groups);
    Ok(B::conv_transpose2d(operands.take()?, operands.take()?, operands.optional(), options))
}

pub(super) fn max_pool(pool: &PoolParams, x: DispatchTensor) -> DispatchTensor {
    let PoolParams { kernel, stride, pads, dilation } = pool.clone();
    B::max_pool2d(x, kernel, stride, pads, dilation, false)
}

pub(super) fn avg_pool(pool: &PoolParams, count_padding: bool, x: DispatchTensor) -> DispatchTensor {
    let PoolParams { kernel, stride, pads, .. } = pool.clone();
    B::avg_pool2d(x, kernel, stride, pads, count_padding, false)
}

pub(super) fn interpolate(mode: Interpolation, size: [usize; 2], x: DispatchTensor) -> DispatchTensor {
    let (mode, aligned) = match mode {
        Interpolation::Nearest => (InterpolateMode::Nearest, false),
        Interpolation::Bilinear => (InterpolateMode::Bilinear, false),
        Interpolation::BilinearAligned => (InterpolateMode::Bilinear, true),
    };
    B::interpolate(x, size, InterpolateOptions::new(mode).with_align_corners(aligned))
}

pub(super) fn grid_sample(padding: GridPadding, aligned: bool, mut operands: Operands) -> Outcome<DispatchTensor> {
    let padding = match padding {
        GridPadding::Zeros => GridSamplePaddingMode::Zeros,
        GridPadding::Border => GridSamplePaddingMode::Border,
        GridPadding::Reflection => GridSamplePaddingMode::Reflection,
    };
    let options =
        GridSampleOptions::new(InterpolateMode::Bilinear).with_padding_mode(padding).with_align_corners(aligned);
    Ok(B::float_grid_sample_2d(operands.take()?, operands.take()?, options))
}
