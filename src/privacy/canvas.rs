//! Making parts of a picture unrecognisable, on its pixels.

use crate::config::Method;
use crate::detection::Rect;
use crate::frame::{Image, PixelFormat};
use crate::gpu::{Gpu, Redaction};
use crate::model::preprocess::to_rgb8;
use crate::scene::geometry::Polygon;

/// Squares along the longer side of what is pixelated.
const SQUARES: usize = 8;
/// The smallest square, in pixels, so that small things don't keep their pixels.
const SQUARE: usize = 6;
/// The radius of the blur is this part of the longer side.
const BLUR: usize = 6;
/// Pixels a side that are turned at a time, so that they stay in the cache.
const TILE: usize = 32;
/// Passes of a box filter that come near to a Gaussian blur.
const PASSES: usize = 3;
/// Pixels from which on a piece is worth the way to the GPU and back.
const WORTH: usize = 1 << 16;

/// A picture that is changed in place.
#[derive(Debug, Clone)]
pub(super) struct Canvas {
    width: usize,
    height: usize,
    /// Red, green and blue of each pixel.
    pixels: Vec<[u8; 3]>,
    /// Where large pieces are changed, if not here.
    gpu: Option<Gpu>,
}

/// Pixels from the first to before the second, across and down. Never empty, and inside its picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) x: (usize, usize),
    pub(super) y: (usize, usize),
}

impl Area {
    fn width(&self) -> usize {
        self.x.1 - self.x.0
    }

    fn height(&self) -> usize {
        self.y.1 - self.y.0
    }
}

impl Canvas {
    pub(super) fn of(image: &Image) -> Self {
        let rgb = to_rgb8(image);
        let (pixels, _) = rgb.pixels().as_chunks::<3>();
        Self { width: rgb.width() as usize, height: rgb.height() as usize, pixels: pixels.to_vec(), gpu: None }
    }

    /// Has large pieces changed on a GPU, which gives the same pixels.
    pub(super) fn on(self, gpu: Option<Gpu>) -> Self {
        Self { gpu, ..self }
    }

    /// The picture as it is now.
    pub(super) fn image(&self) -> Option<Image> {
        let side = |pixels: usize| u32::try_from(pixels).ok();
        Image::new(side(self.width)?, side(self.height)?, PixelFormat::Rgb8, self.pixels.as_flattened().to_vec().into())
            .ok()
    }

