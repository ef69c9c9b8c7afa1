//! The stage against its definition, computed the slow way, and against OpenCV.

use super::*;
use crate::frame::YuvMatrix;
use crate::model::input::Channels;

const FORMATS: [PixelFormat; 4] = [PixelFormat::Rgb8, PixelFormat::Yuyv, PixelFormat::Nv12, PixelFormat::I420];
const LETTERBOXES: [Letterbox; 4] = [Letterbox::TopLeft, Letterbox::Center, Letterbox::Stretch, Letterbox::Crop];

/// A generator of test values (xorshift64*), the same on every run.
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn below(&mut self, n: u32) -> u32 {
        ((self.next() >> 33) % u64::from(n)) as u32
    }

    pub(crate) fn image(&mut self, width: u32, height: u32, format: PixelFormat) -> Image {
        let width = if format == PixelFormat::Yuyv { width.next_multiple_of(2) } else { width };
        let bytes: Vec<u8> = (0..format.bytes(width, height)).map(|_| (self.next() >> 56) as u8).collect();
        let matrix = [YuvMatrix::Bt601, YuvMatrix::Bt709, YuvMatrix::Jpeg][self.below(3) as usize];
        Image::new(width, height, format, bytes.into()).unwrap().with_matrix(matrix)
    }

    pub(crate) fn spec(&mut self, letterbox: Letterbox) -> InputSpec {
        let unit = |r: &mut Self| r.below(1000) as f32 / 1000.0;
        let normalise = Normalise {
            channels: if self.below(2) == 0 { Channels::Rgb } else { Channels::Bgr },
            scale: [1.0, 1.0 / 255.0][self.below(2) as usize],
            mean: [unit(self), unit(self), unit(self)],
            std: [0.2 + unit(self), 0.2 + unit(self), 57.375],
            pad: self.below(256) as f32,
        };
        let (width, height) = (1 + self.below(48), 1 + self.below(48));
        InputSpec { width, height, letterbox, resize_short: 1 + self.below(64), normalise }
    }
}

/// The source pixel as red, green, blue, in 0..=255 but not rounded.
fn rgb_at(image: &Image, x: usize, y: usize) -> [f64; 3] {
    let (w, h) = (image.width() as usize, image.height() as usize);
    let (half_w, half_h) = (w.div_ceil(2), h.div_ceil(2));
    let p = image.pixels();
    let (luma, u, v) = match image.format() {
        PixelFormat::Rgb8 => return [0, 1, 2].map(|c| f64::from(p[(y * w + x) * 3 + c])),
        PixelFormat::Yuyv => {
            let pair = y * half_w * 4 + x / 2 * 4;
            (p[pair + x % 2 * 2], p[pair + 1], p[pair + 3])
        }
        PixelFormat::Nv12 => {
            let uv = w * h + y / 2 * half_w * 2 + x / 2 * 2;
            (p[y * w + x], p[uv], p[uv + 1])
        }
        PixelFormat::I420 => {
            let at = y / 2 * half_w + x / 2;
            (p[y * w + x], p[w * h + at], p[w * h + half_w * half_h + at])
        }
    };
    let [y_offset, y_gain, v_to_r, u_to_g, v_to_g, u_to_b] = image.matrix().coefficients().map(f64::from);
    let luma = y_gain * (f64::from(luma) - y_offset).max(0.0);
    let (u, v) = (f64::from(u) - 128.0, f64::from(v) - 128.0);
    [luma + v_to_r * v, luma + u_to_g * u + v_to_g * v, luma + u_to_b * u].map(|c| c.clamp(0.0, 255.0))
}

/// One channel of the picture at a point in source pixels, a pixel's centre being at `.5`.
fn bilinear(image: &Image, x: f64, y: f64, channel: usize) -> f64 {
    let pixel = |x: f64, y: f64| {
        let inside = |v: f64, side: u32| v.clamp(0.0, f64::from(side - 1)) as usize;
        rgb_at(image, inside(x, image.width()), inside(y, image.height()))[channel]
    };
    let (x, y) = (x - 0.5, y - 0.5);
    let (left, top) = (x.floor(), y.floor());
    let (right_share, bottom_share) = (x - left, y - top);
    let row = |y: f64| pixel(left, y) * (1.0 - right_share) + pixel(left + 1.0, y) * right_share;
    row(top) * (1.0 - bottom_share) + row(top + 1.0) * bottom_share
}

/// The input as [`Placement`] and [`Normalise`] define it, in grey levels (before `affine`), channels in the
/// model's order.
fn reference(image: &Image, spec: &InputSpec) -> Vec<f64> {
    let p = spec.placement(image);
    let mut levels = Vec::with_capacity(spec.len());
    for channel in 0..3 {
        let colour = if spec.normalise.channels == Channels::Bgr { 2 - channel } else { channel };
        for y in 0..spec.height {
            for x in 0..spec.width {
                let inside = (p.left..p.left + p.width).contains(&x) && (p.top..p.top + p.height).contains(&y);
                let at = |v: u32, corner: u32, crop: f32, scale: f32| {
                    (f64::from(v) + 0.5 - f64::from(corner) + f64::from(crop)) * f64::from(scale)
                };
                levels.push(if inside {
                    let (x, y) = (at(x, p.left, p.crop_x, p.scale_x), at(y, p.top, p.crop_y, p.scale_y));
                    bilinear(image, x, y, colour)
                } else {
                    f64::from(spec.normalise.pad)
                });
            }
        }
    }
    levels
}

