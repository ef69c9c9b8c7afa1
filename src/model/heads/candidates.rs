//! Collects the best candidates of one picture in bounded memory.

/// Most candidates of one picture that go on to NMS.
pub const MAX_CANDIDATES: usize = 3000;

/// A class and a box that a network proposes, in pixels of its input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Index of the class.
    pub class: usize,
    /// Confidence, 0..=1.
    pub score: f32,
    /// Left edge.
    pub x1: f32,
    /// Top edge.
    pub y1: f32,
    /// Right edge.
    pub x2: f32,
    /// Bottom edge.
    pub y2: f32,
}

/// What a head found in one picture.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decoded {
    /// The candidates, best score first; of equal scores the earlier anchor first.
    pub candidates: Vec<Candidate>,
    /// Values dropped because they mean nothing: scores that are no probability, edges of boxes that are not
    /// finite or far outside the input.
    pub invalid: usize,
    /// What describes the picture as a whole, of length 1; only from the head `embedding`.
    pub embedding: Option<Vec<f32>>,
}

/// How far above 1 rounding may lift a probability, and below 0 push it.
const SLACK: f32 = 1e-3;
/// How far outside the input an edge may lie, in sizes of the input. No network learns to go farther: such numbers
/// mean something else.
const REACH: f32 = 4.0;

/// Keeps the [`MAX_CANDIDATES`] best candidates.
pub(super) struct Collector {
    found: Decoded,
    /// Candidates must score above this: the threshold asked for, or more once there are plenty.
    floor: f32,
    /// Width and height of the input.
    size: (f32, f32),
}

impl Collector {
    /// Collects what scores above `score` in an input of this width and height.
    pub(super) fn new(score: f32, size: (f32, f32)) -> Self {
        Self { found: Decoded::default(), floor: score, size }
    }

    /// Whether a score is worth the rest of the work. Counts scores that are no probability.
    pub(super) fn admits(&mut self, score: f32) -> bool {
        if score > self.floor && score <= 1.0 + SLACK {
            return true;
        }
        if !(-SLACK..=1.0 + SLACK).contains(&score) {
            self.found.invalid += 1;
        }
        false
    }

    /// Adds a candidate that [`Collector::admits`] let through, unless its box makes no sense.
    pub(super) fn push(&mut self, class: usize, score: f32, [x1, y1, x2, y2]: [f32; 4]) {
        // Also false for what is not finite.
        let near = |edge: f32, side: f32| (-REACH * side..=(1.0 + REACH) * side).contains(&edge);
        let (w, h) = self.size;
        if ![x1, x2].iter().all(|x| near(*x, w)) || ![y1, y2].iter().all(|y| near(*y, h)) {
            self.found.invalid += 1;
            return;
        }
        let score = score.min(1.0);
        self.found.candidates.push(Candidate { class, score, x1, y1, x2, y2 });
        if self.found.candidates.len() >= 4 * MAX_CANDIDATES {
            self.compact();
        }
    }

    /// Counts a candidate that means nothing for another reason than its score or box.
    pub(super) fn drop_one(&mut self) {
        self.found.invalid += 1;
    }

    /// Counts that all of `rows` proposals mean nothing.
    pub(super) fn drop_many(&mut self, rows: usize) {
        self.found.invalid += rows;
    }

    fn compact(&mut self) {
        // A stable sort keeps the earlier of equal scores in front, whenever it is done.
        self.found.candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
        if self.found.candidates.len() >= MAX_CANDIDATES {
            self.found.candidates.truncate(MAX_CANDIDATES);
            if let Some(last) = self.found.candidates.last() {
                self.floor = self.floor.max(last.score);
            }
        }
    }

    /// The candidates, best first.
    pub(super) fn finish(mut self) -> Decoded {
        self.compact();
        self.found
    }
}
