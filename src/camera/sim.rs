//! A simulated conveyor (`sim:conveyor?seed=1&fps=10`): parts on a moving belt, some of them defective, seen from
//! above, with what is truly there beside every picture.
//!
//! It makes the demo, trains and evaluates the model that ships, and gives tests a camera whose answers are known.
//! Frame `n` is a pure function of the options and `n`: the same bytes on every platform, in any order.
//!
//! Lengths inside are in *units*: the frame is 640 units wide, whatever its size in pixels. The belt moves from left
//! to right at [`SPEED`] units a second between two rails along the top and the bottom edge.
//!
//! ## What counts as truth
//! A part counts by the pixels of it that the frame shows: those inside the frame and not under another part. Its box
//! is tight around them. A part of which less than [`MIN_VISIBLE`] shows is in the truth but marked
//! ([`TruthBox::ignored`]): neither finding nor missing it is a mistake. A defective part has its defect's label where
//! at least [`MIN_DEFECT`] of the defect shows, else its kind's: a label says what can be seen.

mod belt;
mod light;
mod maths;
mod part;
mod shape;
mod sprite;

use std::collections::BTreeMap;

use bytes::Bytes;

use self::belt::Background;
use self::light::{Exposure, Optics, motion_blur};
use self::maths::{Rng, Vec2, sin_cos};
use self::part::{MARGIN, Part, SPACING};
use self::sprite::{COVERED, Lamp, Sprite};
use crate::detection::Rect;
use crate::frame::{Image, ImageError, PixelFormat, check_size};

/// What parts can be: kinds of good parts, then defects. A defective part is labelled by its defect.
pub const LABELS: [&str; 8] = ["bolt", "nut", "washer", "gear", "bracket", "scratched", "missing-hole", "wrong-colour"];
/// How many of [`LABELS`] are kinds of good parts.
pub const KINDS: usize = 5;
/// Speed of the belt, in units (640 to the frame's width) a second.
pub const SPEED: f64 = 80.0;
/// Share of a part that must show for it to count.
pub const MIN_VISIBLE: f32 = 0.35;
/// Share of a defect that must show for the part to be labelled by it.
pub const MIN_DEFECT: f32 = 0.5;

const UNITS: f64 = 640.0;
const STREAM_LAMP: u64 = 30;
/// In the buffer that says whose pixel is whose: this pixel shows a defect.
const DEFECT: u16 = 1 << 15;

/// Which conveyor, how often a picture is taken, and of what size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConveyorOptions {
    /// Draws parts, belt and light: another seed is another conveyor.
    pub seed: u64,
    /// Frames a second; the belt's speed does not depend on it.
    pub fps: f64,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Share of the parts that lean on the one before them and hide some of it, 0..=1. A line that counts its parts lays
    /// them out one by one, so by default none does; a model learns more where some do.
    pub leaning: f32,
}

impl Default for ConveyorOptions {
    fn default() -> Self {
        Self { seed: 1, fps: 10.0, width: 640, height: 360, leaning: 0.0 }
    }
}

/// Why there is no such conveyor.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConveyorError {
    /// Too few or too many pictures a second.
    #[error("a simulated conveyor takes 0.1 to 1000 frames a second, not {0}")]
    Fps(f64),
    /// Too small to see anything, or too large to simulate.
    #[error(
        "a simulated conveyor's picture is 160x90 to 1920x1920 pixels and at most as high as wide, not {width}x{height}"
    )]
    Size {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
    },
    /// Not a picture at all.
    #[error(transparent)]
    Image(#[from] ImageError),
}

/// A part in a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TruthBox {
    /// Index in [`LABELS`].
    pub class: usize,
    /// The class's name.
    pub label: &'static str,
    /// Tight around what shows of the part, as fractions of the frame.
    pub rect: Rect,
    /// Share of the part that shows, 0..=1.
    pub visible: f32,
    /// The part's number: the same in every frame.
    pub part: u64,
}

impl TruthBox {
    /// Whether too little shows for it to count.
    #[must_use]
    pub fn ignored(&self) -> bool {
        self.visible < MIN_VISIBLE
    }
}

/// A picture and what is truly in it.
#[derive(Debug, Clone)]
pub struct SimFrame {
    /// The picture, [`PixelFormat::Rgb8`].
    pub image: Image,
    /// Every part of which at least one pixel shows, in the order in which they entered.
    pub truth: Vec<TruthBox>,
}

/// A simulated conveyor.
#[derive(Debug)]
pub struct Conveyor {
    options: ConveyorOptions,
    width: usize,
    height: usize,
    /// Pixels a unit.
    pixels: f32,
    lamp: Lamp,
    background: Background,
    optics: Optics,
    /// The parts of the last frame; frames that follow show most of them again.
    parts: BTreeMap<u64, Option<(Part, Sprite)>>,
    canvas: Vec<f32>,
    blurred: Vec<f32>,
    owners: Vec<u16>,
}

