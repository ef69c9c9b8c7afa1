//! Hours that begin, are counted, close and leave, whatever happens meanwhile.

use std::time::{Duration, Instant};

use chrono::TimeDelta;

use super::super::row::hour_of;
use super::super::{Batch, Files, Happening, Key, Ledger, Look, Occurrence, Sums, Tally};
use super::*;
use crate::status::CameraState;

const BAND: [f32; 2] = [0.3, 0.6];

/// A batch of one frame with a bolt.
fn one(at: DateTime<Utc>) -> Batch {
    let mut tally = Tally::new(BAND);
    tally.scored(&seen("line3", at, &[("bolt", 0.9)]));
    tally.take()
}

/// All that is closed, oldest first, with what it holds; the ledger has it no more.
fn all_closed(ledger: &mut Ledger) -> Vec<(DateTime<Utc>, u64, usize)> {
    let mut all = Vec::new();
    while let Some(part) = ledger.closed().unwrap() {
        let (sums, events) = ledger.read(&part).unwrap();
        all.push((part.from, sums.iter().map(|(_, sums)| sums.frames).sum(), events.len()));
        ledger.forget(&part).unwrap();
    }
    all
}

#[test]
fn frames_objects_and_scores_are_counted_by_camera_model_and_label() {
    let mut tally = Tally::new(BAND);
    tally.scored(&seen("line3", at(0), &[("bolt", 0.95), ("bolt", 0.3), ("nut", 1.0)]));
    tally.scored(&seen("line3", at(1), &[("bolt", 0.7)]));
    tally.scored(&seen("line3", at(3600), &[]));
    tally.scored(&seen("line4", at(1), &[("nut", f32::NAN)]));
    let sums = tally.take().sums;
    assert!(tally.take().is_empty());
    let key = |camera, hour| Key::new(hour_of(at(0)) + hour, camera).by(&model());
    let frames = |key| (sums[&key].frames, sums[&key].uncertain, sums[&key].detections);
    assert_eq!(frames(key("line3", 0)), (2, 1, 0));
    assert_eq!(frames(key("line3", 1)), (1, 0, 0));
    assert_eq!(frames(key("line4", 0)), (1, 0, 0));
    let bolts = &sums[&key("line3", 0).of("bolt")];
    assert_eq!((bolts.frames, bolts.detections, bolts.score), (0, 3, 19_500));
    let bins: Vec<_> = bolts.scores.iter().enumerate().filter(|(_, count)| **count > 0).collect();
    assert_eq!(bins, [(6, &1), (14, &1), (19, &1)]);
    // 1 has no bin above.
    assert_eq!(sums[&key("line3", 0).of("nut")].scores[19], 1);
    assert_eq!(sums[&key("line4", 0).of("nut")].scores[0], 1);
}

#[test]
fn events_are_counted_by_kind_and_listed() {
    let mut tally = Tally::new(BAND);
    let mut end = crossed(2, at(3601));
    (end.kind, end.line) = (EventType::End, None);
    tally.happened(&crossed(1, at(5)));
    tally.happened(&end);
    let batch = tally.take();
    let of_kind = |hour, kind: Happening| {
        let sums = &batch.sums[&Key::new(hour_of(at(0)) + hour, "line3").by(&model()).of("bolt")];
        let index = Happening::ALL.iter().position(|other| *other == kind).unwrap();
        (sums.events[index], sums.events.iter().sum::<u64>())
    };
    assert_eq!((of_kind(0, Happening::Crossed), of_kind(1, Happening::End)), ((1, 1), (1, 1)));
    let listed: Vec<_> = batch.events.iter().map(|event| (event.kind, event.line.as_deref())).collect();
    assert_eq!(listed, [(Happening::Crossed, Some("exit")), (Happening::End, None)]);
}

