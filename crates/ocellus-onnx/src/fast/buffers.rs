//! Buffers for values that are needed at different times are shared.

use super::step::{Output, Place, Program, Source};

/// When a value is needed: the steps that first write and last read it.
#[derive(Debug, Clone, Copy)]
struct Life {
    first: usize,
    last: usize,
}

/// The same program on fewer buffers.
pub(super) fn share(mut program: Program) -> Program {
    let lives = lives(&program);
    let (homes, buffers) = homes(&lives, &program.buffers, program.steps.len());
    let moved = |place: &mut Place| {
        if let Source::Buffer(slot) = place.source {
            place.source = Source::Buffer(homes[slot]);
        }
    };
    for step in &mut program.steps {
        step.reads.iter_mut().chain(&mut step.write).for_each(moved);
    }
    for output in &mut program.outputs {
        if let Output::Place(place, _) = output {
            moved(place);
        }
    }
    program.buffers = buffers;
    program
}

fn lives(program: &Program) -> Vec<Life> {
    let mut lives = vec![Life { first: usize::MAX, last: 0 }; program.buffers.len()];
    let mut seen = |place: &Place, at: usize| {
        if let Source::Buffer(slot) = place.source {
            let life: &mut Life = &mut lives[slot];
            life.first = life.first.min(at);
            life.last = life.last.max(at);
        }
    };
    for (at, step) in program.steps.iter().enumerate() {
        step.reads.iter().chain(&step.write).for_each(|place| seen(place, at));
    }
    for output in &program.outputs {
        if let Output::Place(place, _) = output {
            seen(place, program.steps.len());
        }
    }
    lives
}

/// The buffer of each slot, and the buffers' lengths: the smallest free one that is large enough, else the largest free
/// one made larger.
fn homes(lives: &[Life], lengths: &[usize], steps: usize) -> (Vec<usize>, Vec<usize>) {
    let mut homes = vec![0; lives.len()];
    let mut buffers: Vec<usize> = vec![];
    let mut free: Vec<usize> = vec![];
    for at in 0..=steps {
        for slot in (0..lives.len()).filter(|slot| lives[*slot].first == at) {
            let fits = free.iter().copied().filter(|b| buffers[*b] >= lengths[slot]).min_by_key(|b| buffers[*b]);
            let home = fits.or_else(|| free.iter().copied().max_by_key(|b| buffers[*b])).unwrap_or(buffers.len());
            if home == buffers.len() {
                buffers.push(0);
            }
            buffers[home] = buffers[home].max(lengths[slot]);
            free.retain(|b| *b != home);
            homes[slot] = home;
        }
        free.extend(
            (0..lives.len()).filter(|slot| lives[*slot].last == at && lives[*slot].first <= at).map(|s| homes[s]),
        );
    }
    (homes, buffers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_one_time_lie_apart_and_others_share() {
        let life = |first, last| Life { first, last };
        let lives = [life(0, 1), life(1, 2), life(2, 3), life(3, 3)];
        let (homes, buffers) = homes(&lives, &[10, 20, 5, 30], 3);
        assert_eq!(homes, [0, 1, 0, 1]);
        assert_eq!(buffers, [10, 30]);
    }
}