    /// The pixels that a rectangle touches, after it was made larger by a share of its size on each side. None where it
    /// lies outside or isn't made of numbers.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub(super) fn area(&self, rect: Rect, margin: f32) -> Option<Area> {
        let span = |start: f32, size: f32, pixels: usize| {
            let (from, to) = (start - size * margin, start + size * (1.0 + margin));
            let from = (from * pixels as f32).floor().max(0.0) as usize;
            let to = (to * pixels as f32).ceil().max(0.0) as usize;
            let to = to.min(pixels);
            (from < to).then_some((from, to))
        };
        if [rect.x, rect.y, rect.w, rect.h].iter().any(|v| !v.is_finite()) {
            return None;
        }
        Some(Area { x: span(rect.x, rect.w, self.width)?, y: span(rect.y, rect.h, self.height)? })
    }

    /// An area as fractions of the picture.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn fractions(&self, area: Area) -> Rect {
        let (width, height) = (self.width as f32, self.height as f32);
        Rect {
            x: area.x.0 as f32 / width,
            y: area.y.0 as f32 / height,
            w: area.width() as f32 / width,
            h: area.height() as f32 / height,
        }
    }

    /// Makes an area unrecognisable.
    pub(super) fn obscure(&mut self, area: Area, method: Method) {
        let changed = self.obscured(area, method);
        for (to, from) in self.rows_mut(area).zip(changed.chunks(area.width())) {
            to.copy_from_slice(from);
        }
    }

    /// Makes what is inside a polygon, of fractions of the picture, unrecognisable.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn obscure_polygon(&mut self, points: &[[f64; 2]], method: Method) {
        let Some(area) = bounds(points).and_then(|rect| self.area(rect, 0.0)) else { return };
        let polygon = Polygon::new(points);
        let (width, height) = (self.width as f64, self.height as f64);
        let changed = self.obscured(area, method);
        let rows = self.rows_mut(area).zip(changed.chunks(area.width())).zip(area.y.0..);
        for ((to, from), y) in rows {
            for ((to, from), x) in to.iter_mut().zip(from).zip(area.x.0..) {
                // A pixel that is inside only in part counts as inside: each corner is asked.
                let corners = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.5, 0.5)];
                let at = |(dx, dy): (f64, f64)| [(x as f64 + dx) / width, (y as f64 + dy) / height];
                if corners.into_iter().any(|corner| polygon.contains(at(corner))) {
                    *to = *from;
                }
            }
        }
    }

    /// Keeps an area and forgets the rest.
    pub(super) fn crop(&mut self, area: Area) {
        let kept: Vec<[u8; 3]> = self.rows(area).flatten().copied().collect();
        (self.width, self.height, self.pixels) = (area.width(), area.height(), kept);
    }

    /// An area's pixels, made unrecognisable.
    fn obscured(&self, area: Area, method: Method) -> Vec<[u8; 3]> {
        let (width, longer) = (area.width(), area.width().max(area.height()));
        let mut pixels: Vec<[u8; 3]> = self.rows(area).flatten().copied().collect();
        let (square, radius) = (longer.div_ceil(SQUARES).max(SQUARE), longer.div_ceil(BLUR).max(SQUARE));
        if let Some(changed) = self.on_gpu(&pixels, width, method, (square, radius)) {
            return changed;
        }
        match method {
            Method::Fill => pixels.fill([0; 3]),
            Method::Pixelate => pixelate(&mut pixels, width, square),
            Method::Blur => blur(&mut pixels, width, radius),
        }
        pixels
    }

    /// The same on the GPU; none where there is none, or where it fails.
    fn on_gpu(
        &self,
        pixels: &[[u8; 3]],
        width: usize,
        method: Method,
        (square, radius): (usize, usize),
    ) -> Option<Vec<[u8; 3]>> {
        let gpu = self.gpu.as_ref().filter(|_| pixels.len() >= WORTH)?;
        let number = |n: usize| u32::try_from(n).ok();
        let how = match method {
            Method::Fill => return None,
            Method::Pixelate => Redaction::Pixelate { square: number(square)? },
            Method::Blur => Redaction::Blur { radius: number(radius)?, passes: number(PASSES)? },
        };
        let changed = gpu.redact(pixels, number(width)?, how);
        changed.inspect_err(|error| tracing::debug!(%error, "A piece of a frame is redacted on the CPU.")).ok()
    }

    fn rows(&self, area: Area) -> impl Iterator<Item = &[[u8; 3]]> {
        let rows = self.pixels.chunks(self.width).take(area.y.1).skip(area.y.0);
        rows.filter_map(move |row| row.get(area.x.0..area.x.1))
    }

    fn rows_mut(&mut self, area: Area) -> impl Iterator<Item = &mut [[u8; 3]]> {
        let rows = self.pixels.chunks_mut(self.width).take(area.y.1).skip(area.y.0);
        rows.filter_map(move |row| row.get_mut(area.x.0..area.x.1))
    }
}

/// The smallest rectangle around points.
#[allow(clippy::cast_possible_truncation)]
fn bounds(points: &[[f64; 2]]) -> Option<Rect> {
    let least = |axis: usize| points.iter().map(|point| point[axis]).reduce(f64::min);
    let most = |axis: usize| points.iter().map(|point| point[axis]).reduce(f64::max);
    let (x, y) = (least(0)?, least(1)?);
    let (w, h) = (most(0)? - x, most(1)? - y);
    Some(Rect::from([x, y, w, h].map(|v| v as f32)))
}

/// Gives each square of pixels its mean.
fn pixelate(pixels: &mut [[u8; 3]], width: usize, square: usize) {
    for band in pixels.chunks_mut(width * square) {
        for left in (0..width).step_by(square) {
            let columns = left..(left + square).min(width);
            let (mut sums, mut count) = ([0_u64; 3], 0_u64);
            for pixel in band.chunks(width).filter_map(|row| row.get(columns.clone())).flatten() {
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += u64::from(*value);
                }
                count += 1;
            }
            let mean = sums.map(|sum| u8::try_from(sum / count.max(1)).unwrap_or(u8::MAX));
            for row in band.chunks_mut(width) {
                if let Some(inside) = row.get_mut(columns.clone()) {
                    inside.fill(mean);
                }
            }
        }
    }
}

