//! Strided views: what slices, transpositions, reshapes and channel shuffles make of a value, without moving a number.

use super::ir::Id;

/// One digit of an axis: `extent` cells that lie `stride` elements apart in the row-major base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Digit {
    pub(super) extent: usize,
    pub(super) stride: usize,
}

/// An axis as a number of mixed radix, most significant digit first; none stands for an extent of 1.
///
/// A plain axis has one digit. Merging axes that do not lie behind one another, as a channel shuffle does, leaves more.
pub(super) type Axis = Vec<Digit>;

/// Axes over the elements of a base value. No element is seen twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub(super) base: Id,
    pub(super) offset: usize,
    pub(super) axes: Vec<Axis>,
}

impl View {
    /// The whole of a value of this row-major shape.
    pub(super) fn whole(base: Id, shape: &[usize]) -> Self {
        let mut stride = 1;
        let mut axes: Vec<Axis> = Vec::with_capacity(shape.len());
        for &extent in shape.iter().rev() {
            axes.push(digits(extent, stride));
            stride *= extent;
        }
        axes.reverse();
        Self { base, offset: 0, axes }
    }

    pub(super) fn shape(&self) -> Vec<usize> {
        self.axes.iter().map(|axis| extent(axis)).collect()
    }

    /// Number of elements seen.
    pub(super) fn len(&self) -> usize {
        self.axes.iter().map(|axis| extent(axis)).product()
    }

    /// Whether the elements come in the base's own order, all `len` of them.
    pub(super) fn is_in_order(&self, len: usize) -> bool {
        let flat = joined(self.axes.iter().flatten().copied());
        let in_order = match *flat.as_slice() {
            [] => true,
            [one] => one.stride == 1,
            _ => false,
        };
        self.offset == 0 && in_order && self.len() == len
    }

    /// Whether every one of the base's `len` elements is seen.
    pub(super) fn is_all(&self, len: usize) -> bool {
        self.offset == 0 && self.len() == len
    }

    /// The axis `from` moved to position `to`.
    pub(super) fn moved(mut self, from: usize, to: usize) -> Option<Self> {
        if from >= self.axes.len() || to >= self.axes.len() {
            return None;
        }
        let axis = self.axes.remove(from);
        self.axes.insert(to, axis);
        Some(self)
    }

    /// The same elements in the same order as another shape; none where that cuts a digit unevenly.
    pub(super) fn reshaped(self, shape: &[usize]) -> Option<Self> {
        let mut left: Vec<Digit> = joined(self.axes.iter().flatten().copied());
        left.reverse();
        let mut axes = Vec::with_capacity(shape.len());
        for &target in shape {
            let mut axis = Vec::new();
            let mut need = target;
            while need > 1 {
                let digit = left.pop()?;
                if need.is_multiple_of(digit.extent) {
                    need /= digit.extent;
                    axis.push(digit);
                } else if digit.extent.is_multiple_of(need) {
                    let inner = digit.extent / need;
                    axis.push(Digit { extent: need, stride: digit.stride * inner });
                    left.push(Digit { extent: inner, stride: digit.stride });
                    need = 1;
                } else {
                    return None;
                }
            }
            axes.push(joined(axis));
        }
        left.is_empty().then_some(Self { axes, ..self })
    }

    /// The cells `start..end` of an axis; none where that cuts a digit.
    pub(super) fn sliced(mut self, axis: usize, start: usize, end: usize) -> Option<Self> {
        let cut = self.axes.get_mut(axis)?;
        let whole = extent(cut);
        if start >= end || end > whole {
            return None;
        }
        if (start, end) == (0, whole) {
            return Some(self);
        }
        let first = cut.first_mut()?;
        let inner = whole / first.extent;
        if !start.is_multiple_of(inner) || !end.is_multiple_of(inner) {
            return None;
        }
        self.offset += start / inner * first.stride;
        first.extent = (end - start) / inner;
        cut.retain(|digit| digit.extent > 1);
        Some(self)
    }

    /// Every `step`-th cell of an axis, from `first` on.
    pub(super) fn thinned(mut self, axis: usize, first: usize, step: usize) -> Option<Self> {
        let axis = self.axes.get_mut(axis)?;
        let [digit] = axis.as_mut_slice() else { return None };
        if step == 0 || first >= digit.extent {
            return None;
        }
        self.offset += first * digit.stride;
        *digit = Digit { extent: (digit.extent - first).div_ceil(step), stride: digit.stride * step };
        axis.retain(|digit| digit.extent > 1);
        Some(self)
    }
}

/// A plain axis.
pub(super) fn digits(extent: usize, stride: usize) -> Axis {
    if extent == 1 { vec![] } else { vec![Digit { extent, stride }] }
}

pub(super) fn extent(axis: &[Digit]) -> usize {
    axis.iter().map(|digit| digit.extent).product()
}

/// Digits that lie behind one another made one.
pub(super) fn joined(digits: impl IntoIterator<Item = Digit>) -> Axis {
    let mut axis: Axis = Vec::new();
    for digit in digits {
        match axis.last_mut() {
            _ if digit.extent == 1 => {}
            Some(last) if last.stride == digit.stride * digit.extent => {
                *last = Digit { extent: last.extent * digit.extent, stride: digit.stride };
            }
            _ => axis.push(digit),
        }
    }
    axis
}

/// Where each cell of an axis lies, relative to the first.
pub(super) fn offsets(axis: &[Digit]) -> Vec<usize> {
    axis.iter().fold(vec![0], |starts, digit| {
        starts.iter().flat_map(|start| (0..digit.extent).map(move |i| start + i * digit.stride)).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(view: &View) -> Vec<usize> {
        let all = view.axes.iter().flatten().copied().collect::<Vec<_>>();
        offsets(&all).iter().map(|at| at + view.offset).collect()
    }

    #[test]
    fn a_shuffle_is_a_view_with_two_digits() {
        let view = View::whole(0, &[6, 5]).reshaped(&[2, 3, 5]).and_then(|v| v.moved(0, 1));
        let view = view.and_then(|v| v.reshaped(&[6, 5])).expect("a view");
        assert_eq!(view.axes[0].len(), 2);
        let channels: Vec<usize> = offsets(&view.axes[0]).iter().map(|at| at / 5).collect();
        assert_eq!(channels, [0, 3, 1, 4, 2, 5]);
        assert!(view.is_all(30) && !view.is_in_order(30));
        let half = view.clone().sliced(0, 2, 4).expect("an even cut");
        assert_eq!(seen(&half)[..5], [5, 6, 7, 8, 9]);
        assert_eq!(half.shape(), [2, 5]);
        assert_eq!(view.sliced(0, 1, 4), None, "an uneven cut");
    }

    #[test]
    fn slices_and_steps_start_where_they_should() {
        let view = View::whole(0, &[4, 6]).sliced(0, 1, 3).and_then(|v| v.thinned(1, 1, 2)).expect("a view");
        assert_eq!(seen(&view), [7, 9, 11, 13, 15, 17]);
        assert!(!view.is_all(24));
    }

    #[test]
    fn there_and_back_is_in_order() {
        let view = View::whole(0, &[2, 3, 4]).moved(0, 2).and_then(|v| v.moved(2, 0)).expect("a view");
        assert!(view.is_in_order(24));
        let flat = view.reshaped(&[24]).expect("a view");
        assert_eq!(flat.axes, [vec![Digit { extent: 24, stride: 1 }]]);
        assert_eq!(flat.reshaped(&[5, 5]), None);
    }
}