/// The largest difference in grey levels between `values` and what the definition says.
pub(crate) fn worst(values: &[f32], levels: &[f64], spec: &InputSpec) -> f64 {
    let plane = spec.len() / 3;
    let n = &spec.normalise;
    let level = |i: usize| {
        let c = i / plane;
        (f64::from(values[i]) * f64::from(n.std[c]) + f64::from(n.mean[c])) / f64::from(n.scale)
    };
    assert_eq!(values.len(), levels.len());
    (0..values.len()).map(|i| (level(i) - levels[i]).abs()).fold(0.0, f64::max)
}

fn run(image: &Image, spec: &InputSpec) -> Vec<f32> {
    // Not zero: whatever the stage leaves unwritten must show.
    let mut out = vec![f32::NAN; spec.len()];
    preprocess(image, spec, &mut out);
    assert!(out.iter().all(|v| v.is_finite()), "unwritten values");
    out
}

/// Conversion to 8 bits rounds by half a level; sampling and normalising only by `f32`.
fn tolerance(format: PixelFormat) -> f64 {
    if format == PixelFormat::Rgb8 { 0.01 } else { 0.52 }
}

#[test]
fn agrees_with_the_definition() {
    let sizes = [(1, 1), (1, 17), (17, 1), (3, 2), (2, 3), (64, 48), (65, 47), (128, 5), (33, 128), (641, 359)];
    let mut random = Random(7);
    for format in FORMATS {
        for letterbox in LETTERBOXES {
            for (width, height) in sizes {
                let image = random.image(width, height, format);
                let spec = random.spec(letterbox);
                let worst = worst(&run(&image, &spec), &reference(&image, &spec), &spec);
                assert!(worst <= tolerance(format), "{format:?} {width}x{height} {spec:?}: {worst} levels");
            }
        }
    }
}

#[test]
fn agrees_with_the_definition_at_random_sizes() {
    let mut random = Random(20);
    for round in 0..400 {
        let format = FORMATS[round % 4];
        let letterbox = LETTERBOXES[round / 4 % 4];
        let (width, height) = (1 + random.below(90), 1 + random.below(90));
        let image = random.image(width, height, format);
        let spec = random.spec(letterbox);
        let worst = worst(&run(&image, &spec), &reference(&image, &spec), &spec);
        assert!(worst <= tolerance(format), "{round}: {format:?} {width}x{height} {spec:?}: {worst} levels");
    }
}

#[test]
fn every_yuv_value_rounds_to_the_nearest_level() {
    let mut worst: f64 = 0.0;
    for matrix in [YuvMatrix::Bt601, YuvMatrix::Bt709, YuvMatrix::Jpeg] {
        for u in (0..=255).step_by(3) {
            // One row of YUYV: every luma with every third pair of chroma.
            let pixels: Vec<u8> =
                (0..=255u8).flat_map(|v| (0..=127u8).flat_map(move |half| [half * 2, u, half * 2 + 1, v])).collect();
            let image = Image::new(256, 256, PixelFormat::Yuyv, pixels.into()).unwrap().with_matrix(matrix);
            let rgb = to_rgb8(&image);
            for (i, level) in rgb.pixels().iter().enumerate() {
                let (x, y) = (i / 3 % 256, i / 3 / 256);
                worst = worst.max((f64::from(*level) - rgb_at(&image, x, y)[i % 3]).abs());
            }
        }
    }
    assert!(worst < 0.51, "{worst} levels");
}

#[test]
fn to_rgb8_agrees_with_the_definition_at_odd_sizes() {
    let mut random = Random(3);
    for format in FORMATS {
        for (width, height) in [(1, 1), (5, 3), (31, 7), (2, 9), (99, 33)] {
            let image = random.image(width, height, format);
            let rgb = to_rgb8(&image);
            assert_eq!((rgb.width(), rgb.height(), rgb.format()), (image.width(), height, PixelFormat::Rgb8));
            for (i, level) in rgb.pixels().iter().enumerate() {
                let pixel = i / 3;
                let (x, y) = (pixel % image.width() as usize, pixel / image.width() as usize);
                let wanted = rgb_at(&image, x, y)[i % 3];
                assert!((f64::from(*level) - wanted).abs() < 0.51, "{format:?} {width}x{height} at {x},{y}");
            }
        }
    }
}

/// The bytes that `tests/peers/opencv_resize.py` makes its pictures of.
fn texture(count: usize) -> Bytes {
    (0..count).map(|i| ((i * i * 31 + i * 89 + i / 7 * 57) % 256) as u8).collect::<Vec<_>>().into()
}

