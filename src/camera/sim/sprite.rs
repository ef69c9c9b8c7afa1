//! A part rendered once: colour, coverage, shadow, and where its defect shows. Parts lie still on the belt,
//! so a frame only has to place the sprite.

use super::maths::{Rng, Vec2, lerp, smooth_step};
use super::part::{Defect, Finish, Part};
use super::shape::Relief;

/// Where the light comes from: a unit vector, `z` towards the camera.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lamp {
    pub x: f32,
    pub y: f32,
    pub z: f32,
}

/// One pixel of a sprite.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Texel {
    /// Colour times coverage.
    pub rgb: [f32; 3],
    /// How much of the pixel the part covers.
    pub alpha: f32,
    /// How dark its shadow makes what lies below.
    pub shadow: f32,
    /// 1 where the defect shows (for a wrong colour everywhere), else 0.
    pub defect: f32,
}

/// A part, ready to be placed: a square of `2 * radius + 1` pixels, its centre on the middle pixel's centre.
#[derive(Debug)]
pub(super) struct Sprite {
    pub radius: usize,
    texels: Vec<Texel>,
    /// Pixels that the part covers at least by half.
    pub area: u32,
    /// Those of them that show the defect.
    pub defect_area: u32,
}

/// Pixels at least half covered count as the part's.
pub(super) const COVERED: f32 = 0.5;

impl Sprite {
    /// Renders a part at `pixels` per unit.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    pub fn new(part: &Part, pixels: f32, lamp: Lamp) -> Self {
        let scale = pixels * part.scale;
        let reach = part.shape.reach() + part.shape.thickness() * 1.3 + 5.0;
        let radius = (reach * scale).ceil() as usize + 2;
        let side = 2 * radius + 1;
        let painter = Painter::new(part, scale, lamp);
        let mut texels = vec![Texel::default(); side * side];
        // The outermost ring stays clear, so that placing may read one pixel beyond.
        for j in 1..side - 1 {
            for i in 1..side - 1 {
                let at = Vec2::new(i as f32 - radius as f32, j as f32 - radius as f32);
                texels[j * side + i] = painter.texel(at * (1.0 / scale));
            }
        }
        let area = count(&texels, |t| t.alpha >= COVERED);
        let defect_area = count(&texels, |t| t.alpha >= COVERED && t.defect >= 0.5);
        Self { radius, texels, area, defect_area }
    }

    /// One row of texels; `row` is below `2 * radius + 1`.
    pub fn row(&self, row: usize) -> &[Texel] {
        let side = 2 * self.radius + 1;
        self.texels.get(row * side..(row + 1) * side).unwrap_or_default()
    }
}

fn count(texels: &[Texel], wanted: impl Fn(&Texel) -> bool) -> u32 {
    u32::try_from(texels.iter().filter(|t| wanted(t)).count()).unwrap_or(u32::MAX)
}

/// A scratch: a stroke from `from` to `to`.
#[derive(Debug, Clone, Copy)]
struct Scratch {
    from: Vec2,
    to: Vec2,
    width: f32,
}

impl Scratch {
    fn distance(&self, p: Vec2) -> f32 {
        let (along, v) = (self.to - self.from, p - self.from);
        let t = (v.dot(along) / along.dot(along).max(1e-3)).clamp(0.0, 1.0);
        // Thin at the ends.
        (v - along * t).length() - self.width * (0.45 + 2.2 * t * (1.0 - t))
    }
}

struct Painter<'a> {
    part: &'a Part,
    scale: f32,
    lamp: Lamp,
    /// From the middle between lamp and camera: where gloss is brightest.
    half: [f32; 3],
    scratches: Vec<Scratch>,
}

impl<'a> Painter<'a> {
    fn new(part: &'a Part, scale: f32, lamp: Lamp) -> Self {
        let norm = (lamp.x * lamp.x + lamp.y * lamp.y + (lamp.z + 1.0) * (lamp.z + 1.0)).sqrt();
        let scratches = if part.defect == Some(Defect::Scratched) { scratches(part) } else { Vec::new() };
        Self { part, scale, lamp, half: [lamp.x / norm, lamp.y / norm, (lamp.z + 1.0) / norm], scratches }
    }

    /// The texel at an offset from the part's centre, in the part's units but along the frame's axes.
    fn texel(&self, at: Vec2) -> Texel {
        let (sin, cos) = self.part.turn;
        let to_local = (-sin, cos);
        let p = at.turned(to_local);
        let shape = &self.part.shape;
        let d = shape.distance(p);
        let alpha = (0.5 - d * self.scale).clamp(0.0, 1.0);
        let shadow = self.shadow(at, to_local, d);
        if alpha <= 0.0 {
            return Texel { shadow, ..Texel::default() };
        }
        let gradient = {
            let e = 0.35;
            let dx = shape.distance(p + Vec2::new(e, 0.0)) - shape.distance(p - Vec2::new(e, 0.0));
            let dy = shape.distance(p + Vec2::new(0.0, e)) - shape.distance(p - Vec2::new(0.0, e));
            Vec2::new(dx, dy) * (0.5 / e)
        };
        let edge = 1.0 - smooth_step(0.0, shape.bevel(), -d);
        let relief = shape.relief(p, self.part.grain);
        let slope = (relief.slope + gradient * (edge * 0.9)).turned(self.part.turn);
        let (rgb, defect) = self.blemish(p, self.shade(&Relief { slope, ..relief }));
        Texel { rgb: rgb.map(|v| v * alpha), alpha, shadow, defect }
    }

