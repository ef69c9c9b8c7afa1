use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::*;

/// Small, so that hundreds of frames take no time; half as many pixels as units.
const SMALL: ConveyorOptions = ConveyorOptions { seed: 1, fps: 10.0, width: 320, height: 180, leaning: 0.14 };

fn conveyor(options: ConveyorOptions) -> Conveyor {
    Conveyor::new(options).unwrap()
}

/// Every `stride`-th frame of a conveyor, `count` in all.
fn frames(options: ConveyorOptions, stride: u64, count: u64) -> Vec<SimFrame> {
    let mut conveyor = conveyor(options);
    (0..count).map(|i| conveyor.frame(i * stride).unwrap()).collect()
}

fn same_truth(a: &SimFrame, b: &SimFrame, tolerance: f32) {
    assert_eq!(a.truth.len(), b.truth.len());
    for (a, b) in a.truth.iter().zip(&b.truth) {
        assert_eq!((a.part, a.class), (b.part, b.class));
        let (p, q): ([f32; 4], [f32; 4]) = (a.rect.into(), b.rect.into());
        assert!(p.iter().zip(q).all(|(p, q)| (p - q).abs() <= tolerance), "{a:?} and {b:?}");
    }
}

/// How far two boxes reach into each other, as fractions of the frame; negative where they are apart.
fn overlap(a: &Rect, b: &Rect) -> f32 {
    let x = (a.x + a.w).min(b.x + b.w) - a.x.max(b.x);
    let y = (a.y + a.h).min(b.y + b.h) - a.y.max(b.y);
    x.min(y)
}

#[test]
fn a_frame_does_not_depend_on_the_frames_before_it() {
    let mut wandering = conveyor(SMALL);
    for n in [0, 500, 3, 77] {
        let frame = wandering.frame(n).unwrap();
        let fresh = conveyor(SMALL).frame(n).unwrap();
        assert_eq!(frame.image.pixels(), fresh.image.pixels(), "frame {n}");
        assert_eq!(frame.truth, fresh.truth, "frame {n}");
    }
}

/// The model that ships was trained and measured on these very pictures: whoever changes them trains it anew.
#[test]
fn the_pictures_are_the_same_on_every_platform_and_in_every_version() {
    let mut hash = Sha256::new();
    for (seed, n) in [(1, 0), (2, 41), (9001, 300)] {
        hash.update(conveyor(ConveyorOptions { seed, ..SMALL }).frame(n).unwrap().image.pixels());
    }
    let hex: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex, "e3a9043c757aae872d89138153198d772569e115fd722b0ac4df4819a695f9db");
}

#[test]
fn another_seed_is_another_conveyor() {
    let first = frames(SMALL, 10, 3);
    let second = frames(ConveyorOptions { seed: 2, ..SMALL }, 10, 3);
    for (a, b) in first.iter().zip(&second) {
        assert_ne!(a.image.pixels(), b.image.pixels());
        assert_ne!(a.truth, b.truth);
    }
}

#[test]
fn parts_move_to_the_right_at_the_speed_of_the_belt() {
    let mut conveyor = conveyor(SMALL);
    let seconds = 1.0;
    let mut before = BTreeMap::new();
    let mut compared = 0;
    for n in 0..20 {
        let frame = conveyor.frame(n * 10).unwrap();
        let whole = |t: &&TruthBox| t.visible > 0.999 && t.rect.x > 0.01 && t.rect.x + t.rect.w < 0.99;
        let now: BTreeMap<u64, Rect> = frame.truth.iter().filter(whole).map(|t| (t.part, t.rect)).collect();
        for (part, rect) in &now {
            let Some(last) = before.get(part) else { continue };
            let last: &Rect = last;
            let moved = f64::from(rect.x - last.x) * UNITS;
            // The camera shakes by up to 1.2 units, and edges lie on whole pixels.
            assert!((moved - SPEED * seconds).abs() <= 5.0, "part {part} moved {moved} units");
            assert!((rect.y - last.y).abs() * 180.0 <= 3.0, "part {part} drifted across the belt");
            compared += 1;
        }
        before = now;
    }
    assert!(compared > 50, "{compared}");
}

#[test]
fn the_rate_changes_how_often_pictures_are_taken_and_not_what_they_show() {
    let slow = conveyor(SMALL).frame(30).unwrap();
    let fast = conveyor(ConveyorOptions { fps: 40.0, ..SMALL }).frame(120).unwrap();
    assert_eq!(slow.truth, fast.truth);
}

