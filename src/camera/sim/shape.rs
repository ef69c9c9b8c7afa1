//! The outlines of the parts as signed distance functions, and the relief of their surfaces.
//!
//! Lengths are in units: the frame is 640 units wide. A shape lies around the origin, unturned.

use super::maths::{Rng, Vec2, lerp, sin_cos, smooth_step, turns_of, value_noise};
use super::part::{Defect, Kind};

/// What a part looks like from above, holes included.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    /// Lying on its side, head to the left.
    Bolt {
        length: f32,
        shank: f32,
        head: f32,
    },
    Nut {
        apothem: f32,
        bore: f32,
    },
    Washer {
        outer: f32,
        bore: f32,
    },
    Gear {
        root: f32,
        tooth: f32,
        teeth: f32,
        bore: f32,
        windows: bool,
    },
    /// An L of two arms; holes at the ends and in the corner, as far as they were drilled.
    Bracket {
        long: f32,
        short: f32,
        width: f32,
        holes: [Option<Vec2>; 3],
        hole: f32,
    },
}

/// How a surface differs from a flat plate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Relief {
    /// Tilt of the surface beside that of the bevel: the outward slope.
    pub slope: Vec2,
    /// Multiplies the colour.
    pub tone: f32,
}

const HEAD_DEPTH: f32 = 15.0;
const THREAD_PITCH: f32 = 4.6;

impl Shape {
    /// Draws the dimensions of a part. A missing hole is missing from here on, and `blank` says where it would be.
    pub fn new(kind: Kind, defect: Option<Defect>, rng: &mut Rng) -> Self {
        let missing = defect == Some(Defect::MissingHole);
        let drilled = |radius: f32| if missing { 0.0 } else { radius };
        match kind {
            Kind::Bolt => {
                let shank = rng.range(7.5, 9.0);
                Self::Bolt { length: rng.range(74.0, 94.0), shank, head: shank * 1.75 }
            }
            Kind::Nut => {
                let apothem = rng.range(20.0, 24.0);
                Self::Nut { apothem, bore: drilled(apothem * 0.52) }
            }
            Kind::Washer => {
                let outer = rng.range(25.0, 31.0);
                Self::Washer { outer, bore: drilled(outer * rng.range(0.42, 0.52)) }
            }
            Kind::Gear => {
                let root = rng.range(29.0, 34.0);
                Self::Gear {
                    root,
                    tooth: rng.range(6.5, 7.5),
                    teeth: rng.pick([14.0, 16.0, 18.0]),
                    bore: drilled(root * 0.33),
                    windows: rng.chance(0.5),
                }
            }
            Kind::Bracket => {
                let (long, short, width) = (rng.range(72.0, 84.0), rng.range(54.0, 64.0), rng.range(24.0, 27.0));
                let (x, y) = (long / 2.0 - width / 2.0, short / 2.0 - width / 2.0);
                let mut holes = [Some(Vec2::new(x, y)), Some(Vec2::new(-x, -y)), Some(Vec2::new(-x, y))];
                if missing {
                    holes[rng.below(2)] = None;
                }
                Self::Bracket { long, short, width, holes, hole: width * 0.3 }
            }
        }
    }

    /// Where the hole that is missing ought to be, and its radius.
    pub fn blank(&self) -> Option<(Vec2, f32)> {
        let centre = Vec2::new(0.0, 0.0);
        match *self {
            Self::Bolt { .. } => None,
            Self::Nut { apothem, .. } => Some((centre, apothem * 0.52)),
            Self::Washer { outer, .. } => Some((centre, outer * 0.47)),
            Self::Gear { root, .. } => Some((centre, root * 0.33)),
            Self::Bracket { long, short, width, holes, hole } => {
                let (x, y) = (long / 2.0 - width / 2.0, short / 2.0 - width / 2.0);
                let at = if holes[0].is_none() { Vec2::new(x, y) } else { Vec2::new(-x, -y) };
                Some((at, hole))
            }
        }
    }

    /// Half the side of a square around the origin that holds the shape however it is turned.
    pub fn reach(&self) -> f32 {
        match *self {
            Self::Bolt { length, head, .. } => Vec2::new(length / 2.0, head).length(),
            Self::Nut { apothem, .. } => apothem * 1.16,
            Self::Washer { outer, .. } => outer,
            Self::Gear { root, tooth, .. } => root + tooth,
            Self::Bracket { long, short, .. } => Vec2::new(long / 2.0, short / 2.0).length(),
        }
    }

