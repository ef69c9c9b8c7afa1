//! Any cameras that ask at any time, over any restarts.

use super::*;
use crate::config::NodeQuota;
use crate::random::Random;

fn config(own: [Option<u32>; 3], all: [Option<u32>; 3]) -> EvidenceConfig {
    EvidenceConfig {
        per_minute: own[0].unwrap_or(6000),
        per_hour: own[1],
        per_day: own[2],
        node: NodeQuota { per_minute: all[0], per_hour: all[1], per_day: all[2] },
        ..EvidenceConfig::at(String::new())
    }
}

const CAMERAS: [&str; 4] = ["a", "b", "c", "d"];

#[test]
fn no_span_ever_has_more_than_its_quota() {
    for seed in 0..6 {
        let mut random = Random(seed);
        let mut limit = |most| Some(1 + u32::try_from(random.below(most)).expect("small"));
        let (own, all) = ([limit(9), limit(60), limit(300)], [limit(20), limit(100), limit(400)]);
        let config = config(own, all);
        let mut now = 1_700_000_000_000;
        let mut quota = Quota::new(&config, Accounts::new(), now);
        let mut kept: Vec<(u64, &str)> = Vec::new();
        for _ in 0..1500 {
            now += [1, 500, 20_000, 600_000][random.below(4)];
            let camera = random.one_of(&CAMERAS);
            if quota.take(camera, 1.0, now).is_ok() {
                kept.push((now, camera));
            }
            if random.below(50) == 0 {
                // What was written down is all that is known.
                let text = serde_json::to_string(&quota.accounts).expect("JSON");
                quota = Quota::new(&config, serde_json::from_str(&text).expect("what was written"), now);
            }
        }
        for (i, span) in SPANS.into_iter().enumerate() {
            for (from, camera) in &kept {
                let inside = |(at, _): &&(u64, &str)| (*from..*from + span.0).contains(at);
                let all_kept = kept.iter().filter(inside).count();
                let own_kept = kept.iter().filter(inside).filter(|(_, of)| of == camera).count();
                assert!(all_kept <= all[i].expect("given") as usize, "{seed}: {all_kept} in {span:?}");
                assert!(own_kept <= own[i].expect("given") as usize, "{seed}: {own_kept} in {span:?}");
            }
        }
        assert!(kept.len() > 3, "{seed}");
    }
}

/// One camera asks all the time, the others now and then for less than their part.
#[test]
fn who_asks_for_no_more_than_its_part_gets_all_of_it() {
    let mut quota = Quota::new(&config([None; 3], [Some(40), None, None]), Accounts::new(), 0);
    let (mut refused, mut greedy) = (0, 0);
    for second in 0..600_u64 {
        let now = second * 1000;
        // Three others have ten a minute each for themselves, and ask for nine.
        for (i, camera) in (0..).zip(["b", "c", "d"]) {
            if second % 7 == i && quota.take(camera, 1.0, now).is_err() && second > 60 {
                refused += 1;
            }
        }
        greedy += (0..3).filter(|_| quota.take("a", 1.0, now).is_ok()).count();
    }
    assert_eq!(refused, 0);
    // What they do not want is not wasted: some ten a minute.
    assert!(greedy > 85, "{greedy}");
}

#[test]
fn cameras_that_all_want_everything_get_the_same() {
    let mut quota = Quota::new(&config([None; 3], [None, Some(100), None]), Accounts::new(), 0);
    let mut got = BTreeMap::<&str, u32>::new();
    for second in 0..2 * 720_u64 {
        let second = second * 5;
        for camera in CAMERAS {
            *got.entry(camera).or_default() += u32::from(quota.take(camera, 1.0, second * 1000).is_ok());
        }
    }
    let (least, most) = (got.values().min().copied(), got.values().max().copied());
    assert!(least >= Some(45) && most <= Some(55), "{got:?}");
}

#[test]
fn what_is_against_it_is_named() {
    let mut quota = Quota::new(&config([Some(4), Some(4), None], [None, None, Some(2)]), Accounts::new(), 0);
    assert_eq!(quota.take("a", 1.0, 0), Ok(()));
    assert_eq!(quota.take("a", 1.0, 1), Err("minute"));
    assert_eq!(quota.take("a", 1.0, 60_000), Err("hour"));
    // Two are all that the node may keep: one of them is for the camera that has had none.
    assert_eq!(quota.take("b", 1.0, 1), Ok(()));
    assert_eq!(quota.take("c", 1.0, 2), Err("node-day"));
}

#[test]
fn cameras_that_are_gone_are_forgotten() {
    let mut quota = Quota::new(&config([None; 3], [None; 3]), Accounts::new(), 0);
    for day in 0..50_u64 {
        quota.see(&format!("camera-{day}"), day * Span::DAY.0);
        assert!(quota.accounts.len() <= 2);
    }
}
