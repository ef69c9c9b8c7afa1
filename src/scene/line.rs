//! Lines that things cross.

use super::geometry::{Point, Segment};
use crate::event::Direction;

/// How far over the line a thing must be, as a fraction of its size: a box that trembles on the line crosses it once.
const FIRMLY: f64 = 0.1;

/// When a thing counts as having crossed.
#[derive(Debug, Clone, Copy)]
pub(super) struct LineRule {
    segment: Segment,
    /// The directions towards its negative and its positive side.
    directions: [Direction; 2],
    /// The only direction that counts.
    only: Option<Direction>,
}

/// The directions in which a line between two points can be crossed: across a steep one left and right, else up and down.
pub(crate) fn directions(from: Point, to: Point) -> [Direction; 2] {
    let steep = (to[1] - from[1]).abs() >= (to[0] - from[0]).abs();
    if steep { [Direction::Left, Direction::Right] } else { [Direction::Down, Direction::Up] }
}

impl LineRule {
    /// A line between two points that differ.
    pub(super) fn new(from: Point, to: Point, only: Option<Direction>) -> Self {
        let directions = directions(from, to);
        // So that the positive side is the right or the upper one.
        let turned = if directions[1] == Direction::Right { from[1] > to[1] } else { from[0] > to[0] };
        let segment = if turned { Segment { from: to, to: from } } else { Segment { from, to } };
        Self { segment, directions, only }
    }

    /// The same line where a unit across is this many units down.
    pub(super) fn stretched(mut self, aspect: f64) -> Self {
        self.segment.from[0] *= aspect;
        self.segment.to[0] *= aspect;
        self
    }

    /// The directions that count.
    pub(super) fn counted(&self) -> impl Iterator<Item = Direction> {
        self.directions.into_iter().filter(|direction| self.only.is_none_or(|only| only == *direction))
    }
}

/// One track and one line.
#[derive(Debug, Clone, Default)]
pub(super) struct Passage {
    /// Where it was last firmly on a side, and whether that is the positive one.
    firm: Option<(Point, bool)>,
    /// Whether it crossed in the only direction that counts.
    done: bool,
}

impl Passage {
    /// The track, of this size, was seen at `point`. A track that is not believed yet is remembered where it began.
    pub(super) fn seen(&mut self, rule: &LineRule, point: Point, size: f64, believed: bool) -> Option<Direction> {
        let offset = rule.segment.offset(point);
        if offset.abs() <= FIRMLY * size || !offset.is_finite() {
            return None;
        }
        let positive = offset > 0.0;
        let Some((from, was_positive)) = self.firm else {
            self.firm = Some((point, positive));
            return None;
        };
        if was_positive == positive {
            // Where it came from matters; a track's first place is kept until it is believed.
            if believed {
                self.firm = Some((point, positive));
            }
            return None;
        }
        if !believed {
            return None;
        }
        self.firm = Some((point, positive));
        let direction = rule.directions[usize::from(positive)];
        let counts = rule.only.is_none_or(|only| only == direction && !self.done);
        if !counts || !rule.segment.is_crossed(from, point) {
            return None;
        }
        self.done = true;
        Some(direction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(rule: &LineRule, points: &[Point]) -> Vec<Direction> {
        let mut passage = Passage::default();
        points.iter().filter_map(|point| passage.seen(rule, *point, 0.1, true)).collect()
    }

    #[test]
    fn directions_are_as_seen_in_the_picture_whichever_end_comes_first() {
        let (top, bottom, left, right) = ([0.5, 0.1], [0.5, 0.9], [0.1, 0.5], [0.9, 0.5]);
        for (from, to) in [(top, bottom), (bottom, top)] {
            let rule = LineRule::new(from, to, None);
            assert_eq!(story(&rule, &[left, right, left]), [Direction::Right, Direction::Left]);
        }
        for (from, to) in [(left, right), (right, left)] {
            let rule = LineRule::new(from, to, None);
            assert_eq!(story(&rule, &[top, bottom, top]), [Direction::Down, Direction::Up]);
        }
        let slanted = LineRule::new([0.4, 0.9], [0.6, 0.1], None);
        assert_eq!(story(&slanted, &[left, right]), [Direction::Right]);
    }

    #[test]
    fn trembling_on_the_line_is_one_crossing() {
        let rule = LineRule::new([0.5, 0.0], [0.5, 1.0], None);
        let trembling = [0.4, 0.495, 0.505, 0.498, 0.509, 0.52, 0.505, 0.495, 0.53].map(|x| [x, 0.5]);
        assert_eq!(story(&rule, &trembling), [Direction::Right]);
    }

    #[test]
    fn one_way_counts_each_thing_once() {
        let rule = LineRule::new([0.5, 0.0], [0.5, 1.0], Some(Direction::Right));
        let there_and_back = [0.4, 0.6, 0.4, 0.6].map(|x| [x, 0.5]);
        assert_eq!(story(&rule, &there_and_back), [Direction::Right]);
        assert_eq!(rule.counted().collect::<Vec<_>>(), [Direction::Right]);
    }

    #[test]
    fn around_the_end_is_not_across() {
        let rule = LineRule::new([0.5, 0.0], [0.5, 0.5], None);
        assert_eq!(story(&rule, &[[0.4, 0.8], [0.6, 0.8], [0.6, 0.2], [0.4, 0.2]]), [Direction::Left]);
    }

    #[test]
    fn what_crossed_before_it_was_believed_is_counted_when_it_is() {
        let rule = LineRule::new([0.5, 0.0], [0.5, 1.0], None);
        let mut passage = Passage::default();
        for (x, believed, told) in [(0.4, false, None), (0.6, false, None), (0.7, true, Some(Direction::Right))] {
            assert_eq!(passage.seen(&rule, [x, 0.5], 0.1, believed), told);
        }
        for odd in [f64::NAN, f64::INFINITY] {
            assert_eq!(passage.seen(&rule, [odd, 0.5], 0.1, true), None);
        }
    }
}
