//! The definitions of the windowed kernels, one value at a time.

use super::{Activation, ConvSpec, Residual};
use super::{Layout, PoolKind, Shape, Window};

/// The input's row or column under a tap of the window, or `None` in the padding.
fn under(out: usize, tap: usize, axis: usize, window: &Window, size: usize) -> Option<usize> {
    (out * window.stride[axis] + tap * window.dilation[axis])
        .checked_sub(window.padding[axis])
        .filter(|position| *position < size)
}

/// Position of a value in a blocked or planar image.
fn at(layout: Layout, lanes: usize, shape: Shape, [n, c, y, x]: [usize; 4]) -> usize {
    match layout {
        Layout::Planar => ((n * shape.channels + c) * shape.height + y) * shape.width + x,
        Layout::Blocked => {
            (((n * shape.blocks(lanes) + c / lanes) * shape.height + y) * shape.width + x) * lanes + c % lanes
        }
    }
}

/// Calls `each` with every position of an image.
fn positions(shape: Shape, mut each: impl FnMut([usize; 4])) {
    for n in 0..shape.batch {
        for c in 0..shape.channels {
            for y in 0..shape.height {
                for x in 0..shape.width {
                    each([n, c, y, x]);
                }
            }
        }
    }
}

/// A convolution.
pub fn conv(
    lanes: usize,
    spec: &ConvSpec,
    (weights, bias, activation): (&[f32], &[f32], Activation),
    (input, shape): (&[f32], Shape),
    residual: Option<Residual<'_>>,
    (output, out_shape): (&mut [f32], Shape),
) {
    let window = &spec.window;
    let (inputs, outputs) = (spec.in_channels / spec.groups, spec.out_channels / spec.groups);
    output.fill(0.0);
    positions(out_shape, |[n, c, y, x]| {
        let mut sum = f64::from(bias[c]);
        for i in 0..inputs {
            let channel = c / outputs * inputs + i;
            for ky in 0..window.kernel[0] {
                let Some(row) = under(y, ky, 0, window, shape.height) else { continue };
                for kx in 0..window.kernel[1] {
                    let Some(column) = under(x, kx, 1, window, shape.width) else { continue };
                    let weight = weights[((c * inputs + i) * window.kernel[0] + ky) * window.kernel[1] + kx];
                    sum +=
                        f64::from(weight) * f64::from(input[at(spec.input, lanes, shape, [n, channel, row, column])]);
                }
            }
        }
        let out = at(Layout::Blocked, lanes, out_shape, [n, c, y, x]);
        let value = activation.apply(sum as f32);
        output[out] = residual.map_or(value, |r| r.after.apply(value + r.data[out]));
    });
}

/// A pool.
pub fn pool(
    lanes: usize,
    kind: PoolKind,
    window: &Window,
    (input, shape): (&[f32], Shape),
    (output, out_shape): (&mut [f32], Shape),
) {
    output.fill(0.0);
    positions(out_shape, |[n, c, y, x]| {
        let (mut sum, mut largest, mut count) = (0.0, f32::NEG_INFINITY, 0);
        for ky in 0..window.kernel[0] {
            for kx in 0..window.kernel[1] {
                let row = under(y, ky, 0, window, shape.height);
                let Some((row, column)) = row.zip(under(x, kx, 1, window, shape.width)) else { continue };
                let value = input[at(Layout::Blocked, lanes, shape, [n, c, row, column])];
                sum += value;
                largest = largest.max(value);
                count += 1;
            }
        }
        output[at(Layout::Blocked, lanes, out_shape, [n, c, y, x])] = match kind {
            PoolKind::Max => largest,
            PoolKind::Average { include_padding: true } => sum / window.taps() as f32,
            PoolKind::Average { include_padding: false } => sum / count as f32,
        };
    });
}
