//! Between layouts, and channels from several images into one.

use super::simd::{Kernel, Simd};
use super::{Isa, KernelError, Shape, expect_len, tasks};

/// Pixels that are gathered at a time.
const TILE: usize = 32;

/// Where a channel of a gathered image comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channel {
    /// Which of the source images.
    pub source: usize,
    /// Which of its channels.
    pub channel: usize,
}

/// `[N, C, H, W]` to blocked; lanes beyond the last channel are set to zero.
///
/// # Errors
/// [`KernelError::Length`] for slices that do not fit `shape`.
pub fn to_blocked(isa: Isa, input: &[f32], shape: Shape, out: &mut [f32], threads: usize) -> Result<(), KernelError> {
    let lanes = isa.lanes();
    expect_len("the planar image", shape.planar_len(), input.len())?;
    expect_len("the blocked image", shape.blocked_len(lanes), out.len())?;
    isa.dispatch(Move { what: What::FromPlanar, input, shape, out, threads });
    Ok(())
}

/// Blocked to `[N, C, H, W]`.
///
/// # Errors
/// [`KernelError::Length`] for slices that do not fit `shape`.
pub fn to_planar(isa: Isa, input: &[f32], shape: Shape, out: &mut [f32], threads: usize) -> Result<(), KernelError> {
    let lanes = isa.lanes();
    expect_len("the blocked image", shape.blocked_len(lanes), input.len())?;
    expect_len("the planar image", shape.planar_len(), out.len())?;
    isa.dispatch(Move { what: What::ToPlanar, input, shape, out, threads });
    Ok(())
}

/// Blocked to `[N, H, W, C]`.
///
/// # Errors
/// [`KernelError::Length`] for slices that do not fit `shape`.
pub fn to_channels_last(
    isa: Isa,
    input: &[f32],
    shape: Shape,
    out: &mut [f32],
    threads: usize,
) -> Result<(), KernelError> {
    let lanes = isa.lanes();
    expect_len("the blocked image", shape.blocked_len(lanes), input.len())?;
    expect_len("the image", shape.planar_len(), out.len())?;
    isa.dispatch(Move { what: What::ToChannelsLast, input, shape, out, threads });
    Ok(())
}

enum What {
    FromPlanar,
    ToPlanar,
    ToChannelsLast,
}

struct Move<'a> {
    what: What,
    input: &'a [f32],
    shape: Shape,
    out: &'a mut [f32],
    threads: usize,
}

impl Kernel for Move<'_> {
    type Output = ();
    fn run<const B: usize, S: Simd<B>>(self, _: S) {
        let Self { what, input, shape, out, threads } = self;
        let (pixels, image) = (shape.pixels().max(1), (shape.channels * shape.pixels()).max(1));
        match what {
            What::FromPlanar => {
                let blocks = input.chunks(image).flat_map(|image| image.chunks(B * pixels));
                let mut jobs: Vec<_> = out.as_chunks_mut::<B>().0.chunks_mut(pixels).zip(blocks).collect();
                tasks::for_each(threads, &mut jobs, &|(out, rows)| interleave(rows, out));
            }
            What::ToPlanar => {
                let planes = input.as_chunks::<B>().0.chunks(pixels);
                let outs = out.chunks_mut(image).flat_map(|image| image.chunks_mut(B * pixels));
                let mut jobs: Vec<_> = outs.zip(planes).collect();
                tasks::for_each(threads, &mut jobs, &|(out, plane)| deinterleave(plane, out));
            }
            What::ToChannelsLast => {
                let images = input.as_chunks::<B>().0.chunks((pixels * shape.blocks(B)).max(1));
                let mut jobs: Vec<_> = Vec::new();
                for (out, image) in out.chunks_mut(image).zip(images) {
                    let share = pixels.div_ceil(tasks::pieces(threads, shape.batch));
                    for (i, out) in out.chunks_mut(share * shape.channels).enumerate() {
                        jobs.push((out, image, i * share));
                    }
                }
                tasks::for_each(threads, &mut jobs, &|(out, image, first)| {
                    for (pixel, out) in (*first..).zip(out.chunks_exact_mut(shape.channels)) {
                        for (out, plane) in out.chunks_mut(B).zip(image.chunks_exact(pixels)) {
                            match out.first_chunk_mut::<B>() {
                                Some(whole) => *whole = plane[pixel],
                                None => out.copy_from_slice(&plane[pixel][..out.len()]),
                            }
                        }
                    }
                });
            }
        }
    }
}

