//! Points, polygons and lines, in any one unit.

/// Across and down.
pub(crate) type Point = [f64; 2];

/// A closed polygon. It may be concave; where its edges cross, what is inside is by the even-odd rule.
#[derive(Debug, Clone)]
pub(crate) struct Polygon(Vec<Point>);

impl Polygon {
    pub(crate) fn new(corners: &[Point]) -> Self {
        Self(corners.to_vec())
    }

    /// Whether a point is inside: a ray from it crosses an odd number of edges.
    pub(crate) fn contains(&self, [x, y]: Point) -> bool {
        let ends = self.0.iter().skip(1).chain(self.0.first());
        let crossed = self
            .0
            .iter()
            .zip(ends)
            .filter(|([ax, ay], [bx, by])| (*ay > y) != (*by > y) && x < ax + (bx - ax) * (y - ay) / (by - ay));
        crossed.count() % 2 == 1
    }

    /// Its area; parts that wind the other way count as negative.
    pub(crate) fn area(&self) -> f64 {
        let ends = self.0.iter().skip(1).chain(self.0.first());
        let twice: f64 = self.0.iter().zip(ends).map(|([ax, ay], [bx, by])| ax * by - bx * ay).sum();
        (twice / 2.0).abs()
    }
}

/// A line between two points.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) from: Point,
    pub(crate) to: Point,
}

impl Segment {
    /// How far a point is off the endless line, positive on one side: right of it where the line runs down the picture,
    /// above it where it runs to the right.
    pub(crate) fn offset(&self, [x, y]: Point) -> f64 {
        let [dx, dy] = [self.to[0] - self.from[0], self.to[1] - self.from[1]];
        let length = dx.hypot(dy);
        if length > 0.0 { ((x - self.from[0]) * dy - (y - self.from[1]) * dx) / length } else { 0.0 }
    }

    /// Whether the way between two points, which lie on its two sides, leads through it rather than around its ends.
    pub(crate) fn is_crossed(&self, from: Point, to: Point) -> bool {
        let way = Self { from, to };
        (way.offset(self.from) > 0.0) != (way.offset(self.to) > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_of_any_polygon() {
        let arrow = Polygon::new(&[[0.0, 0.0], [4.0, 2.0], [0.0, 4.0], [1.0, 2.0]]);
        for (point, inside) in [([2.0, 2.0], true), ([0.5, 2.0], false), ([0.5, 0.5], true), ([3.0, 0.5], false)] {
            assert_eq!(arrow.contains(point), inside, "{point:?}");
        }
        assert!((arrow.area() - 6.0).abs() < 1e-12);
        let bow = Polygon::new(&[[0.0, 0.0], [2.0, 2.0], [2.0, 0.0], [0.0, 2.0]]);
        assert!(bow.contains([0.4, 1.0]) && bow.contains([1.6, 1.0]) && !bow.contains([1.0, 0.4]));
        assert!(!Polygon::new(&[]).contains([0.0, 0.0]) && !arrow.contains([f64::NAN, 2.0]));
    }

    #[test]
    fn sides_and_crossings() {
        let down = Segment { from: [1.0, 0.0], to: [1.0, 2.0] };
        assert!((down.offset([1.5, 1.0]) - 0.5).abs() < 1e-12 && down.offset([0.0, 5.0]) < 0.0);
        let right = Segment { from: [0.0, 1.0], to: [2.0, 1.0] };
        assert!(right.offset([1.0, 0.0]) > 0.0);
        assert!(down.is_crossed([0.0, 1.0], [2.0, 1.0]) && !down.is_crossed([0.0, 3.0], [2.0, 2.5]));
        assert_eq!(Segment { from: [1.0, 1.0], to: [1.0, 1.0] }.offset([0.0, 0.0]), 0.0);
    }
}