/// Blurs down and then across, several times each.
fn blur(pixels: &mut Vec<[u8; 3]>, width: usize, radius: usize) {
    let height = pixels.len() / width.max(1);
    smooth(pixels, width, radius);
    let mut turned = transposed(pixels, width);
    smooth(&mut turned, height, radius);
    *pixels = transposed(&turned, height);
}

/// Columns as rows, a tile after the other.
fn transposed(pixels: &[[u8; 3]], width: usize) -> Vec<[u8; 3]> {
    let height = pixels.len() / width.max(1);
    let mut turned = vec![[0; 3]; pixels.len()];
    for top in (0..height).step_by(TILE) {
        for (x, column) in turned.chunks_exact_mut(height).enumerate() {
            let part = column.iter_mut().skip(top).take(TILE);
            for (to, row) in part.zip(pixels.chunks_exact(width).skip(top)) {
                *to = row.get(x).copied().unwrap_or_default();
            }
        }
    }
    turned
}

/// Gives each pixel, several times, the mean of those within a radius above and below it; beyond the edges the outermost
/// row goes on. A row is done at once, so that compilers make vectors of it.
fn smooth(pixels: &mut [[u8; 3]], width: usize, radius: usize) {
    let stride = width.max(1) * 3;
    let mut source = Vec::new();
    let mut sums = vec![0_i32; stride];
    for _ in 0..PASSES {
        source.clear();
        source.extend_from_slice(pixels.as_flattened());
        let last = (source.len() / stride).saturating_sub(1);
        let row = |i: usize| {
            let from = i.saturating_sub(radius).min(last) * stride;
            source.get(from..from + stride).unwrap_or_default()
        };
        sums.fill(0);
        for i in 0..=2 * radius {
            for (sum, value) in sums.iter_mut().zip(row(i)) {
                *sum += i32::from(*value);
            }
        }
        let mean = Mean::of(2 * radius + 1);
        for (i, to) in pixels.as_flattened_mut().chunks_exact_mut(stride).enumerate() {
            let (leaves, comes) = (row(i), row(i + 2 * radius + 1));
            for (((to, sum), leaves), comes) in to.iter_mut().zip(&mut sums).zip(leaves).zip(comes) {
                *to = mean.of_sum(*sum);
                *sum += i32::from(*comes) - i32::from(*leaves);
            }
        }
    }
}

/// The nearest whole number to the mean of an odd number of bytes, without a division: added to `WHOLE` a number loses its
/// fraction. Exact for up to 16,000 of them, since no mean is nearer to a half than half a share, and products are off by
/// less.
struct Mean {
    share: f32,
}

impl Mean {
    /// 1.5 * 2^23: floats of this size are whole numbers, and the lowest byte of their bits counts on from zero.
    const WHOLE: f32 = 12_582_912.0;

    #[allow(clippy::cast_precision_loss)]
    fn of(count: usize) -> Self {
        Self { share: 1.0 / count as f32 }
    }

