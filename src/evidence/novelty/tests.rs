//! What is new, and what is remembered.

use super::*;
use crate::random::Random;

fn sight(vector: Vec<f32>) -> Sight {
    Sight { origin: "o".to_owned(), vector, same: 0.005, floor: 0.02 }
}

fn any(random: &mut Random) -> Vec<f32> {
    (0..8).map(|_| f32::from(u8::try_from(random.below(200)).expect("small")) / 200.0).collect()
}

#[test]
fn what_stays_covers_what_there_was() {
    let mut random = Random(3);
    let mut kept = Kept::default();
    // A thousand times nearly the same, and now and then something else.
    let mut others = Vec::new();
    for i in 0..300_u16 {
        let vector = if i % 50 == 7 { any(&mut random) } else { vec![f32::from(i % 5) * 1e-4; 8] };
        if i % 50 == 7 {
            others.push(vector.clone());
        }
        kept.remember(sight(vector), &[], false);
        assert!(kept.frames.len() <= FRAMES);
    }
    for other in others {
        assert!(kept.has(&sight(other), &[]), "it was pushed out by what is all alike");
    }
}

/// Pictures that are all different are not all kept, and after a long time without any the least distance is back.
#[test]
fn the_pace_holds_whatever_comes() {
    let mut random = Random(4);
    let pace = 3.0 / 60_000.0;
    let mut kept = Kept::default();
    let mut count = 0;
    for second in 0..7200_u64 {
        let sight = sight(any(&mut random));
        if kept.novel(&sight, pace, second * 1000).is_some() {
            kept.remember(sight, &[], true);
            count += 1;
        }
    }
    assert!(count > 20 && count < 3 * 120 + 40, "{count}");
    kept.novel(&sight(vec![0.0; 8]), pace, 7_200_000 + 86_400_000);
    assert!((kept.least - 0.02).abs() < 1e-6, "{}", kept.least);
}

#[test]
fn what_is_written_down_is_what_is_read_but_for_the_last_digits() {
    let mut random = Random(5);
    let mut kept = Kept::default();
    for _ in 0..9 {
        kept.remember(sight(any(&mut random)), &[], true);
    }
    let text = serde_json::to_string(&kept).expect("JSON");
    let read: Kept = serde_json::from_str(&text).expect("what was written");
    for (a, b) in kept.frames.iter().zip(&read.frames) {
        assert!(distance(&a.vector, &b.vector) < 5e-4);
    }
    assert!(text.len() <= kept.weight() + 100, "{} {}", text.len(), kept.weight());
    // Vectors of another length, or of other origin, are compared with none.
    assert!(!read.has(&sight(vec![0.1; 3]), &[]));
    let foreign = Sight { origin: "p".to_owned(), ..sight(kept.frames[0].vector.clone()) };
    assert!(!read.has(&foreign, &[]) && read.has(&sight(kept.frames[0].vector.clone()), &[]));
}

#[test]
fn half_of_the_tightest_limit_is_for_what_is_new() {
    let config = EvidenceConfig { per_minute: 6, per_hour: Some(60), ..EvidenceConfig::at(String::new()) };
    assert!((pace(&config) * 3600e3 - 30.0).abs() < 1e-3);
}
