//! Which parts lie on the belt, where and how: a pure function of the seed and a part's number.

use super::maths::{Rng, Vec2, sin_cos};
use super::shape::Shape;

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bolt,
    Nut,
    Washer,
    Gear,
    Bracket,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::Bolt, Self::Nut, Self::Washer, Self::Gear, Self::Bracket];

    /// Index in [`super::LABELS`].
    pub fn class(self) -> usize {
        match self {
            Self::Bolt => 0,
            Self::Nut => 1,
            Self::Washer => 2,
            Self::Gear => 3,
            Self::Bracket => 4,
        }
    }

    /// How it comes from the finisher: zinc, brass, or blue powder coat.
    fn finish(self) -> Finish {
        match self {
            Self::Bolt | Self::Nut | Self::Washer => Finish::ZINC,
            Self::Gear => Finish::BRASS,
            Self::Bracket => Finish::BLUE,
        }
    }

    fn wrong_finish(self, rng: &mut Rng) -> Finish {
        match self {
            Self::Bolt | Self::Nut | Self::Washer => {
                rng.pick([Finish::RED, Finish::GREEN, Finish::BLUE, Finish::BRASS])
            }
            Self::Gear => rng.pick([Finish::RED, Finish::GREEN, Finish::BLUE, Finish::ZINC]),
            Self::Bracket => rng.pick([Finish::RED, Finish::GREEN, Finish::YELLOW, Finish::ZINC]),
        }
    }
}

/// What is wrong with a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defect {
    Scratched,
    MissingHole,
    WrongColour,
}

impl Defect {
    /// Index in [`super::LABELS`].
    pub fn class(self) -> usize {
        match self {
            Self::Scratched => 5,
            Self::MissingHole => 6,
            Self::WrongColour => 7,
        }
    }
}

/// Colour and gloss of a surface.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Finish {
    pub rgb: [f32; 3],
    /// 0 paint .. 1 bare metal.
    pub metal: f32,
}

impl Finish {
    const ZINC: Self = Self { rgb: [0.66, 0.68, 0.70], metal: 1.0 };
    const BRASS: Self = Self { rgb: [0.74, 0.58, 0.31], metal: 0.9 };
    const BLUE: Self = Self { rgb: [0.16, 0.33, 0.60], metal: 0.25 };
    const RED: Self = Self { rgb: [0.74, 0.15, 0.12], metal: 0.2 };
    const GREEN: Self = Self { rgb: [0.13, 0.55, 0.25], metal: 0.2 };
    const YELLOW: Self = Self { rgb: [0.88, 0.72, 0.10], metal: 0.2 };
}

/// One part on the belt. Parts enter in the order of their numbers, and later ones lie on top.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub kind: Kind,
    pub defect: Option<Defect>,
    pub shape: Shape,
    pub finish: Finish,
    /// Centre across the belt, units from the middle.
    pub y: f32,
    /// Centre along the belt, units beside its slot.
    pub x: f32,
    /// Sine and cosine of its rotation.
    pub turn: (f32, f32),
    pub scale: f32,
    /// Seeds its surface: grain and scratches.
    pub grain: u64,
}

/// Units of belt a part.
pub(super) const SPACING: f64 = 62.0;
/// No part reaches further from its slot than this, in units.
pub(super) const MARGIN: f64 = 130.0;
/// Distance of the parts' centres from the edges of the belt.
const EDGE: f32 = 61.0;

const STREAM_PLACE: u64 = 1;
const STREAM_PART: u64 = 2;

impl Part {
    /// The part with this number on a belt that is `belt` units wide, where a share of `leaning` leans on the part before;
    /// `None` where there is a gap.
    pub fn nth(seed: u64, id: u64, belt: f32, leaning: f32) -> Option<Self> {
        let mut rng = Rng::new(seed, STREAM_PART, id);
        if rng.chance(0.08) {
            return None;
        }
        let defect = rng.chance(0.30).then(|| rng.pick([Defect::Scratched, Defect::MissingHole, Defect::WrongColour]));
        let kind = match defect {
            // A scratch on a thread can't be told from the thread, and on a nut there is no room for one.
            Some(Defect::Scratched) => rng.pick([Kind::Washer, Kind::Gear, Kind::Bracket]),
            Some(Defect::MissingHole) => rng.pick([Kind::Nut, Kind::Washer, Kind::Gear, Kind::Bracket]),
            _ => rng.pick(Kind::ALL),
        };
        let finish = match defect {
            Some(Defect::WrongColour) => kind.wrong_finish(&mut rng),
            _ => kind.finish(),
        };
        let turn = sin_cos(f64::from(rng.unit()) * std::f64::consts::TAU);
        let scale = rng.range(0.86, 1.14);
        let grain = rng.next_u64();
        let shade = rng.range(0.93, 1.07);
        let shape = Shape::new(kind, defect, &mut rng);
        let at = place(seed, id, belt, leaning);
        let finish = Finish { rgb: finish.rgb.map(|v| v * shade), ..finish };
        Some(Self { kind, defect, shape, finish, y: at.y, x: at.x, turn, scale, grain })
    }
}

/// Where a part lies beside its slot.
fn place(seed: u64, id: u64, belt: f32, leaning: f32) -> Vec2 {
    let room = (belt / 2.0 - EDGE).max(0.0);
    let mut rng = Rng::new(seed, STREAM_PLACE, id);
    if id > 0 && rng.chance(leaning) {
        let before = own_place(seed, id - 1, room);
        let side = if before.y > 0.0 { -1.0 } else { 1.0 };
        #[allow(clippy::cast_possible_truncation)]
        let back = SPACING as f32 - rng.range(14.0, 36.0);
        return Vec2::new(before.x + back, before.y + side * rng.range(22.0, 40.0));
    }
    own_place(seed, id, room)
}

/// The golden ratio spreads neighbours over the belt's width.
fn own_place(seed: u64, id: u64, room: f32) -> Vec2 {
    let mut rng = Rng::new(seed, STREAM_PLACE, id.wrapping_add(1 << 40));
    let start = Rng::new(seed, STREAM_PLACE, 1 << 60).unit();
    #[allow(clippy::cast_precision_loss)] // it wraps long before that matters
    let turns = (id % (1 << 40)) as f64 * 0.381_966_011_25 + f64::from(start + rng.range(-0.07, 0.07));
    #[allow(clippy::cast_possible_truncation)]
    let across = (turns - turns.floor()) as f32;
    Vec2::new(rng.range(-16.0, 16.0), (across * 2.0 - 1.0) * room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stay_on_the_belt() {
        for id in 0..3000 {
            if let Some(p) = Part::nth(5, id, 308.0, 0.14) {
                assert!(p.y.abs() + p.shape.reach() * p.scale <= 154.0, "part {id} at {}", p.y);
                assert!(f64::from(p.x.abs() + p.shape.reach() * p.scale) < MARGIN, "part {id} at {}", p.x);
            }
        }
    }

    #[test]
    fn defects_are_a_minority_and_all_occur() {
        let parts: Vec<Part> = (0..3000).filter_map(|id| Part::nth(5, id, 308.0, 0.14)).collect();
        let count = |d| parts.iter().filter(|p| p.defect == d).count();
        let good = count(None);
        assert!(good * 3 > parts.len() * 2 - 200 && good < parts.len());
        for d in [Defect::Scratched, Defect::MissingHole, Defect::WrongColour] {
            assert!(count(Some(d)) > parts.len() / 20, "{d:?}");
        }
        for kind in Kind::ALL {
            assert!(parts.iter().filter(|p| p.kind == kind && p.defect.is_none()).count() > parts.len() / 20);
        }
    }
}
