//! Each reason by itself, and which one counts where there are several.

use super::*;
use crate::config::Name;
use crate::event::{Direction, EventType, LineEvent, ZoneChange, ZoneEvent};
use crate::random::Random;

/// The frame with this picture.
fn showing(seq: u64, grey: u8, objects: &[(&str, f32, [f32; 4])]) -> Scored {
    let mut scored = scored(seq, objects);
    scored.frame.image = Image::new(8, 8, PixelFormat::Rgb8, vec![grey; 192].into()).expect("a picture");
    scored
}

/// The frame with its objects on these tracks.
fn tracked(seq: u64, objects: &[(&str, f32, [f32; 4])], tracks: &[&str]) -> Scored {
    let mut scored = scored(seq, objects);
    for (object, track) in Arc::make_mut(&mut scored.detections).objects.iter_mut().zip(tracks) {
        object.track = Some((*track).to_owned());
    }
    scored
}

fn kinds(picks: &[Pick]) -> Vec<&'static str> {
    picks.iter().map(|pick| pick.reason.kind()).collect()
}

#[test]
fn two_labels_of_one_thing_with_nearly_one_score_are_a_doubt() {
    let config = EvidenceConfig { margin: 0.2, ..only_band() };
    let beside = [0.12, 0.1, 0.2, 0.2];
    let reason = |objects: &[_]| selector_of(config.clone()).0.show(&scored(0, objects)).map(|pick| pick.reason);
    let torn = Reason::Margin { label: "bolt".to_owned(), score: 0.9, second: "nut".to_owned(), second_score: 0.8 };
    assert_eq!(reason(&[("nut", 0.8, beside), ("bolt", 0.9, BOLT)]), Some(torn));
    assert_eq!(reason(&[("nut", 0.65, beside), ("bolt", 0.9, BOLT)]), None, "they differ by more");
    assert_eq!(reason(&[("nut", 0.8, ELSEWHERE), ("bolt", 0.9, BOLT)]), None, "they are two things");
    assert_eq!(reason(&[("bolt", 0.8, beside), ("bolt", 0.9, BOLT)]), None, "they are of one label");
    let value = |second| {
        let objects = [("bolt", 0.9, BOLT), ("nut", second, BOLT)];
        selector_of(config.clone()).0.show(&scored(0, &objects)).expect("a pick").value
    };
    assert!(value(0.9) > value(0.8) && value(0.8) > value(0.71) && value(0.71) > 0.5);
}

#[test]
fn a_track_says_what_is_the_same_thing_however_it_moved() {
    let (far, farther) = ([0.4, 0.1, 0.2, 0.2], [0.7, 0.1, 0.2, 0.2]);
    let picks = |middle: Scored| {
        let (mut selector, _) = selector(60, true);
        let first = tracked(0, &[("bolt", SURE, BOLT)], &["7"]);
        let last = tracked(2, &[("bolt", SURE, farther)], &["7"]);
        let picks = [first, middle, last].into_iter().flat_map(|frame| selector.select(&frame, &[]));
        picks.map(|pick| (pick.scored.frame.seq, pick.reason)).collect::<Vec<_>>()
    };
    assert_eq!(picks(scored(1, &[])), [(1, flicker(Change::Vanished))], "too far for boxes that overlap");
    assert_eq!(picks(tracked(1, &[("bolt", SURE, far)], &["7"])), []);
    let other = Reason::Flicker { label: "nut".to_owned(), score: SURE, change: Change::Relabelled };
    assert_eq!(picks(tracked(1, &[("nut", SURE, far)], &["7"])), [(1, other)]);
}

#[test]
fn what_looks_like_nothing_before_is_new_and_the_same_again_is_not() {
    let (mut selector, clock) = selector_of(EvidenceConfig { novelty: true, per_minute: 600, ..only_band() });
    let mut show = |seq: u64, grey| {
        clock.advance(Duration::from_secs(1));
        selector.show(&showing(seq * 10, grey, &[])).map(|pick| pick.reason)
    };
    assert!(matches!(show(0, 100), Some(Reason::Novel { distance: None, .. })));
    assert_eq!(show(1, 101), None);
    let Some(Reason::Novel { distance: Some(distance), least }) = show(2, 200) else { panic!("it is new") };
    assert!((distance - 100.0 / 255.0).abs() < 0.01 && least < distance, "{distance} {least}");
    assert_eq!(show(3, 100), None, "that was kept");
    assert!(show(4, 0).is_some());
}