    /// The shadow is the outline, drawn out away from the lamp, and a dark seam where the part touches the belt.
    fn shadow(&self, at: Vec2, to_local: (f32, f32), d: f32) -> f32 {
        let shape = &self.part.shape;
        let length = shape.thickness() * 1.05;
        let away = Vec2::new(-self.lamp.x, -self.lamp.y) * (1.0 / self.lamp.z);
        let cast = [0.3, 0.65, 1.0]
            .into_iter()
            .map(|t: f32| {
                let d = shape.distance((at - away * (length * t)).turned(to_local));
                (1.0 - smooth_step(-1.0 - 1.5 * t, 1.0 + 2.5 * t, d)) * lerp(1.0, 0.8, t)
            })
            .fold(0.0, f32::max);
        let contact = 1.0 - smooth_step(0.0, 5.0, d);
        (0.68 * cast).max(0.45 * contact * contact)
    }

    fn shade(&self, relief: &Relief) -> [f32; 3] {
        let Finish { rgb, metal } = self.part.finish;
        let s = relief.slope;
        let norm = 1.0 / (s.dot(s) + 1.0).sqrt();
        let normal = [s.x * norm, s.y * norm, norm];
        let facing = (normal[0] * self.lamp.x + normal[1] * self.lamp.y + normal[2] * self.lamp.z).max(0.0);
        let gloss = (normal[0] * self.half[0] + normal[1] * self.half[1] + normal[2] * self.half[2]).max(0.0);
        let g2 = gloss * gloss;
        let g8 = g2 * g2 * g2 * g2;
        let highlight = g8 * g8 * g8 * g8 * lerp(0.16, 0.5, metal);
        let light = relief.tone * (0.30 + 0.84 * facing);
        // Metal tints its highlights, paint does not.
        rgb.map(|v| v * light + highlight * lerp(1.0, v + 0.25, metal))
    }

    /// Adds the scratches; says whether the defect shows here.
    fn blemish(&self, p: Vec2, rgb: [f32; 3]) -> ([f32; 3], f32) {
        match self.part.defect {
            None => (rgb, 0.0),
            Some(Defect::WrongColour) => (rgb, 1.0),
            Some(Defect::MissingHole) => {
                let inside = self.part.shape.blank().is_some_and(|(at, r)| (p - at).length() < r);
                (rgb, if inside { 1.0 } else { 0.0 })
            }
            Some(Defect::Scratched) => {
                let d = self.scratches.iter().map(|s| s.distance(p)).fold(f32::MAX, f32::min);
                let groove = 1.0 - smooth_step(-0.5, 0.5, d);
                let lip = (1.0 - smooth_step(0.3, 1.6, d)) * (1.0 - groove);
                let painted = self.part.finish.metal < 0.5;
                let bottom = if painted { [0.80, 0.80, 0.79] } else { rgb.map(|v| v * 0.22) };
                let lip_gain = if painted { -0.12 } else { 0.22 };
                let rgb = [0, 1, 2].map(|c| lerp(rgb[c], bottom[c], groove * 0.92) + lip * lip_gain);
                (rgb, if d < 0.0 { 1.0 } else { 0.0 })
            }
        }
    }
}

/// Two or three strokes side by side, as from one slip of a tool, where they cross the most material.
fn scratches(part: &Part) -> Vec<Scratch> {
    let mut rng = Rng::new(part.grain, 3, 0);
    let mut best = (0, Scratch { from: Vec2::new(0.0, 0.0), to: Vec2::new(1.0, 0.0), width: 1.0 });
    for _ in 0..14 {
        let reach = part.shape.reach() * 0.85;
        let centre = Vec2::new(rng.range(-reach, reach), rng.range(-reach, reach));
        let (sin, cos) = super::maths::sin_cos(f64::from(rng.unit()) * std::f64::consts::TAU);
        let along = Vec2::new(cos, sin) * rng.range(17.0, 24.0);
        let stroke = Scratch { from: centre - along, to: centre + along, width: rng.range(1.0, 1.5) };
        let inside =
            (0..=16_u8).filter(|&i| part.shape.distance(stroke.from + along * (f32::from(i) / 8.0)) < -2.0).count();
        if inside > best.0 {
            best = (inside, stroke);
        }
    }
    let main = best.1;
    let along = main.to - main.from;
    let side = Vec2::new(-along.y, along.x) * (1.0 / along.length().max(1e-3));
    let mut strokes = vec![main];
    for sign in [-1.0, 1.0] {
        if sign < 0.0 || rng.chance(0.5) {
            let shift = side * (sign * rng.range(4.0, 6.5)) + along * rng.range(-0.15, 0.15);
            let trim = along * rng.range(0.05, 0.25);
            strokes.push(Scratch {
                from: main.from + shift + trim,
                to: main.to + shift - trim * 0.5,
                width: main.width * rng.range(0.7, 1.0),
            });
        }
    }
    strokes
}
