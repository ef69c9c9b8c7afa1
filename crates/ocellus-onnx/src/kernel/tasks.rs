//! Spreading work over the threads of the current rayon pool.

use std::cell::Cell;

use super::buffer::Buffer;

/// Does `work` on each job, in up to `threads` tasks of neighbouring jobs (twice as many where there are enough jobs,
/// so that a thread that is late does not hold up the others).
pub fn for_each<J: Send>(threads: usize, jobs: &mut [J], work: &(impl Fn(&mut J) + Sync)) {
    if threads <= 1 || jobs.len() <= 1 {
        jobs.iter_mut().for_each(work);
    } else {
        halve(jobs.len().div_ceil(threads * 2), jobs, work);
    }
}

fn halve<J: Send>(share: usize, jobs: &mut [J], work: &(impl Fn(&mut J) + Sync)) {
    if jobs.len() <= share {
        jobs.iter_mut().for_each(work);
    } else {
        let shares = jobs.len().div_ceil(share);
        let (left, right) = jobs.split_at_mut(shares / 2 * share);
        rayon::join(|| halve(share, left, work), || halve(share, right, work));
    }
}

/// Into how many pieces each of `planes` is cut so that `threads` tasks have work.
pub fn pieces(threads: usize, planes: usize) -> usize {
    if threads <= 1 || planes >= threads * 4 { 1 } else { (threads * 4).div_ceil(planes.max(1)) }
}

/// Pixels of the output over which the weights of a convolution pass at a time.
pub const SEGMENT: usize = 96;

/// Into how many pieces of pixels each of `sets` sums of an image is cut: as few as give every thread the same, so that
/// weights pass over many pixels, and its own part of the picture where that is large, so that what it writes is in its
/// cache when the next step reads it.
pub fn pieces_of_pixels(threads: usize, sets: usize, pixels: usize) -> usize {
    /// Pixels under which a piece is not worth its task.
    const FEW: usize = 16;
    if threads <= 1 {
        return 1;
    }
    let most = pixels / SEGMENT;
    if most >= threads {
        return (threads * 2).min(most) / threads * threads;
    }
    let fair = (1..=threads).find(|pieces| sets * pieces >= threads * 4 || (sets * pieces).is_multiple_of(threads));
    fair.filter(|pieces| pixels / pieces >= FEW).unwrap_or(1)
}

/// Lends memory that is kept between runs; its values are whatever the last user left.
pub fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    thread_local! {
        static SCRATCH: Cell<Buffer> = Cell::new(Buffer::default());
    }
    // The memory is taken, not borrowed: while this thread waits for its tasks it may begin another kernel.
    let mut buffer = SCRATCH.take();
    buffer.resize(len);
    let result = work(&mut buffer);
    SCRATCH.set(buffer);
    result
}