fn plain(width: u32, height: u32) -> InputSpec {
    let channels = Channels::Rgb;
    let normalise = Normalise { channels, scale: 1.0, mean: [0.0; 3], std: [1.0; 3], pad: 0.0 };
    InputSpec { width, height, letterbox: Letterbox::Stretch, resize_short: 0, normalise }
}

/// `rgb`, interleaved, as planes.
fn planes(rgb: &[u8]) -> Vec<f64> {
    (0..3).flat_map(|c| rgb.iter().skip(c).step_by(3).map(|v| f64::from(*v))).collect()
}

/// The result in whole grey levels, as OpenCV gives it; its own weights have 11 bits.
fn rounded(image: &Image, spec: &InputSpec) -> Vec<f32> {
    run(image, spec).into_iter().map(f32::round).collect()
}

#[test]
fn resizes_as_opencv_does() {
    use super::opencv::{RESIZED_2X15, RESIZED_5X4, RESIZED_9X3, RESIZED_13X10};
    let image = Image::new(9, 7, PixelFormat::Rgb8, texture(9 * 7 * 3)).unwrap();
    let cases = [(5, 4, RESIZED_5X4), (13, 10, RESIZED_13X10), (9, 3, RESIZED_9X3), (2, 15, RESIZED_2X15)];
    for (width, height, wanted) in cases {
        let spec = plain(width, height);
        let worst = worst(&rounded(&image, &spec), &planes(wanted), &spec);
        assert!(worst <= 1.0, "{width}x{height}: {worst} levels");
    }
}

#[test]
fn converts_as_opencv_does() {
    use super::opencv::{NV12_RESIZED_5X4, RGB_OF_I420, RGB_OF_NV12, RGB_OF_YUYV};
    let cases = [(PixelFormat::I420, RGB_OF_I420), (PixelFormat::Nv12, RGB_OF_NV12), (PixelFormat::Yuyv, RGB_OF_YUYV)];
    for (format, wanted) in cases {
        let image = Image::new(8, 6, format, texture(format.bytes(8, 6))).unwrap();
        let rgb = to_rgb8(&image);
        let off = rgb.pixels().iter().zip(wanted).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(off <= Some(1), "{format:?}: {off:?} levels");
        let spec = plain(8, 6);
        assert_eq!(worst(&run(&image, &spec), &planes(rgb.pixels()), &spec), 0.0, "{format:?}");
    }
    let image = Image::new(8, 6, PixelFormat::Nv12, texture(72)).unwrap();
    let spec = plain(5, 4);
    let worst = worst(&rounded(&image, &spec), &planes(NV12_RESIZED_5X4), &spec);
    assert!(worst <= 1.0, "{worst} levels");
}

#[test]
fn a_stage_refuses_what_it_was_not_made_for() {
    let mut random = Random(1);
    let spec = plain(4, 4);
    let image = random.image(8, 8, PixelFormat::Nv12).with_matrix(YuvMatrix::Bt601);
    let mut stage = CpuStage::new(&image, &spec);
    let mut out = vec![0.0; spec.len()];
    stage.run(&image, &mut out).unwrap();
    let short = stage.run(&image, &mut out[1..]);
    assert_eq!(short, Err(PreprocessError::Output { wanted: 48, got: 47 }));
    for other in [
        random.image(8, 8, PixelFormat::I420),
        random.image(8, 10, PixelFormat::Nv12),
        image.clone().with_matrix(YuvMatrix::Jpeg),
    ] {
        assert!(matches!(stage.run(&other, &mut out), Err(PreprocessError::OtherImage { .. })));
    }
}

#[test]
fn a_stage_remembers_nothing_of_the_last_picture() {
    let mut random = Random(2);
    let spec = plain(7, 5);
    let first = random.image(16, 12, PixelFormat::I420).with_matrix(YuvMatrix::Bt601);
    let second = random.image(16, 12, PixelFormat::I420).with_matrix(YuvMatrix::Bt601);
    let mut stage = CpuStage::new(&first, &spec);
    let (mut out, mut again) = (vec![0.0; spec.len()], vec![0.0; spec.len()]);
    stage.run(&first, &mut out).unwrap();
    stage.run(&second, &mut out).unwrap();
    CpuStage::new(&second, &spec).run(&second, &mut again).unwrap();
    assert_eq!(out, again);
}

#[test]
fn an_input_outside_the_limits_is_refused() {
    assert!(plain(416, 416).check().is_ok());
    for (width, height) in [(0, 4), (4, 0), (MAX_SIDE + 1, 4), (MAX_SIDE, MAX_SIDE)] {
        assert!(matches!(plain(width, height).check(), Err(PreprocessError::Input { .. })), "{width}x{height}");
    }
}

#[test]
fn threads_share_the_pool() {
    let spec = plain(9, 9);
    std::thread::scope(|scope| {
        for seed in 1..5 {
            scope.spawn(move || {
                let mut random = Random(seed);
                for round in 0..50 {
                    let image = random.image(10 + round % 3, 8, FORMATS[round as usize % 4]);
                    let worst = worst(&run(&image, &spec), &reference(&image, &spec), &spec);
                    assert!(worst <= 0.52, "{worst} levels");
                }
            });
        }
    });
}