    /// How far the top lies above the belt: the length of the shadow.
    pub fn thickness(&self) -> f32 {
        match self {
            Self::Bolt { .. } => 12.0,
            Self::Nut { .. } => 10.0,
            Self::Washer { .. } => 4.0,
            Self::Gear { .. } => 8.0,
            Self::Bracket { .. } => 5.0,
        }
    }

    /// Width of the rounded or chamfered edge.
    pub fn bevel(&self) -> f32 {
        match self {
            Self::Bolt { .. } | Self::Gear { .. } => 2.2,
            Self::Nut { .. } => 2.8,
            Self::Washer { .. } | Self::Bracket { .. } => 2.4,
        }
    }

    /// Distance to the outline: negative inside the material.
    pub fn distance(&self, p: Vec2) -> f32 {
        match *self {
            Self::Bolt { length, shank, head } => {
                let left = -length / 2.0;
                let cap = rounded_box(p - Vec2::new(left + HEAD_DEPTH / 2.0, 0.0), HEAD_DEPTH / 2.0, head, 1.5);
                let shank_end = p.x - length / 2.0;
                let body = rounded_box(p - Vec2::new(HEAD_DEPTH / 2.0, 0.0), (length - HEAD_DEPTH) / 2.0, shank, 1.0);
                let tip = (shank_end + p.y.abs() - shank + 4.0) * 0.707;
                cap.min(body.max(tip))
            }
            Self::Nut { apothem, bore } => hexagon(p, apothem).max(bore_distance(p, bore)),
            Self::Washer { outer, bore } => (p.length() - outer).max(bore_distance(p, bore)),
            Self::Gear { root, tooth, teeth, bore, windows } => {
                gear(p, root, tooth, teeth, windows).max(bore_distance(p, bore))
            }
            Self::Bracket { long, short, width, ref holes, hole } => {
                let foot = rounded_box(p - Vec2::new(0.0, (short - width) / 2.0), long / 2.0, width / 2.0, 5.0);
                let arm = rounded_box(p - Vec2::new((width - long) / 2.0, 0.0), width / 2.0, short / 2.0, 5.0);
                let plate = foot.min(arm);
                holes.iter().flatten().fold(plate, |d, &at| d.max(hole - (p - at).length()))
            }
        }
    }

    /// The relief at a point inside.
    pub fn relief(&self, p: Vec2, grain: u64) -> Relief {
        match *self {
            Self::Bolt { length, shank, head } => bolt_relief(p, length, shank, head),
            Self::Nut { apothem, bore } => {
                // The chamfer cuts the corners on a circle.
                let corner = smooth_step(apothem * 0.98, apothem * 1.12, p.length());
                let thread = 1.0 - smooth_step(bore + 1.0, bore + 3.5, p.length());
                let tone = if bore > 0.0 { 1.0 - 0.55 * thread } else { 1.0 };
                Relief { slope: outward(p) * (corner * 0.9), tone: tone * brushed_straight(p, grain) }
            }
            Self::Washer { .. } => flat(brushed_round(p, grain, 0.16)),
            Self::Gear { root, bore, .. } => {
                let r = p.length();
                let (inner, outer) = (bore.max(root * 0.33) + 5.0, root - 5.5);
                let recess = smooth_step(inner, inner + 1.5, r) * (1.0 - smooth_step(outer - 1.5, outer, r));
                let wall = |at: f32| 1.0 - smooth_step(0.0, 1.6, (r - at).abs());
                let tilt = wall(inner) - wall(outer);
                Relief {
                    slope: outward(p) * (tilt * 0.9),
                    tone: lerp(1.0, 0.8, recess) * brushed_round(p, grain, 0.11),
                }
            }
            Self::Bracket { ref holes, hole, .. } => {
                let rim = holes.iter().flatten().map(|&at| (p - at).length() - hole).fold(f32::MAX, f32::min);
                let powder = 0.95 + 0.1 * value_noise(grain, p * 0.9, None);
                flat(powder * lerp(0.82, 1.0, smooth_step(1.0, 2.6, rim)))
            }
        }
    }
}

fn flat(tone: f32) -> Relief {
    Relief { slope: Vec2::new(0.0, 0.0), tone }
}

fn outward(p: Vec2) -> Vec2 {
    p * (1.0 / p.length().max(1e-3))
}

fn bore_distance(p: Vec2, bore: f32) -> f32 {
    if bore > 0.0 { bore - p.length() } else { f32::MIN }
}