#[test]
fn states_last_as_long_as_the_clock_that_does_not_jump_says() {
    let mut tally = Tally::new(BAND);
    let start = Instant::now();
    let look = |tally: &mut Tally, wall, seconds, state, dropped| {
        let look = Look { camera: "line3", state, dropped };
        tally.look(wall, start + Duration::from_secs(seconds), [look]);
    };
    look(&mut tally, at(3590), 0, CameraState::Ok, 5);
    // Twenty seconds, half of them in the next hour.
    look(&mut tally, at(3610), 20, CameraState::Ok, 9);
    // The calendar jumps by a day; five seconds have passed. The camera was opened again meanwhile.
    look(&mut tally, at(90_010), 25, CameraState::Frozen, 3);
    let sums = tally.take().sums;
    let of = |hour| sums[&Key::new(hour_of(at(0)) + hour, "line3")].clone();
    assert_eq!(of(0).states, [10_000_000, 0, 0, 0, 0]);
    assert_eq!((of(1).states, of(1).dropped), ([10_000_000, 0, 0, 0, 0], 4));
    assert_eq!((of(25).states, of(25).dropped), ([0, 0, 5_000_000, 0, 0], 3));
    assert_eq!(of(0).dropped, 5);
}

#[test]
fn an_hour_goes_on_after_a_restart_and_is_closed_when_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = ledger(folder.path(), at(0));
    first.add(1, &one(at(10))).unwrap();
    first.close(at(20)).unwrap();
    assert_eq!(all_closed(&mut first), []);
    drop(first);
    let mut second = ledger(folder.path(), at(1800));
    assert_eq!(second.last_batch().unwrap(), 1);
    second.add(2, &one(at(1810))).unwrap();
    // What is scored late is in time for a while.
    second.close(at(3600 + 60)).unwrap();
    assert_eq!(all_closed(&mut second), []);
    second.close(at(3600 + 120)).unwrap();
    assert_eq!(all_closed(&mut second), [(at(0), 2, 0)]);
    assert_eq!(all_closed(&mut second), [], "it is told once");
}

#[test]
fn a_batch_is_added_once_whatever_was_said_of_its_commit() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = ledger(folder.path(), at(0));
    for _ in 0..3 {
        ledger.add(1, &one(at(10))).unwrap();
    }
    ledger.close(at(4000)).unwrap();
    assert_eq!(all_closed(&mut ledger), [(at(0), 1, 0)]);
}

#[test]
fn what_is_closed_is_changed_no_more_and_has_the_same_files_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = ledger(folder.path(), at(0));
    first.add(1, &one(at(10))).unwrap();
    first.close(at(4000)).unwrap();
    let made = |ledger: &Ledger| {
        let part = ledger.closed().unwrap().unwrap();
        let files = Files::of(&part, ledger.read(&part).unwrap(), &everything()).unwrap();
        files.all().map(|made| (made.name, made.content)).collect::<Vec<_>>()
    };
    let before = made(&first);
    assert!(before[0].0.starts_with("insights/dt=2026-01-02/site=plant-7/"), "{}", before[0].0);
    // Late, and in a process that does not know whether the outbox has what was closed.
    drop(first);
    let mut second = ledger(folder.path(), at(4100));
    second.add(2, &one(at(3599))).unwrap();
    assert_eq!(made(&second), before);
    second.close(at(4100)).unwrap();
    assert_eq!(all_closed(&mut second), [(at(0), 1, 0), (at(0), 1, 0)], "the latecomer has a file of its own");
}

#[test]
fn a_clock_that_is_set_back_opens_hours_anew_and_leaves_none_open_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = ledger(folder.path(), at(0));
    let later = 365 * 86_400;
    ledger.add(1, &one(at(later))).unwrap();
    ledger.close(at(later + 5)).unwrap();
    // A year too far.
    ledger.add(2, &one(at(10))).unwrap();
    ledger.close(at(15)).unwrap();
    assert_eq!(all_closed(&mut ledger), [(at(later), 1, 0)]);
    ledger.close(at(3720)).unwrap();
    assert_eq!(all_closed(&mut ledger), [(at(0), 1, 0)]);
    // The same hour once more.
    ledger.add(3, &one(at(20))).unwrap();
    ledger.close(at(3720)).unwrap();
    assert_eq!(all_closed(&mut ledger), [(at(0), 1, 0)]);
}

#[test]
fn several_hours_may_share_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(Some(folder.path()), origin("edge-01"), 6, at(0)).unwrap();
    for (number, hour) in [(1, 0), (2, 4), (3, 5)] {
        ledger.add(number, &one(at(hour * 3600))).unwrap();
    }
    // Spans begin at 0:00, 6:00, 12:00 and 18:00; 13:00 to 17:59 is one.
    ledger.close(at(5 * 3600 + 120)).unwrap();
    assert_eq!(all_closed(&mut ledger), [(at(-3600), 2, 0)]);
}

