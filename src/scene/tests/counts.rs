//! Counts that go on in another scene, and counts that begin anew.

use std::collections::BTreeMap;

use super::super::testing::wall;
use super::super::{Ids, Kept, Scene};
use super::life::{line, new, pass, run, zone};
use crate::config::{Name, TrackConfig};
use crate::event::{Count, Counted, Direction, Tally};

fn kept(counts: &[Count]) -> BTreeMap<String, Kept> {
    let kept = |count: &Count| Kept { since: count.since, counted: count.counted.clone() };
    counts.iter().map(|count| (count.rule.clone(), kept(count))).collect()
}

fn last(counts: &[Count], rule: &str) -> Count {
    counts.iter().rev().find(|count| count.rule == rule).expect("it is told").clone()
}

fn right(count: &Count) -> Tally {
    let Counted::Line { crossed } = &count.counted else { panic!("{count:?}") };
    crossed[&Direction::Right].clone()
}

#[test]
fn another_scene_goes_on_where_the_first_one_was() {
    let first = run(&mut new(&TrackConfig::default()), pass("bolt").chain(pass("scratched"))).counts;
    let mut second = new(&TrackConfig::default());
    second.resume(&kept(&first));
    let told = run(&mut second, pass("bolt").chain(pass("nut")));
    let exit = last(&told.counts, "exit");
    let tally = right(&exit);
    assert_eq!((tally.total, tally.labels["bolt"], tally.groups["ok"], tally.groups["ng"]), (4, 2, 3, 1));
    assert_eq!(exit.since, first[0].since, "it is the same count");
    let Counted::Zone { present, entered } = last(&told.counts, "belt").counted else { panic!() };
    assert_eq!((present, entered.total), (0, 4));
    // What an event says of it goes on too.
    let crossed: Vec<u64> = told.events.iter().filter_map(|event| Some(event.line.as_ref()?.count)).collect();
    assert_eq!(crossed, [3, 4]);
}

#[test]
fn a_rule_that_changed_counts_on_as_far_as_it_means_the_same() {
    let first = kept(&run(&mut new(&TrackConfig::default()), pass("bolt").chain(pass("scratched"))).counts);
    // Other groups: what was counted is in them now. A zone of the name of what was a line: another thing.
    let mut changed = line("exit");
    changed.groups = [(Name::near("all"), vec!["bolt".to_owned(), "scratched".to_owned()])].into();
    let mut renamed = first.clone();
    renamed.insert("gate".to_owned(), first["exit"].clone());
    let mut scene = Scene::new(None, &[zone("gate")], &[changed], Ids::seeded(1)).expect("it has rules");
    scene.resume(&renamed);
    let told = run(&mut scene, pass("nut"));
    let tally = right(&last(&told.counts, "exit"));
    assert_eq!((tally.total, tally.groups), (3, [("all".to_owned(), 2)].into()));
    let gate = last(&told.counts, "gate");
    let Counted::Zone { entered, .. } = gate.counted else { panic!() };
    assert_eq!((entered.total, gate.since), (1, told.messages[0].frame.captured_at));
}

#[test]
fn counts_begin_anew_and_what_is_inside_stays_inside() {
    let mut scene = new(&TrackConfig::default());
    // Until the part is in the zone.
    let mut frames = pass("bolt");
    let told = run_on(&mut scene, frames.by_ref().take(20));
    let Counted::Zone { present: 1, .. } = last(&told, "belt").counted else { panic!("{told:?}") };
    let now = wall(1_000_000);
    let counts = scene.reset(now);
    assert_eq!(counts.len(), 2);
    let rest = run_on(&mut scene, frames);
    let belt = last(&rest, "belt");
    let Counted::Zone { present, entered } = belt.counted else { panic!() };
    assert_eq!((present, entered.total, belt.since), (0, 0, now));
    assert_eq!(right(&last(&rest, "exit")).total, 1);
}

/// Runs frames without ending what is followed.
fn run_on(scene: &mut Scene, frames: impl IntoIterator<Item = Vec<crate::detection::Object>>) -> Vec<Count> {
    use super::super::testing::frame;
    let start = scene.last;
    let mut counts = Vec::new();
    for (seq, objects) in (1..).zip(frames) {
        let at = start + std::time::Duration::from_millis(seq * 100);
        let ms = u64::try_from(at.as_millis()).expect("small");
        counts.extend(scene.step(frame(ms / 100, ms, objects), at).counts);
    }
    counts
}
