//! Who belongs to whom at the lowest total cost: the linear assignment problem.

/// Pairs rows with columns so that the sum of their gains is largest; `gain` is 0 for a pair that may not be. Each row
/// and column is in at most one pair, and no pair without a gain is given. Numbers that are not finite count as 0.
///
/// Shortest augmenting paths with potentials (Jonker & Volgenant, "A shortest augmenting path algorithm for dense and
/// sparse linear assignment problems", Computing 38, 1987), O(rows² · columns).
pub(super) fn best_pairs(rows: usize, columns: usize, gain: &dyn Fn(usize, usize) -> f64) -> Vec<(usize, usize)> {
    if rows > columns {
        let turned = best_pairs(columns, rows, &|column, row| gain(row, column));
        return turned.into_iter().map(|(column, row)| (row, column)).collect();
    }
    let worth = |row: usize, column: usize| {
        let gain = gain(row, column);
        if gain.is_finite() { gain.max(0.0) } else { 0.0 }
    };
    let mut solver = Solver::new(rows, columns);
    for row in 0..rows {
        solver.place(row, &worth);
    }
    let pairs = solver.row_of.iter().enumerate().filter_map(|(column, row)| Some(((*row)?, column)));
    let mut pairs: Vec<_> = pairs.filter(|(row, column)| worth(*row, *column) > 0.0).collect();
    pairs.sort_unstable();
    pairs
}

struct Solver {
    /// Potentials.
    of_row: Vec<f64>,
    of_column: Vec<f64>,
    /// The row that each column is paired with.
    row_of: Vec<Option<usize>>,
    /// The cheapest known way to each column, and the column before it on that way.
    distance: Vec<f64>,
    before: Vec<Option<usize>>,
    reached: Vec<bool>,
}

impl Solver {
    fn new(rows: usize, columns: usize) -> Self {
        Self {
            of_row: vec![0.0; rows],
            of_column: vec![0.0; columns],
            row_of: vec![None; columns],
            distance: vec![0.0; columns],
            before: vec![None; columns],
            reached: vec![false; columns],
        }
    }

    /// Finds the cheapest way from `row` to a free column, over columns that are taken, and moves the pairs on it on by
    /// one.
    fn place(&mut self, row: usize, worth: &impl Fn(usize, usize) -> f64) {
        self.distance.fill(f64::INFINITY);
        self.before.fill(None);
        self.reached.fill(false);
        let (mut at, mut current) = (None, row);
        let end = loop {
            let Some((column, step)) = self.nearest(at, current, worth) else { return };
            self.shift(row, step);
            self.reached[column] = true;
            match self.row_of[column] {
                None => break column,
                Some(taken) => (at, current) = (Some(column), taken),
            }
        };
        let mut column = end;
        while let Some(before) = self.before[column] {
            self.row_of[column] = self.row_of[before];
            column = before;
        }
        self.row_of[column] = Some(row);
    }

    /// Lengthens the way that ends at column `at`, in `current`'s row, and gives the nearest column not reached yet with
    /// its distance.
    fn nearest(
        &mut self,
        at: Option<usize>,
        current: usize,
        worth: &impl Fn(usize, usize) -> f64,
    ) -> Option<(usize, f64)> {
        let mut nearest = None;
        for column in (0..self.row_of.len()).filter(|column| !self.reached[*column]) {
            let reduced = -worth(current, column) - self.of_row[current] - self.of_column[column];
            if reduced < self.distance[column] {
                self.distance[column] = reduced;
                self.before[column] = at;
            }
            if nearest.is_none_or(|(_, least)| self.distance[column] < least) {
                nearest = Some((column, self.distance[column]));
            }
        }
        nearest
    }

    /// Moves the potentials so that the columns on the way stay free of charge.
    fn shift(&mut self, start: usize, step: f64) {
        self.of_row[start] += step;
        for column in 0..self.row_of.len() {
            if self.reached[column] {
                if let Some(row) = self.row_of[column] {
                    self.of_row[row] += step;
                }
                self.of_column[column] -= step;
            } else {
                self.distance[column] -= step;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn total(pairs: &[(usize, usize)], gains: &[Vec<f64>]) -> f64 {
        pairs.iter().map(|(row, column)| gains[*row][*column]).sum()
    }

    /// The best total by trying everything.
    fn exhaustive(gains: &[Vec<f64>], free: &[usize]) -> f64 {
        let Some((first, rest)) = gains.split_first() else { return 0.0 };
        let without = exhaustive(rest, free);
        let with = free.iter().map(|&column| {
            let left: Vec<usize> = free.iter().copied().filter(|other| *other != column).collect();
            first[column].max(0.0) + exhaustive(rest, &left)
        });
        with.fold(without, f64::max)
    }

    #[test]
    fn it_is_as_good_as_trying_everything() {
        let mut random = Random(1);
        for _ in 0..2000 {
            let (rows, columns) = (random.below(6), random.below(6));
            let mut gain = || if random.unit() < 0.4 { 0.0 } else { f64::from(random.below(20) as u32) / 10.0 };
            let gains: Vec<Vec<f64>> = (0..rows).map(|_| (0..columns).map(|_| gain()).collect()).collect();
            let pairs = best_pairs(rows, columns, &|row, column| gains[row][column]);
            let all: Vec<usize> = (0..columns).collect();
            assert!((total(&pairs, &gains) - exhaustive(&gains, &all)).abs() < 1e-9, "{gains:?} {pairs:?}");
            for seen in [pairs.iter().map(|p| p.0).collect::<Vec<_>>(), pairs.iter().map(|p| p.1).collect()] {
                let mut once = seen.clone();
                once.sort_unstable();
                once.dedup();
                assert_eq!(once.len(), seen.len(), "{pairs:?}");
            }
            assert!(pairs.iter().all(|(row, column)| gains[*row][*column] > 0.0), "{pairs:?}");
        }
    }

    #[test]
    fn what_is_no_number_pairs_nothing() {
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0] {
            assert_eq!(best_pairs(3, 2, &|_, _| odd), []);
        }
        assert_eq!(best_pairs(0, 5, &|_, _| 1.0), []);
    }
}