#[test]
fn what_another_node_counted_is_told_as_that_nodes() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = ledger(folder.path(), at(0));
    first.add(1, &one(at(10))).unwrap();
    drop(first);
    let second = Ledger::open(Some(folder.path()), origin("edge-02"), 1, at(60)).unwrap();
    assert_eq!(second.closed().unwrap().unwrap().origin, origin("edge-01"));
}

#[test]
fn what_can_not_be_read_is_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("insights.db");
    std::fs::write(&file, vec![7; 8192]).unwrap();
    let mut anew = ledger(folder.path(), at(0));
    anew.add(1, &one(at(0))).unwrap();
    assert_eq!(std::fs::read(folder.path().join("insights.db.corrupt")).unwrap(), vec![7; 8192]);
    drop(anew);
    // A later version's is not touched.
    rusqlite::Connection::open(&file).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = Ledger::open(Some(folder.path()), origin("edge-01"), 1, at(0)).unwrap_err().to_string();
    assert!(error.contains("insights.db") && error.contains("later version"), "{error}");
    assert!(file.exists());
    // A folder that can't be one.
    let error = Ledger::open(Some(&file), origin("edge-01"), 1, at(0)).unwrap_err().to_string();
    assert!(error.contains("insights.db"), "{error}");
}

#[test]
fn hours_with_very_many_events_close_early_and_without_a_disk_memory_will_do() {
    let mut ledger = Ledger::open(None, origin("edge-01"), 1, at(0)).unwrap();
    let batch = |from: u32, count: u32| {
        let events = (from..from + count).map(|id| Occurrence::from(&crossed(id, at(id.into()))));
        Batch { events: events.collect(), ..Batch::default() }
    };
    ledger.add(1, &batch(0, 10)).unwrap();
    ledger.close(at(60)).unwrap();
    assert_eq!(all_closed(&mut ledger), []);
    let many =
        Batch { events: (0..50_000).map(|_| Occurrence::from(&crossed(7, at(7)))).collect(), ..Batch::default() };
    ledger.add(2, &many).unwrap();
    ledger.close(at(60)).unwrap();
    assert_eq!(all_closed(&mut ledger), [(at(0), 0, 50_010)]);
}

/// Days of counting by an unsteady clock, with processes that end at any point of it: every frame is told once.
#[test]
fn whatever_the_clock_does_and_whenever_it_ends_every_frame_is_told_once() {
    let mut draw = crate::random::Random(11);
    let folder = tempfile::tempdir().unwrap();
    let (mut now, mut counted, mut told, mut seconds) = (at(0), 0, 0, 0);
    let mut open = ledger(folder.path(), now);
    for _ in 0..300 {
        let jump = match draw.below(20) {
            0 => -5000,
            1 => 9000,
            _ => i64::try_from(draw.below(900)).unwrap(),
        };
        now += TimeDelta::seconds(jump);
        seconds += 1;
        let number = open.last_batch().unwrap() + 1;
        open.add(number, &one(now - TimeDelta::seconds(i64::try_from(draw.below(200)).unwrap()))).unwrap();
        counted += 1;
        open.close(now).unwrap();
        if let Some(part) = open.closed().unwrap() {
            let (sums, _) = open.read(&part).unwrap();
            // It ends before the ledger knows that the outbox has it: the outbox knows the id.
            if draw.below(3) > 0 {
                told += sums.iter().map(|(_, sums)| sums.frames).sum::<u64>();
                open.forget(&part).unwrap();
            }
        }
        if draw.below(5) == 0 {
            drop(open);
            open = ledger(folder.path(), now);
        }
    }
    open.close(now + TimeDelta::days(3)).unwrap();
    told += all_closed(&mut open).iter().map(|(_, frames, _)| frames).sum::<u64>();
    assert_eq!((told, seconds), (counted, 300));
}

#[test]
fn sums_add_up() {
    let mut sums = Sums { frames: 1, scores: [2; 20], ..Sums::default() };
    sums.add(&Sums { frames: u64::MAX, scores: [3; 20], states: [1; 5], ..Sums::default() });
    assert_eq!((sums.frames, sums.scores, sums.states), (u64::MAX, [5; 20], [1; 5]));
}
