//! Between layouts, and channels from several images into one.

use super::{Isa, KernelError, Shape, expect_len};

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
    let _ = threads;
    let (pixels, blocks) = (shape.pixels(), shape.blocks(lanes));
    for (i, out) in out.iter_mut().enumerate() {
        let (lane, pixel, block, image) =
            (i % lanes, i / lanes % pixels, i / lanes / pixels % blocks, i / lanes / pixels / blocks);
        let channel = block * lanes + lane;
        *out = if channel < shape.channels { input[(image * shape.channels + channel) * pixels + pixel] } else { 0.0 };
    }
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
    let _ = threads;
    let (pixels, blocks) = (shape.pixels(), shape.blocks(lanes));
    for (i, out) in out.iter_mut().enumerate() {
        let (pixel, channel, image) = (i % pixels, i / pixels % shape.channels, i / pixels / shape.channels);
        *out = input[((image * blocks + channel / lanes) * pixels + pixel) * lanes + channel % lanes];
    }
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
    let _ = threads;
    let (pixels, blocks) = (shape.pixels(), shape.blocks(lanes));
    for (i, out) in out.iter_mut().enumerate() {
        let (channel, pixel, image) = (i % shape.channels, i / shape.channels % pixels, i / shape.channels / pixels);
        *out = input[((image * blocks + channel / lanes) * pixels + pixel) * lanes + channel % lanes];
    }
    Ok(())
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
    let _ = threads;
    let (pixels, blocks) = (shape.pixels(), shape.blocks(lanes));
    for (i, out) in out.iter_mut().enumerate() {
        let (lane, pixel, block, image) =
            (i % lanes, i / lanes % pixels, i / lanes / pixels % blocks, i / lanes / pixels / blocks);
        *out = channels.get(block * lanes + lane).map_or(0.0, |from| {
            let (data, count) = sources[from.source];
            let plane = image * count.div_ceil(lanes) + from.channel / lanes;
            data[(plane * pixels + pixel) * lanes + from.channel % lanes]
        });
    }
    Ok(())
}