impl Conveyor {
    /// Builds the belt and the light: some 50 ms for 640x360.
    ///
    /// # Errors
    /// When the options ask for a size or rate outside the limits.
    #[allow(clippy::cast_possible_truncation)]
    pub fn new(options: ConveyorOptions) -> Result<Self, ConveyorError> {
        let ConveyorOptions { seed, fps, width, height, leaning: _ } = options;
        if !(0.1..=1000.0).contains(&fps) {
            return Err(ConveyorError::Fps(fps));
        }
        if !(160..=1920).contains(&width) || !(90..=1920).contains(&height) || height > width {
            return Err(ConveyorError::Size { width, height });
        }
        check_size(width, height)?;
        let pixels = (f64::from(width) / UNITS) as f32;
        let (w, h) = (width as usize, height as usize);
        Ok(Self {
            options,
            width: w,
            height: h,
            pixels,
            lamp: lamp(seed),
            background: Background::new(seed, w, h, pixels),
            optics: Optics::new(seed, w, h),
            parts: BTreeMap::new(),
            canvas: vec![0.0; w * h * 3],
            blurred: vec![0.0; w * 3],
            owners: vec![0; w * h],
        })
    }

    /// Frame `n`, counting from 0. Frames in a row are fastest, since they share their parts.
    ///
    /// # Errors
    /// Never in practice: the size was checked when the conveyor was built.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
    pub fn frame(&mut self, n: u64) -> Result<SimFrame, ConveyorError> {
        let time = n as f64 / self.options.fps;
        let exposure = self.optics.exposure(n, time);
        let shake = exposure.shake * self.pixels;
        self.background.paint(&mut self.canvas, time * SPEED * f64::from(self.pixels), shake);
        self.owners.fill(0);
        self.fetch_parts(time);
        let placed = self.place_parts(time, shake);
        let truth = self.truth(&placed);
        let pixels = self.develop(&exposure, n);
        let image = Image::new(self.options.width, self.options.height, PixelFormat::Rgb8, pixels)?;
        Ok(SimFrame { image, truth })
    }

    /// The options it was built with.
    #[must_use]
    pub fn options(&self) -> ConveyorOptions {
        self.options
    }

    /// Renders the parts that come into view and forgets those that left.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn fetch_parts(&mut self, time: f64) {
        // Slot `id` is at `UNITS + SPEED * time - id * SPACING`.
        let last = ((SPEED * time + UNITS + MARGIN) / SPACING).floor() as u64;
        let first = ((SPEED * time - MARGIN) / SPACING).ceil().max(0.0) as u64;
        self.parts.retain(|id, _| (first..=last).contains(id));
        let belt = self.height as f32 / self.pixels - 2.0 * belt::RAIL;
        for id in first..=last {
            let (ConveyorOptions { seed, leaning, .. }, pixels, lamp) = (self.options, self.pixels, self.lamp);
            self.parts.entry(id).or_insert_with(|| {
                let part = Part::nth(seed, id, belt, leaning)?;
                let sprite = Sprite::new(&part, pixels, lamp);
                Some((part, sprite))
            });
        }
    }

    /// Draws the parts, the oldest first, and says in `owners` whose pixel is whose: the part's place in the list
    /// that is returned, plus one.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
    fn place_parts(&mut self, time: f64, shake: Vec2) -> Vec<u64> {
        let mut placed = Vec::new();
        let size = (self.width, self.height);
        for (&id, entry) in &self.parts {
            let Some((part, sprite)) = entry else { continue };
            let slot = UNITS + SPEED * time - id as f64 * SPACING;
            let x = ((slot + f64::from(part.x)) * f64::from(self.pixels)) as f32 + shake.x;
            let y = self.height as f32 / 2.0 + part.y * self.pixels + shake.y;
            placed.push(id);
            let owner = u16::try_from(placed.len()).unwrap_or(DEFECT - 1).min(DEFECT - 1);
            draw(sprite, Vec2::new(x, y), size, &mut self.canvas, &mut self.owners, owner);
        }
        placed
    }

    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
    fn truth(&self, placed: &[u64]) -> Vec<TruthBox> {
        let mut seen = vec![Extent::default(); placed.len()];
        for (y, row) in self.owners.chunks_exact(self.width).enumerate() {
            for (x, &owner) in row.iter().enumerate() {
                if owner != 0
                    && let Some(extent) = seen.get_mut(usize::from(owner & !DEFECT) - 1)
                {
                    extent.add(x, y, owner & DEFECT != 0);
                }
            }
        }
        let fraction = |v: usize, whole: usize| (v as f64 / whole as f64) as f32;
        placed
            .iter()
            .zip(&seen)
            .filter_map(|(&part, e)| {
                let (it, sprite) = self.parts.get(&part)?.as_ref()?;
                if e.area == 0 {
                    return None;
                }
                let shows = e.defect as f32 >= MIN_DEFECT * sprite.defect_area as f32;
                let class = it.defect.filter(|_| shows).map_or(it.kind.class(), part::Defect::class);
                Some(TruthBox {
                    class,
                    label: LABELS[class],
                    rect: Rect {
                        x: fraction(e.left, self.width),
                        y: fraction(e.top, self.height),
                        w: fraction(e.right - e.left, self.width),
                        h: fraction(e.bottom - e.top, self.height),
                    },
                    visible: (e.area as f32 / sprite.area as f32).min(1.0),
                    part,
                })
            })
            .collect()
    }

    #[allow(clippy::cast_possible_truncation)]
    fn develop(&mut self, exposure: &Exposure, n: u64) -> Bytes {
        let mut out = vec![0; self.width * self.height * 3];
        let length = (SPEED as f32) * exposure.shutter * self.pixels;
        let rows = self.canvas.chunks_exact(self.width * 3).zip(out.chunks_exact_mut(self.width * 3));
        for (y, (scene, out)) in rows.enumerate() {
            let rail = y < self.background.rail_rows || y + self.background.rail_rows >= self.height;
            if rail {
                self.optics.develop(exposure, n, y, scene, out);
            } else {
                motion_blur(scene, length, &mut self.blurred);
                self.optics.develop(exposure, n, y, &self.blurred, out);
            }
        }
        Bytes::from(out)
    }
}