/// Rows of up to `B` channels to one plane of blocks.
fn interleave<const B: usize>(rows: &[f32], plane: &mut [[f32; B]]) {
    let pixels = plane.len();
    let channels = rows.len() / pixels;
    if channels < B {
        plane.fill([0.0; B]);
    }
    for (start, tile) in (0..pixels).step_by(B).zip(plane.chunks_mut(B)) {
        for (lane, row) in rows.chunks_exact(pixels).enumerate().take(B) {
            for (out, value) in tile.iter_mut().zip(&row[start..]) {
                out[lane] = *value;
            }
        }
    }
}

/// One plane of blocks to rows of up to `B` channels.
fn deinterleave<const B: usize>(plane: &[[f32; B]], rows: &mut [f32]) {
    let pixels = plane.len();
    for (start, tile) in (0..pixels).step_by(B).zip(plane.chunks(B)) {
        for (lane, row) in rows.chunks_exact_mut(pixels).enumerate().take(B) {
            for (out, value) in row[start..].iter_mut().zip(tile) {
                *out = value[lane];
            }
        }
    }
}

/// Makes a blocked image of channels of other blocked images of the same batch and size: concatenation, slices,
/// splits and shuffles of channels. Each source is given with its number of channels; whole blocks that stay
/// together are copied as such.
///
/// # Errors
/// [`KernelError::Length`] for slices that do not fit, [`KernelError::Unsupported`] for a channel that no source
/// has.
pub fn gather_channels(
    isa: Isa,
    sources: &[(&[f32], usize)],
    channels: &[Channel],
    (batch, height, width): (usize, usize, usize),
    out: &mut [f32],
    threads: usize,
) -> Result<(), KernelError> {
    let lanes = isa.lanes();
    let shape = Shape::new(batch, channels.len(), height, width);
    for (data, count) in sources {
        expect_len("a source", Shape { channels: *count, ..shape }.blocked_len(lanes), data.len())?;
    }
    expect_len("the gathered image", shape.blocked_len(lanes), out.len())?;
    if channels.iter().any(|c| sources.get(c.source).is_none_or(|(_, count)| c.channel >= *count)) {
        return Err(KernelError::Unsupported { what: "a channel that no source has".into() });
    }
    isa.dispatch(Gather { sources, channels, shape, out, threads });
    Ok(())
}

struct Gather<'a> {
    sources: &'a [(&'a [f32], usize)],
    channels: &'a [Channel],
    shape: Shape,
    out: &'a mut [f32],
    threads: usize,
}

impl Kernel for Gather<'_> {
    type Output = ();
    fn run<const B: usize, S: Simd<B>>(self, _: S) {
        let Self { sources, channels, shape, out, threads } = self;
        let (pixels, blocks) = (shape.pixels(), shape.blocks(B));
        let planes = out.as_chunks_mut::<B>().0.chunks_exact_mut(pixels.max(1));
        let mut jobs: Vec<_> = planes.enumerate().collect();
        tasks::for_each(threads, &mut jobs, &|(index, out)| {
            let (image, block) = (*index / blocks, *index % blocks);
            let channels = &channels[block * B..channels.len().min((block + 1) * B)];
            let plane = |channel: &Channel| {
                let (data, count) = sources[channel.source];
                let plane = image * count.div_ceil(B) + channel.channel / B;
                &data.as_chunks::<B>().0[plane * pixels..][..pixels]
            };
            let whole = channels.iter().zip(0..).all(|(c, lane)| {
                c.source == channels[0].source && c.channel % B == lane && c.channel / B == channels[0].channel / B
            });
            if whole {
                out.copy_from_slice(plane(&channels[0]));
                return;
            }
            if channels.len() < B {
                out.fill([0.0; B]);
            }
            // A few pixels at a time stay in the first-level cache while the lanes are filled one by one.
            for (start, out) in (0..pixels).step_by(TILE).zip(out.chunks_mut(TILE)) {
                for (lane, channel) in channels.iter().enumerate().take(B) {
                    let from = channel.channel % B;
                    for (out, pixel) in out.iter_mut().zip(&plane(channel)[start..]) {
                        out[lane] = pixel[from];
                    }
                }
            }
        });
    }
}
