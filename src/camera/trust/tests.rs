//! The sample clips, whole and with made damage.

use bytes::Bytes;

use super::*;
use crate::camera::ffmpeg::Ffmpeg;
use crate::camera::options::CameraOptions;
use crate::camera::source::Source;
use crate::camera::stop::Stop;
use crate::frame::{PixelFormat, YuvMatrix};
use crate::samples;

const CLIPS: [&str; 5] = [
    "video/azure_shelf.mp4",
    "video/bottle-detection.mp4",
    "video/one-by-one-person-detection.mp4",
    "video/worker-zone-detection.gif",
    "video/bolt-multi-size-detection.gif",
];
/// Bolts on a plain belt: nothing stands still in it, and little is sharp.
const PLAIN: &str = "video/bolt-multi-size-detection.gif";
/// How long clips are played before they are damaged; short ones are played over and over.
const BEFORE: Duration = Duration::from_secs(15);
/// Within which damage must be found.
const WITHIN: Duration = Duration::from_secs(5);

/// A picture's brightness alone.
#[derive(Clone)]
struct Grey {
    width: usize,
    height: usize,
    matrix: YuvMatrix,
    pixels: Vec<u8>,
}

impl Grey {
    fn of(image: &Image) -> Self {
        let (mut pixels, mut row) = (Vec::new(), Vec::new());
        for line in 0..image.height() as usize {
            look::luma(image, line, &mut row);
            pixels.extend_from_slice(&row);
        }
        let matrix = if image.format() == PixelFormat::Rgb8 { YuvMatrix::Jpeg } else { image.matrix() };
        Self { width: image.width() as usize, height: image.height() as usize, matrix, pixels }
    }

    fn image(&self) -> Image {
        let (width, height) = (self.width as u32, self.height as u32);
        let mut pixels = self.pixels.clone();
        pixels.resize(PixelFormat::I420.bytes(width, height), 128);
        Image::new(width, height, PixelFormat::I420, Bytes::from(pixels)).unwrap().with_matrix(self.matrix)
    }

    fn map(&self, f: impl Fn(usize, usize) -> f32) -> Self {
        let at = (0..self.height).flat_map(|y| (0..self.width).map(move |x| (x, y)));
        Self { pixels: at.map(|(x, y)| f(x, y).round().clamp(0.0, 255.0) as u8).collect(), ..*self }
    }

    fn at(&self, x: usize, y: usize) -> f32 {
        f32::from(self.pixels[y.min(self.height - 1) * self.width + x.min(self.width - 1)])
    }

    /// Out of focus: three times the mean over a small square, which is nearly a Gaussian.
    fn blurred(&self) -> Self {
        let reach = (self.width.max(self.height) / 180).max(1);
        let count = (2 * reach + 1) as f32;
        (0..3).fold(self.clone(), |grey, _| {
            let across = grey
                .map(|x, y| (0..=2 * reach).map(|d| grey.at((x + d).saturating_sub(reach), y)).sum::<f32>() / count);
            across.map(|x, y| (0..=2 * reach).map(|d| across.at(x, (y + d).saturating_sub(reach))).sum::<f32>() / count)
        })
    }

    /// The camera turned a little: what comes in at the side mirrors what was there.
    fn turned(&self) -> Self {
        let (dx, dy) = (self.width * 6 / 100, self.height * 4 / 100);
        self.map(|x, y| self.at(x.abs_diff(dx), y.abs_diff(dy)))
    }
}

/// A number that looks random, -1..=1.
fn noise(x: usize, y: usize, n: usize) -> f32 {
    let mut v = (x as u32).wrapping_mul(0x9E37_79B1)
        ^ (y as u32).wrapping_mul(0x85EB_CA77)
        ^ (n as u32).wrapping_mul(0xC2B2_AE3D);
    v = (v ^ (v >> 15)).wrapping_mul(0x2C1B_3C6D);
    v = (v ^ (v >> 12)).wrapping_mul(0x297A_2D39);
    ((v ^ (v >> 15)) >> 8) as f32 / (1 << 23) as f32 - 1.0
}

/// Every picture of a clip, with how long it lasts.
fn shots(name: &str) -> Option<Vec<(Duration, Image)>> {
    let options = CameraOptions::new(Source::parse(samples::path(name)?.to_str()?).unwrap());
    let stop = Stop::new();
    let mut reader = crate::camera::open(&options, &Ffmpeg::default(), &stop).unwrap()?;
    let next = || reader.next(&stop).unwrap().map(|shot| (shot.lasts, shot.image));
    Some(std::iter::from_fn(next).collect())
}