#[test]
fn a_picture_with_the_same_things_is_not_kept_twice_for_any_doubt() {
    let (mut selector, clock) = selector_of(EvidenceConfig { novelty: true, ..only_band() });
    // A parked car that the model is unsure of.
    let mut show = |seq, rect: [f32; 4]| {
        clock.advance(Duration::from_secs(60));
        selector.show(&showing(seq, 100, &[("car", 0.45, rect)])).map(|pick| pick.reason.kind())
    };
    assert_eq!(show(0, BOLT), Some("band"));
    for seq in 1..50 {
        assert_eq!(show(seq, BOLT), None);
    }
    assert_eq!(show(50, ELSEWHERE), Some("band"), "something small moved, which hardly changes the picture");
    let stats = &selector.counts()["band"];
    assert_eq!((stats.picked, stats.repeated), (2, 49));
}

#[test]
fn what_a_camera_hardly_ever_shows_is_rare() {
    let (mut selector, clock) = selector_of(EvidenceConfig { rare: 0.01, ..only_band() });
    let mut show = |seq, objects: &[_]| {
        clock.advance(Duration::from_secs(10));
        selector.show(&scored(seq, objects)).map(|pick| pick.reason)
    };
    let usual = ("bolt", SURE, BOLT);
    assert_eq!(show(0, &[("gear", SURE, ELSEWHERE)]), None, "at first nothing is known of what is usual");
    for seq in 1..500 {
        assert_eq!(show(seq, &[usual]), None);
    }
    let Some(Reason::Rare { label, share, .. }) = show(500, &[usual, ("gear", SURE, ELSEWHERE)]) else {
        panic!("it is rare")
    };
    assert!(label == "gear" && (share - 1.0 / 500.0).abs() < 1e-6, "{label} {share}");
    // It becomes usual: six of six hundred are no longer less than one in a hundred.
    let later = (501..540).filter(|seq| show(*seq, &[("gear", SURE, ELSEWHERE)]).is_some()).count();
    assert_eq!(later, 4);
}

#[test]
fn chance_takes_its_share_and_the_same_frames_each_time() {
    let drawn = |seed| {
        let (mut selector, clock) = selector_of(EvidenceConfig { random: 0.05, seed, per_minute: 6000, ..only_band() });
        let mut show = |seq| {
            clock.advance(Duration::from_secs(1));
            selector.show(&scored(seq, &[])).is_some()
        };
        (0..4000).filter(|seq| show(*seq)).collect::<Vec<u64>>()
    };
    let first = drawn(1);
    // Three standard deviations of a binomial are 41.
    assert!((159..=241).contains(&first.len()), "{}", first.len());
    assert_eq!(first, drawn(1));
    assert_ne!(first, drawn(2));
}

fn event(seq: u64, line: Option<&str>, zone: Option<(&str, ZoneChange)>) -> Event {
    let Scored { detections, .. } = tracked(seq, &[("bolt", SURE, BOLT)], &["7"]);
    let (object, text) = (&detections.objects[0], |text: &str| text.to_owned());
    Event {
        schema: text(crate::event::SCHEMA),
        id: format!("{seq:026}"),
        kind: EventType::Update,
        site: detections.site.clone(),
        node: detections.node.clone(),
        camera: detections.camera.clone(),
        frame: detections.frame.clone(),
        model: detections.model.clone(),
        config: detections.config.clone(),
        track: text("7"),
        track_id: text("01"),
        label: object.label.to_string(),
        score: object.score,
        rect: object.rect,
        started_at: detections.frame.captured_at,
        duration_s: 1.0,
        frames: 9,
        zones: Vec::new(),
        zone: zone.map(|(name, change)| ZoneEvent { name: text(name), change, dwell_s: 1.0, present: 1, count: 1 }),
        line: line.map(|name| LineEvent { name: text(name), direction: Direction::Right, group: None, count: 3 }),
    }
}

#[test]
fn an_event_of_a_rule_whose_frames_are_wanted_is_a_reason() {
    let rules = ["exit", "belt"].map(Name::near).to_vec();
    let (mut selector, _) = selector_of(EvidenceConfig { rules, per_minute: 6000, ..only_band() });
    let mut show = |seq, event| selector.select(&scored(seq, &[]), &[event]).pop().map(|pick| pick.reason);
    let hit = |rule: &str, what| {
        let (label, track) = ("bolt".to_owned(), "7".to_owned());
        Some(Reason::Rule { rule: rule.to_owned(), what, label, track })
    };
    assert_eq!(show(0, event(0, Some("exit"), None)), hit("exit", Happening::Crossed));
    assert_eq!(show(1, event(1, Some("exit"), None)), hit("exit", Happening::Crossed), "each one counts");
    assert_eq!(show(2, event(2, Some("other"), None)), None);
    assert_eq!(show(3, event(3, None, None)), None);
    assert_eq!(show(4, event(3, Some("exit"), None)), None, "it happened in a frame that is gone");
    for (seq, change, what) in [
        (5, ZoneChange::Entered, Happening::Entered),
        (6, ZoneChange::Dwelt, Happening::Dwelt),
        (7, ZoneChange::Left, Happening::Left),
    ] {
        assert_eq!(show(seq, event(seq, None, Some(("belt", change)))), hit("belt", what));
    }
}