#[test]
fn the_size_changes_the_resolution_and_not_what_is_shown() {
    for n in [0, 61] {
        let small = conveyor(SMALL).frame(n).unwrap();
        let large = conveyor(ConveyorOptions { width: 1280, height: 720, ..SMALL }).frame(n).unwrap();
        assert_eq!((large.image.width(), large.image.height()), (1280, 720));
        same_truth(&small, &large, 2.0 / 180.0);
    }
}

#[test]
fn truth_is_inside_the_frame_and_on_the_belt() {
    let rail = belt::RAIL / 360.0;
    for frame in frames(SMALL, 23, 40) {
        for t in &frame.truth {
            let r = t.rect;
            assert!(r.w > 0.0 && r.h > 0.0 && r.x >= 0.0 && r.x + r.w <= 1.0 + 1e-6, "{t:?}");
            assert!(r.y >= rail - 0.01 && r.y + r.h <= 1.0 - rail + 0.01, "{t:?}");
            assert!(t.visible > 0.0 && t.visible <= 1.0, "{t:?}");
            assert_eq!(LABELS[t.class], t.label);
        }
        assert!(frame.truth.windows(2).all(|w| w[0].part < w[1].part));
    }
}

/// Looks for the blue of the brackets in the picture itself.
#[test]
fn boxes_are_tight_around_what_the_picture_shows() {
    let blue = |rgb: &[u8]| rgb[2] > 80 && rgb[2] / 2 > rgb[0];
    let options = ConveyorOptions { width: 640, height: 360, ..SMALL };
    let (width, height) = (640.0, 360.0);
    let mut checked = 0;
    for frame in frames(options, 61, 60) {
        let bracket = |t: &&TruthBox| t.label == "bracket" && t.visible > 0.999;
        for t in frame.truth.iter().filter(bracket) {
            let alone = |o: &TruthBox| o.part == t.part || overlap(&o.rect, &t.rect) < -0.025;
            if !frame.truth.iter().all(alone) {
                continue;
            }
            let r = t.rect;
            let near = |x: f32, y: f32| {
                (r.x * width - 8.0..(r.x + r.w) * width + 8.0).contains(&x)
                    && (r.y * height - 8.0..(r.y + r.h) * height + 8.0).contains(&y)
            };
            let mut seen = [f32::MAX, f32::MAX, 0.0, 0.0];
            for (i, rgb) in frame.image.pixels().chunks_exact(3).enumerate() {
                let (x, y) = ((i % 640) as f32, (i / 640) as f32);
                if near(x, y) && blue(rgb) {
                    seen = [seen[0].min(x), seen[1].min(y), seen[2].max(x + 1.0), seen[3].max(y + 1.0)];
                }
            }
            let wanted = [r.x * width, r.y * height, (r.x + r.w) * width, (r.y + r.h) * height];
            // Motion blur and dark edges take a few pixels; the window is wider than that.
            assert!(seen.iter().zip(wanted).all(|(s, w)| (s - w).abs() <= 3.0), "{seen:?} is not {wanted:?}");
            checked += 1;
        }
    }
    assert!(checked > 10, "{checked}");
}

#[test]
fn parts_reach_the_very_edges_of_the_frame() {
    let all: Vec<TruthBox> = frames(SMALL, 3, 60).into_iter().flat_map(|f| f.truth).collect();
    let left = all.iter().filter(|t| t.rect.x <= 0.0).count();
    let right = all.iter().filter(|t| t.rect.x + t.rect.w >= 1.0 - 1e-6).count();
    assert!(left > 10 && right > 10, "{left} at the left edge, {right} at the right one");
    let column = 1.0 / 320.0;
    assert!(all.iter().all(|t| t.rect.x <= 0.0 || t.rect.x > column / 2.0));
    // Parts come in at the left: the first column is theirs as much as any other.
    assert!(all.iter().any(|t| t.rect.x <= 0.0 && t.rect.w < 3.0 * column));
}

#[test]
fn parts_that_hardly_show_are_in_the_truth_but_ignored() {
    let all: Vec<TruthBox> = frames(SMALL, 3, 60).into_iter().flat_map(|f| f.truth).collect();
    let (ignored, counted): (Vec<&TruthBox>, Vec<&TruthBox>) = all.iter().partition(|t| t.ignored());
    assert!(!ignored.is_empty() && counted.len() > 5 * ignored.len(), "{} of {}", ignored.len(), all.len());
    assert!(ignored.iter().all(|t| t.visible < MIN_VISIBLE));
}