/// A watched clip, played from its start.
struct Played<'a> {
    watch: Watch,
    at: Duration,
    next: usize,
    shots: &'a [(Duration, Image)],
}

impl<'a> Played<'a> {
    fn new(shots: &'a [(Duration, Image)]) -> Self {
        Self { watch: Watch::new(TrustConfig::default(), None), at: Duration::ZERO, next: 0, shots }
    }

    /// Plays for a time, each picture that is looked at changed in some way; gives what was first found wrong, and when.
    fn play(&mut self, time: Duration, change: &dyn Fn(&Image, usize) -> Image) -> Option<(Duration, Verdict)> {
        let (from, mut found) = (self.at, None);
        while self.at < from + time {
            let (lasts, image) = &self.shots[self.next % self.shots.len()];
            if self.watch.is_due(self.at) {
                let verdict = self.watch.see(self.at, Look::at(&change(image, self.next)));
                if verdict.state != CameraState::Ok && found.is_none() {
                    found = Some((self.at - from, verdict));
                }
            }
            self.next += 1;
            self.at += *lasts;
        }
        found
    }
}

#[test]
fn no_clip_raises_an_alarm_over_its_length() {
    for name in CLIPS {
        let Some(shots) = shots(name) else { return };
        let length: Duration = shots.iter().map(|(lasts, _)| *lasts).sum();
        let found = Played::new(&shots).play(length.max(BEFORE * 2), &|image, _| image.clone());
        assert_eq!(found, None, "{name}");
    }
}

#[test]
fn no_simulation_raises_an_alarm() {
    for (seed, fps) in [(1, 10), (3, 2), (5, 30)] {
        let source = format!("sim:conveyor?seed={seed}&fps={fps}&width=320&height=180");
        let mut watch = Watch::new(TrustConfig::default(), None);
        for (n, image) in (0..fps * 60).zip(crate::camera::frames(&Source::parse(&source).unwrap()).unwrap()) {
            let at = Duration::from_secs_f64(f64::from(n) / f64::from(fps));
            if watch.is_due(at) {
                let verdict = watch.see(at, Look::at(&image.unwrap()));
                assert_eq!(verdict.state, CameraState::Ok, "{source} at {at:?}: {verdict:?}");
            }
        }
    }
}

/// A way to spoil a picture, given the last good one and its number.
type Damage = fn(&Grey, &Grey, usize) -> Grey;

/// What is done to clips, and what must be said about it.
const DAMAGE: [(&str, CameraState, &str, Damage); 8] = [
    ("frozen", CameraState::Frozen, "is frozen", |_, last, _| last.clone()),
    ("frozen under a clock", CameraState::Frozen, "is frozen", |_, last, n| {
        let (width, height) = (last.width / 4, last.height / 16);
        last.map(|x, y| if x < width && y < height { 128.0 + 100.0 * noise(x / 8, y / 8, n) } else { last.at(x, y) })
    }),
    ("black", CameraState::Blind, "is black", |now, _, n| {
        let black = if now.matrix == YuvMatrix::Jpeg { 1.0 } else { 16.0 };
        now.map(|x, y| black + noise(x, y, n))
    }),
    ("covered", CameraState::Blind, "covers the camera", |now, _, n| {
        now.map(|x, y| 90.0 + x as f32 / now.width as f32 * 4.0 + 3.0 * noise(x, y, n))
    }),
    ("under-exposed", CameraState::Blind, "under-exposed", |now, _, _| {
        now.map(|x, y| 16.0 + (now.at(x, y) - 16.0) * 0.12)
    }),
    ("over-exposed", CameraState::Blind, "over-exposed", |now, _, _| now.map(|x, y| now.at(x, y) * 3.0 + 40.0)),
    ("out of focus", CameraState::Blind, "out of focus", |now, _, _| now.blurred()),
    ("moved", CameraState::Blind, "been moved", |now, _, _| now.turned()),
];