#[test]
fn what_was_asked_for_comes_first_and_a_reason_that_was_kept_makes_way_for_the_next() {
    let config = EvidenceConfig { per_minute: 6000, margin: 0.1, flicker: true, ..only_band() };
    let (mut selector, _) = selector_of(EvidenceConfig { rules: vec![Name::near("exit")], ..config });
    let doubts: &[_] = &[("bolt", 0.45, BOLT), ("nut", 0.44, BOLT)];
    let crossing = |seq| [event(seq, Some("exit"), None)];
    assert_eq!(kinds(&selector.select(&scored(0, doubts), &crossing(0))), ["rule"]);
    assert_eq!(kinds(&selector.select(&scored(1, doubts), &[])), ["band"], "its score is in the very middle");
    assert_eq!(kinds(&selector.select(&scored(2, doubts), &[])), ["margin"]);
    assert_eq!(kinds(&selector.select(&scored(3, doubts), &[])), [""; 0]);
    // Two frames at once: the one before is odd, and something crosses the line in this one.
    assert_eq!(kinds(&selector.select(&scored(4, &[]), &[])), [""; 0]);
    assert_eq!(kinds(&selector.select(&scored(5, doubts), &crossing(5))), ["flicker", "rule"]);
}

/// Anything at all, drawn from a seed.
fn any_frame(seq: u64, random: &mut Random) -> Scored {
    let labels = ["bolt", "nut", "gear", "washer"];
    let number = |random: &mut Random, below| u8::try_from(random.below(below)).expect("small");
    let place = |random: &mut Random| f32::from(number(random, 80)) / 100.0;
    let thing = |_| {
        let (label, score) = (random.one_of(&labels), place(random) + 0.2);
        (label, score, [place(random), place(random), 0.2, 0.2])
    };
    let things: Vec<_> = (0..seq % 4).map(thing).collect();
    showing(seq, number(random, 256), &things)
}

#[test]
fn whatever_comes_the_same_frames_give_the_same_picks_and_none_twice() {
    let config = EvidenceConfig { random: 0.02, per_minute: 600, rare: 0.05, ..EvidenceConfig::at(String::new()) };
    let run = |seed| {
        let (mut selector, clock) = selector_of(config.clone());
        let mut random = Random(seed);
        let mut found = Vec::new();
        for seq in 0..300 {
            clock.advance(Duration::from_millis(100));
            let picks = selector.select(&any_frame(seq, &mut random), &[]);
            assert!(picks.iter().all(|pick| (0.0..=1.0).contains(&pick.value)), "{picks:?}");
            found.extend(picks.into_iter().map(|pick| (pick.scored.frame.seq, pick.reason)));
        }
        found
    };
    for seed in 0..2 {
        let found = run(seed);
        assert_eq!(found, run(seed));
        let mut seqs: Vec<u64> = found.iter().map(|(seq, _)| *seq).collect();
        seqs.sort_unstable();
        seqs.dedup();
        assert_eq!(seqs.len(), found.len(), "none is kept twice");
        assert!(found.len() > 20);
    }
}

/// What is kept in ten minutes of a camera whose every frame is new, with a doubt in each other.
fn of_ten_minutes(is_unsure: bool, score: f32) -> std::collections::BTreeMap<&'static str, u32> {
    let (mut selector, clock) = selector_of(EvidenceConfig { novelty: true, per_minute: 20, ..only_band() });
    let (mut random, mut kept) = (Random(9), std::collections::BTreeMap::new());
    for seq in 0..2000 {
        clock.advance(Duration::from_millis(300));
        let label = format!("part-{seq}");
        let doubt = [(label.as_str(), score, BOLT)];
        let mut frame = scored(seq * 3, if is_unsure && seq % 2 == 0 { &doubt } else { &[] });
        let noise: Vec<u8> = (0..192).map(|_| u8::try_from(random.below(256)).expect("small")).collect();
        frame.frame.image = Image::new(8, 8, PixelFormat::Rgb8, noise.into()).expect("a picture");
        for pick in selector.select(&frame, &[]) {
            *kept.entry(pick.reason.kind()).or_default() += 1;
        }
    }
    kept
}

#[test]
fn what_is_new_gives_way_to_doubts_and_is_not_shut_out() {
    // Two hundred may be kept.
    for score in [0.45, 0.35] {
        let both = of_ten_minutes(true, score);
        assert!(both["band"] >= 140 && (15..=45).contains(&both["novel"]), "{score}: {both:?}");
        assert!(both["band"] + both["novel"] >= 185, "{score}: nothing is wasted: {both:?}");
    }
    let alone = of_ten_minutes(false, 0.0);
    assert!(alone["novel"] > 70 && alone.len() == 1, "{alone:?}");
}