fn rounded_box(p: Vec2, half_w: f32, half_h: f32, radius: f32) -> f32 {
    let q = Vec2::new(p.x.abs() - half_w + radius, p.y.abs() - half_h + radius);
    let outside = Vec2::new(q.x.max(0.0), q.y.max(0.0)).length();
    outside + q.x.max(q.y).min(0.0) - radius
}

fn hexagon(p: Vec2, apothem: f32) -> f32 {
    let (x, y) = (p.x.abs(), p.y.abs());
    y.max(x * 0.866_025_4 + y * 0.5) - apothem
}

/// `p` turned into the nearest of `n` equal sectors, whose axis is x.
fn into_sector(p: Vec2, n: f32) -> Vec2 {
    let turn = (turns_of(p) * n).round() / n;
    let (s, c) = sin_cos(f64::from(turn) * std::f64::consts::TAU);
    p.turned((-s, c))
}

fn gear(p: Vec2, root: f32, tooth: f32, teeth: f32, windows: bool) -> f32 {
    let r = p.length();
    let mut d = r - root;
    if r > root - 2.0 {
        let q = into_sector(p, teeth);
        // The flank narrows towards the tip.
        let half = root * 1.57 / teeth - (q.x - root) * 0.2;
        d = d.min((q.y.abs() - half).max(q.x - root - tooth));
    }
    if windows {
        let q = into_sector(p, 5.0);
        d = d.max(root * 0.155 - (q - Vec2::new(root * 0.62, 0.0)).length());
    }
    d
}

fn bolt_relief(p: Vec2, length: f32, shank: f32, head: f32) -> Relief {
    let from_left = p.x + length / 2.0;
    if from_left < HEAD_DEPTH {
        // A hexagon seen from its side: one facet faces up, two fall away.
        let facet = smooth_step(head * 0.46, head * 0.54, p.y.abs()) * p.y.signum();
        let rim = 1.0 - smooth_step(0.0, 3.0, from_left);
        return Relief { slope: Vec2::new(-rim * 0.5, facet * 0.85), tone: 1.0 };
    }
    let across = (p.y / shank).clamp(-1.0, 1.0);
    let plain = from_left < HEAD_DEPTH + 12.0;
    let phase = (p.x + p.y * 0.22) / THREAD_PITCH;
    let ridge = (phase - phase.floor() - 0.5) * 2.0;
    let depth = if plain { 0.0 } else { 1.0 };
    Relief {
        slope: Vec2::new(ridge * depth * 0.8, across * 1.1),
        tone: 1.0 - depth * 0.38 * smooth_step(0.45, 1.0, ridge.abs()),
    }
}

/// Turned on a lathe: fine rings, and the bow tie of light that they throw.
fn brushed_round(p: Vec2, grain: u64, amount: f32) -> f32 {
    let r2 = p.dot(p).max(1.0);
    let bow = (p.x * p.x - p.y * p.y) / r2;
    let rings = value_noise(grain, Vec2::new(p.length() * 1.4, 0.5), None) - 0.5;
    1.0 + amount * bow + 0.12 * rings
}

fn brushed_straight(p: Vec2, grain: u64) -> f32 {
    1.0 + 0.16 * (value_noise(grain, Vec2::new(p.x * 0.08, p.y * 0.9), None) - 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_lies_within_its_reach() {
        for kind in Kind::ALL {
            for i in 0..20 {
                let shape = Shape::new(kind, None, &mut Rng::new(3, 0, i));
                let r = shape.reach();
                for k in 0..360 {
                    let (s, c) = sin_cos(f64::from(k) * 0.017_453);
                    assert!(shape.distance(Vec2::new(c, s) * (r + 0.5)) > 0.0, "{kind:?}");
                }
            }
        }
    }

    #[test]
    fn a_missing_hole_is_filled() {
        for kind in [Kind::Nut, Kind::Washer, Kind::Gear, Kind::Bracket] {
            for i in 0..20 {
                let blank = Shape::new(kind, Some(Defect::MissingHole), &mut Rng::new(3, 0, i));
                let (at, _) = blank.blank().unwrap();
                assert!(blank.distance(at) < 0.0, "{kind:?}");
                let good = Shape::new(kind, None, &mut Rng::new(3, 0, i));
                let (at, _) = good.blank().unwrap();
                assert!(good.distance(at) > 0.0, "{kind:?}");
            }
        }
    }
}