    #[allow(clippy::cast_precision_loss)]
    fn of_sum(&self, sum: i32) -> u8 {
        (sum as f32 * self.share + Self::WHOLE).to_bits().to_le_bytes()[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise, so that each pixel differs from its neighbours.
    fn noise(width: u32, height: u32) -> Canvas {
        let mut random = crate::random::Random(7);
        let bytes: Vec<u8> =
            (0..width * height * 3).map(|_| u8::try_from(random.below(256)).expect("a byte")).collect();
        Canvas::of(&Image::new(width, height, PixelFormat::Rgb8, bytes.into()).expect("a picture"))
    }

    fn rect(values: [f32; 4]) -> Rect {
        Rect::from(values)
    }

    fn changed(before: &Canvas, after: &Canvas) -> Vec<(usize, usize)> {
        let all = before.pixels.iter().zip(&after.pixels).enumerate();
        all.filter(|(_, (a, b))| a != b).map(|(i, _)| (i % before.width, i / before.width)).collect()
    }

    #[test]
    fn each_method_changes_the_area_and_nothing_else() {
        let before = noise(64, 48);
        let area = before.area(rect([0.25, 0.25, 0.5, 0.5]), 0.0).expect("inside");
        assert_eq!(area, Area { x: (16, 48), y: (12, 36) });
        for method in [Method::Fill, Method::Pixelate, Method::Blur] {
            let mut after = before.clone();
            after.obscure(area, method);
            let changed = changed(&before, &after);
            assert!(changed.iter().all(|(x, y)| (16..48).contains(x) && (12..36).contains(y)), "{method:?}");
            // Now and then a pixel happens to have its neighbours' mean.
            assert!(changed.len() > 32 * 24 * 95 / 100, "{method:?}: {}", changed.len());
        }
    }

    #[test]
    fn what_is_left_has_the_mean_and_little_else() {
        let spread = |canvas: &Canvas| {
            let values: Vec<f64> = canvas.pixels.iter().map(|pixel| f64::from(pixel[0])).collect();
            #[allow(clippy::cast_precision_loss)]
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            #[allow(clippy::cast_precision_loss)]
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
            (mean, variance.sqrt())
        };
        let before = noise(96, 96);
        let area = before.area(Rect::FULL, 0.0).expect("all");
        for (method, most) in [(Method::Pixelate, 10.0), (Method::Blur, 6.0)] {
            let mut after = before.clone();
            after.obscure(area, method);
            let ((mean, _), (kept, deviation)) = (spread(&before), spread(&after));
            assert!((mean - kept).abs() < 4.0, "{method:?}: {mean} {kept}");
            assert!(deviation < most, "{method:?}: {deviation}");
        }
    }

    #[test]
    fn small_things_keep_no_pixels() {
        for method in [Method::Pixelate, Method::Blur] {
            let before = noise(12, 6);
            let mut after = before.clone();
            after.obscure(before.area(Rect::FULL, 0.0).expect("all"), method);
            let kinds: std::collections::BTreeSet<_> = after.pixels.iter().collect();
            assert!(method == Method::Blur || kinds.len() == 2, "{}", kinds.len());
            assert!(changed(&before, &after).len() > 66, "{method:?}");
        }
    }

    /// The blur as it is defined, pixel by pixel and with divisions.
    fn defined(canvas: &Canvas, radius: usize) -> Vec<[u8; 3]> {
        let (width, height) = (canvas.width, canvas.pixels.len() / canvas.width);
        let near = |at: usize, of: usize| (at..=at + 2 * radius).map(move |i| i.saturating_sub(radius).min(of - 1));
        let mean = |pixels: Vec<[u8; 3]>| {
            let count = pixels.len();
            [0, 1, 2].map(|channel| {
                let sum: usize = pixels.iter().map(|pixel| usize::from(pixel[channel])).sum();
                u8::try_from((2 * sum + count) / (2 * count)).expect("a byte")
            })
        };
        let mut now = canvas.pixels.clone();
        let places = || (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        for _ in 0..PASSES {
            now = places().map(|(x, y)| mean(near(y, height).map(|y| now[y * width + x]).collect())).collect();
        }
        for _ in 0..PASSES {
            now = places().map(|(x, y)| mean(near(x, width).map(|x| now[y * width + x]).collect())).collect();
        }
        now
    }

    #[test]
    fn the_blur_is_that_of_its_definition() {
        for (width, height, radius) in [(40, 25, 7), (7, 90, 15), (33, 1, 6), (1, 70, 12), (65, 34, 6), (1, 1, 6)] {
            let before = noise(width, height);
            let mut after = before.pixels.clone();
            blur(&mut after, before.width, radius);
            assert_eq!(after, defined(&before, radius), "{width} x {height}, {radius}");
        }
    }

    /// Sums are looked at where a mean is nearest to a half and to a whole number, for radii up to those of huge pictures.
    #[test]
    fn means_are_exact() {
        for count in (1..1000).chain([4_001, 8_191, 15_999]).filter(|count| count % 2 == 1) {
            let mean = Mean::of(usize::try_from(count).expect("small"));
            for whole in 0..255 {
                for sum in [whole * count, whole * count + count / 2, whole * count + count / 2 + 1] {
                    assert_eq!(i32::from(mean.of_sum(sum)), (2 * sum + count) / (2 * count), "{sum} / {count}");
                }
            }
            assert_eq!(mean.of_sum(255 * count), 255);
        }
    }

    #[test]
    fn a_gpu_gives_the_same_pixels() {
        let Some(gpu) = crate::gpu::tests::device() else { return };
        // As long as it is not at least this large, it stays here.
        let small = noise(255, 256);
        let all = small.area(Rect::FULL, 0.0).expect("all");
        assert!(small.clone().on(Some(gpu.clone())).on_gpu(&small.pixels, 255, Method::Blur, (9, 9)).is_none());
        assert_eq!(small.obscured(all, Method::Fill), [[0; 3]; 255 * 256]);
        for (width, height) in [(256, 256), (641, 360), (97, 1500), (16_384, 4), (4, 16_384)] {
            let here = noise(width, height);
            let there = here.clone().on(Some(gpu.clone()));
            for (method, square, radius) in
                [(Method::Pixelate, 6, 0), (Method::Pixelate, 81, 0), (Method::Blur, 0, 6), (Method::Blur, 0, 251)]
            {
                let mut want = here.pixels.clone();
                match method {
                    Method::Pixelate => pixelate(&mut want, here.width, square),
                    _ => blur(&mut want, here.width, radius),
                }
                let got = there.on_gpu(&here.pixels, here.width, method, (square, radius)).expect("it is large");
                assert!(got == want, "{width} x {height}, {method:?}, {square}, {radius}");
            }
        }
    }

    #[test]
    #[ignore = "ends the process's device; run alone by the test below"]
    fn goes_on_without_its_device() {
        let here = noise(300, 300);
        let area = here.area(Rect::FULL, 0.0).expect("all");
        let brush = super::super::brush::Brush::new(crate::config::DeviceChoice::GpuSoftware);
        let gpu = brush.gpu().expect("a device");
        let there = here.clone().on(Some(gpu.clone()));
        assert!(there.on_gpu(&here.pixels, 300, Method::Blur, (9, 9)).is_some());
        gpu.destroy();
        assert!(there.on_gpu(&here.pixels, 300, Method::Blur, (9, 9)).is_none());
        assert_eq!(there.obscured(area, Method::Blur), here.obscured(area, Method::Blur));
        // The next picture finds a device of its own.
        let again = here.clone().on(brush.gpu());
        assert!(again.on_gpu(&here.pixels, 300, Method::Blur, (9, 9)).is_some());
    }

    #[test]
    fn frames_are_redacted_while_the_gpu_is_gone() {
        if crate::gpu::tests::device().is_some() {
            crate::gpu::tests::alone("privacy::canvas::tests::goes_on_without_its_device");
        }
    }

    #[test]
    fn a_polygon_is_filled_to_its_edges_and_not_beyond() {
        let before = noise(40, 40);
        let mut after = before.clone();
        after.obscure_polygon(&[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], Method::Fill);
        for (i, pixel) in after.pixels.iter().enumerate() {
            let (x, y) = (i % 40, i / 40);
            if x + y <= 39 {
                assert_eq!(*pixel, [0; 3], "{x} {y}");
            } else if x + y > 40 {
                assert_eq!(*pixel, before.pixels[i], "{x} {y}");
            }
        }
    }

    #[test]
    fn boxes_are_clipped_and_nonsense_is_none() {
        let canvas = noise(10, 10);
        assert_eq!(canvas.area(rect([-0.5, 0.8, 3.0, 3.0]), 0.5), Some(Area { x: (0, 10), y: (0, 10) }));
        for nothing in
            [[f32::NAN, 0.0, 1.0, 1.0], [2.0, 0.0, 0.1, 0.1], [0.0, -1.0, 1.0, 0.5], [0.0, 0.0, f32::INFINITY, 1.0]]
        {
            assert_eq!(canvas.area(rect(nothing), 0.0), None, "{nothing:?}");
        }
    }

    #[test]
    fn a_crop_is_that_part() {
        let before = noise(20, 10);
        let mut after = before.clone();
        after.crop(Area { x: (5, 8), y: (2, 4) });
        let image = after.image().expect("a picture");
        assert_eq!((image.width(), image.height()), (3, 2));
        assert_eq!(after.pixels, [&before.pixels[45..48], &before.pixels[65..68]].concat());
    }
}