#[test]
fn parts_hide_others_below_them() {
    let mut hidden = 0;
    for frame in frames(SMALL, 23, 60) {
        for t in &frame.truth {
            let inside = t.rect.x > 0.01 && t.rect.x + t.rect.w < 0.99;
            if inside && t.visible < 0.9 {
                let above = |o: &TruthBox| o.part > t.part && overlap(&o.rect, &t.rect) > -0.01;
                assert!(frame.truth.iter().any(above), "nothing lies on {t:?}");
                hidden += 1;
            }
        }
    }
    assert!(hidden > 10, "{hidden}");
}

#[test]
fn a_label_says_what_can_be_seen() {
    let mut whole: BTreeMap<u64, usize> = BTreeMap::new();
    let mut partly: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for t in frames(SMALL, 4, 200).into_iter().flat_map(|f| f.truth) {
        if t.visible > 0.999 {
            let class = *whole.entry(t.part).or_insert(t.class);
            assert_eq!(class, t.class, "part {} changed while all of it showed", t.part);
        } else {
            partly.entry(t.part).or_default().push(t.class);
        }
    }
    let is_defect = |class: usize| class >= 5;
    let mut turned = 0;
    for (part, class) in whole {
        for seen in partly.get(&part).into_iter().flatten() {
            // A good part never looks defective, and one defect never looks like another.
            assert!(*seen == class || (is_defect(class) && !is_defect(*seen)), "part {part}: {seen}, {class}");
            turned += usize::from(*seen != class);
        }
    }
    assert!(turned > 0, "no defect ever came into view late");
}

#[test]
fn every_class_occurs_and_most_parts_are_good() {
    let mut count = [0_usize; LABELS.len()];
    for t in frames(SMALL, 80, 60).into_iter().flat_map(|f| f.truth) {
        count[t.class] += 1;
    }
    let (all, bad): (usize, usize) = (count.iter().sum(), count[5..].iter().sum());
    assert!(count.iter().all(|c| c * 40 > all), "{count:?}");
    assert!(bad * 10 > all * 2 && bad * 10 < all * 4, "{count:?}");
}

#[test]
fn the_light_varies() {
    let brightness: Vec<f64> = frames(SMALL, 20, 60)
        .iter()
        .map(|f| {
            let pixels = f.image.pixels();
            pixels.iter().map(|&v| f64::from(v)).sum::<f64>() / pixels.len() as f64
        })
        .collect();
    let (low, high) = brightness.iter().fold((f64::MAX, 0.0_f64), |(l, h), &v| (l.min(v), h.max(v)));
    assert!(low > 20.0 && high < 120.0, "{low} to {high}");
    assert!(high / low > 1.15, "{low} to {high}");
}

#[test]
fn it_runs_for_years() {
    // Three years at ten frames a second, and as long as a counter can count.
    let late = 1_000_000_000;
    let mut conveyor = conveyor(SMALL);
    let (a, b) = (conveyor.frame(late).unwrap(), conveyor.frame(late + 10).unwrap());
    assert!(a.truth.len() > 5);
    let moved: Vec<f32> = a
        .truth
        .iter()
        .filter(|t| t.visible > 0.999 && t.rect.x > 0.02)
        .filter_map(|t| b.truth.iter().find(|o| o.part == t.part && o.visible > 0.999).map(|o| o.rect.x - t.rect.x))
        .collect();
    assert!(!moved.is_empty() && moved.iter().all(|m| (m - 0.125).abs() < 0.01), "{moved:?}");
    assert!(conveyor.frame(u64::MAX).is_ok());
}

#[test]
fn the_smallest_and_the_largest_picture_show_parts() {
    for (width, height) in [(160, 90), (160, 160), (1920, 90), (1920, 1080)] {
        let frame = conveyor(ConveyorOptions { width, height, ..SMALL }).frame(0).unwrap();
        assert_eq!((frame.image.width(), frame.image.height()), (width, height));
        assert!(!frame.truth.is_empty(), "{width}x{height}");
    }
}

#[test]
fn what_can_not_be_simulated_is_refused() {
    for fps in [0.0, -1.0, 1001.0, f64::NAN, f64::INFINITY] {
        let refused = Conveyor::new(ConveyorOptions { fps, ..SMALL }).unwrap_err();
        assert!(refused.to_string().contains("0.1 to 1000 frames a second"), "{refused}");
    }
    for (width, height) in [(0, 0), (159, 90), (160, 89), (320, 321), (1921, 1080), (u32::MAX, u32::MAX)] {
        let refused = Conveyor::new(ConveyorOptions { width, height, ..SMALL }).unwrap_err();
        assert!(refused.to_string().contains(&format!("{width}x{height}")), "{refused}");
    }
}