#[test]
fn every_damage_is_found_within_five_seconds_and_its_end_too() {
    for name in CLIPS {
        let Some(shots) = shots(name) else { return };
        for (damage, state, words, spoil) in DAMAGE {
            if name == PLAIN && ["out of focus", "moved"].contains(&damage) {
                continue;
            }
            let mut played = Played::new(&shots);
            assert_eq!(played.play(BEFORE, &|image, _| image.clone()), None, "{name}");
            let last = Grey::of(&shots[(played.next - 1) % shots.len()].1);
            let found = played.play(WITHIN, &|image, n| spoil(&Grey::of(image), &last, n).image());
            let Some((after, verdict)) = found else { panic!("{damage} was not found in {name}") };
            assert!(verdict.state == state && verdict.reason.contains(words), "{name}, {damage}: {verdict:?}");
            println!("{name}: {damage} found after {:.2} s: {:?}", after.as_secs_f32(), verdict.signals);
            played.play(WITHIN, &|image, _| image.clone());
            let over = played.play(Duration::from_secs(2), &|image, _| image.clone());
            assert_eq!(over, None, "{name}, {damage}");
        }
    }
}

/// A scene in which nothing moves is no frozen picture: a sensor is never still.
#[test]
fn a_quiet_scene_is_not_frozen() {
    let Some(shots) = shots("video/azure_shelf.mp4") else { return };
    let still = Grey::of(&shots[0].1);
    let quiet = |_: &Image, n: usize| still.map(|x, y| still.at(x, y) + 2.0 * noise(x, y, n)).image();
    assert_eq!(Played::new(&shots).play(BEFORE, &quiet), None);
}

#[test]
fn a_threshold_of_zero_switches_its_signal_off() {
    let Some(shots) = shots("video/worker-zone-detection.gif") else { return };
    let off = TrustConfig {
        still: 0.0,
        contrast: 0.0,
        highlights: 0.0,
        burnt: 0.0,
        sharpness: 0.0,
        moved: 0.0,
        ..TrustConfig::default()
    };
    for config in [off, TrustConfig { enabled: false, ..TrustConfig::default() }] {
        let enabled = config.enabled;
        let mut played = Played { watch: Watch::new(config, None), ..Played::new(&shots) };
        assert_eq!(played.play(BEFORE, &|_, _| Grey::of(&shots[0].1).map(|_, _| 16.0).image()), None);
        assert_eq!(played.watch.last.is_some(), enabled);
    }
}

/// With a picture of the view, a camera that was moved while nobody looked is found out.
#[test]
fn a_reference_picture_tells_what_the_view_should_be() {
    let Some(shots) = shots("video/one-by-one-person-detection.mp4") else { return };
    let reference = &shots[0].1;
    let watch =
        || Watch::new(TrustConfig { reference: Some("given".into()), ..TrustConfig::default() }, Some(reference));
    let mut played = Played { watch: watch(), ..Played::new(&shots) };
    assert_eq!(played.play(BEFORE * 2, &|image, _| image.clone()), None);
    let mut played = Played { watch: watch(), ..Played::new(&shots) };
    let (_, verdict) = played.play(WITHIN, &|image, _| Grey::of(image).turned().image()).expect("it is found");
    assert_eq!(verdict.reason, "the camera has been moved");
}

#[test]
fn a_view_that_has_moved_becomes_the_reference_after_a_while() {
    let Some(shots) = shots("video/azure_shelf.mp4") else { return };
    let turned = |image: &Image, _: usize| Grey::of(image).turned().image();
    let config = TrustConfig { relearn_s: 10.0, ..TrustConfig::default() };
    let mut played = Played { watch: Watch::new(config, None), ..Played::new(&shots) };
    assert_eq!(played.play(BEFORE, &|image, _| image.clone()), None);
    assert!(played.play(Duration::from_secs(14), &turned).is_some());
    assert_eq!(played.play(Duration::from_secs(4), &turned), None);
}

#[test]
fn pictures_whose_time_goes_back_or_whose_size_changes_are_judged_anew() {
    let mut watch = Watch::new(TrustConfig::default(), None);
    let grey = |width: usize, height: usize| {
        let blank = Grey { width, height, matrix: YuvMatrix::Jpeg, pixels: vec![0; width * height] };
        blank.map(|x, y| 120.0 + 100.0 * noise(x / 9, y / 9, 1))
    };
    let seconds = [0.0, 1.0, 2.0, 3.5, 0.5, 1.5, 2.5, 2.6];
    for (i, at) in seconds.into_iter().enumerate() {
        let picture = if i < 6 { grey(320, 180) } else { grey(180, 320) };
        let verdict = watch.see(Duration::from_secs_f64(at), Look::at(&picture.image()));
        let frozen = at == 3.5;
        assert_eq!(verdict.state == CameraState::Frozen, frozen || (4..6).contains(&i), "{i}");
    }
}