/// What shows of a part: edges in pixels, the right and bottom ones exclusive.
#[derive(Debug, Clone, Copy, Default)]
struct Extent {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
    area: u32,
    defect: u32,
}

impl Extent {
    fn add(&mut self, x: usize, y: usize, defect: bool) {
        if self.area == 0 {
            (self.left, self.top) = (x, y);
        }
        self.left = self.left.min(x);
        self.right = self.right.max(x + 1);
        self.bottom = y + 1;
        self.area += 1;
        self.defect += u32::from(defect);
    }
}

/// The lamp hangs to one side, nearer to the top or to the bottom rail.
fn lamp(seed: u64) -> Lamp {
    let mut rng = Rng::new(seed, STREAM_LAMP, 0);
    let (y, x) = sin_cos(f64::from(rng.unit()) * std::f64::consts::TAU);
    let z = rng.range(0.72, 0.82);
    let flat = (1.0 - z * z).sqrt();
    Lamp { x: x * flat, y: y * flat, z }
}

/// Draws a sprite with its centre at `centre` (pixels), between the pixels where need be.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn draw(
    sprite: &Sprite,
    centre: Vec2,
    (width, height): (usize, usize),
    canvas: &mut [f32],
    owners: &mut [u16],
    owner: u16,
) {
    let side = 2 * sprite.radius + 1;
    let from = centre - Vec2::new(sprite.radius as f32 + 0.5, sprite.radius as f32 + 0.5);
    let (left, top) = (from.x.floor(), from.y.floor());
    let (fx, fy) = (from.x - left, from.y - top);
    let weights = [fx * fy, (1.0 - fx) * fy, fx * (1.0 - fy), (1.0 - fx) * (1.0 - fy)];
    let (left, top) = (left as isize, top as isize);
    // Pixel `left + i` lies between texels `i - 1` and `i`.
    let columns = (-left).max(1)..(width as isize - left).min(side as isize);
    for j in 1..side {
        let Ok(y) = usize::try_from(top + j as isize) else { continue };
        if y >= height {
            break;
        }
        let (above, here) = (sprite.row(j - 1), sprite.row(j));
        for i in columns.clone() {
            let (x, i) = ((left + i) as usize, i as usize);
            let texels = [above[i - 1], above[i], here[i - 1], here[i]];
            let blend =
                |get: fn(&sprite::Texel) -> f32| texels.iter().zip(weights).map(|(t, w)| get(t) * w).sum::<f32>();
            let (alpha, shadow) = (blend(|t| t.alpha), blend(|t| t.shadow));
            if alpha <= 0.0 && shadow <= 0.0 {
                continue;
            }
            let at = y * width + x;
            let below = (1.0 - shadow) * (1.0 - alpha);
            let rgb = [blend(|t| t.rgb[0]), blend(|t| t.rgb[1]), blend(|t| t.rgb[2])];
            for (v, add) in canvas[at * 3..at * 3 + 3].iter_mut().zip(rgb) {
                *v = *v * below + add;
            }
            if alpha >= COVERED {
                let defect = blend(|t| t.defect) >= 0.5;
                owners[at] = if defect { owner | DEFECT } else { owner };
            }
        }
    }
}

#[cfg(test)]
mod tests;
