//! Dense convolutions of large padded images, strip by strip.
//!
//! A task takes some rows of the output, copies the rows of the input that they need between borders of zeros, and
//! computes all output channels of them. The copy stays in the second-level cache; that of a whole image would not.

use super::ConvSpec;
use super::dense::{Call, Dense, Frame, Geometry, Job, Piece, pad};
use super::tile::MAX_BLOCKS;
use crate::kernel::simd::Simd;
use crate::kernel::{Shape, tasks};

/// Bytes of a strip's input, about a tenth of the second-level cache of a server's core.
const STRIP: usize = 128 << 10;

/// Rows of a strip of the output; none where strips would be too few or too small.
///
/// `row` is the length in bytes of a row of the padded input, all channels.
pub(super) fn rows(spec: &ConvSpec, row: usize, out: Shape, threads: usize) -> Option<usize> {
    let fit = (STRIP / row.max(1)).checked_sub(reach(spec))? / spec.window.stride[0] + 1;
    let count = out.height.div_ceil(fit).max(if threads > 1 { threads * 2 } else { 1 });
    let count = count.min(out.pixels() / tasks::SEGMENT) / threads.max(1) * threads.max(1);
    (count >= 2).then(|| out.height.div_ceil(count))
}

/// Rows of the input under the window.
fn reach(spec: &ConvSpec) -> usize {
    (spec.window.kernel[0] - 1) * spec.window.dilation[0] + 1
}

/// Some rows of one image's output.
pub(super) struct Strip<'o, const B: usize> {
    pub(super) image: usize,
    pub(super) row: usize,
    /// The rows of each block of channels.
    pub(super) out: Vec<&'o mut [[f32; B]]>,
}

/// Convolves in strips of this many rows.
pub(super) fn run<const L: usize, const B: usize, S: Simd<B>>(s: S, dense: &Dense, call: Call<'_>, rows: usize) {
    let ((input, shape), (output, out_shape)) = (call.input, call.output);
    let window = dense.spec.window;
    let [_, left, _, right] = window.padding;
    let width = shape.width + left + right;
    let plane = ((rows - 1) * window.stride[0] + reach(&dense.spec)) * width;
    let planes = if L == 1 { shape.channels } else { shape.blocks(B) };
    let geometry = Geometry::new::<L, B>(&dense.spec, (width, plane), out_shape);
    let residual = call.residual.map(|r| (r.data.as_chunks::<B>().0, r.after));
    let (input, (out, _)) = (input.as_chunks::<L>().0, output.as_chunks_mut::<B>());
    let mut strips = cut(out, out_shape, rows);
    tasks::for_each(call.threads, &mut strips, &|strip| {
        tasks::with_scratch(planes * plane * L, |scratch| {
            let pixels = scratch.as_chunks_mut::<L>().0;
            let images = input.chunks_exact(shape.pixels()).skip(strip.image * planes);
            for (to, from) in pixels.chunks_exact_mut(plane).zip(images) {
                pad(to, width, from, shape.width, strip.row * window.stride[0], window.padding);
            }
            let frame = Frame { pixels, image: strip.image, planes, plane };
            for set in &dense.sets {
                let mut out: [&mut [[f32; B]]; MAX_BLOCKS] = Default::default();
                let blocks = strip.out.iter_mut().skip(set.block).take(set.blocks);
                for (slot, block) in out.iter_mut().zip(blocks) {
                    *slot = block;
                }
                let top = strip.row * out_shape.width;
                let mut job = Job { image: strip.image, set: *set, start: top, top, out };
                let piece = Piece { dense, frame: &frame, geometry: &geometry, residual, job: &mut job };
                s.vectorize(piece);
            }
        });
    });
}

/// Cuts an output into strips of this many rows.
pub(super) fn cut<const B: usize>(out: &mut [[f32; B]], shape: Shape, rows: usize) -> Vec<Strip<'_, B>> {
    let blocks = shape.blocks(B);
    let mut strips = Vec::new();
    for image in 0..shape.batch {
        let starts = (0..shape.height).step_by(rows);
        strips.extend(starts.map(|row| Strip { image, row, out: Vec::with_capacity(blocks) }));
    }
    let each = shape.height.div_ceil(rows);
    for (plane, out) in out.chunks_exact_mut(shape.pixels()).enumerate() {
        let strips = strips.iter_mut().skip(plane / blocks * each);
        for (strip, rows) in strips.zip(out.chunks_mut(rows * shape.width)) {
            strip.out.push(rows);
        }
    }
    strips
}
