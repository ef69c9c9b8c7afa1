use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::frame::{Image, PixelFormat};

const GREY: u8 = 90;

fn canvas(width: u32, height: u32) -> Canvas {
    let pixels = Bytes::from(vec![GREY; width as usize * height as usize * 3]);
    Canvas::new(&Image::new(width, height, PixelFormat::Rgb8, pixels).unwrap())
}

fn object(label: &str, rect: [f32; 4]) -> Object {
    Object { class: 0, label: Arc::from(label), score: 0.93, rect: rect.into(), track: None, zones: Vec::new() }
}

fn pixel(canvas: &Canvas, x: u32, y: u32) -> [u8; 3] {
    let at = (y as usize * canvas.width() as usize + x as usize) * 3;
    canvas.pixels()[at..at + 3].try_into().unwrap()
}

#[test]
fn a_box_is_drawn_where_it_is_and_only_there() {
    let mut picture = canvas(640, 480);
    annotate(&mut picture, &[object("bolt", [0.25, 0.25, 0.5, 0.5])]);
    let wanted = colour("bolt");
    for (x, y) in [(160, 240), (479, 240), (320, 359), (161, 121)] {
        assert_eq!(pixel(&picture, x, y), wanted, "at {x},{y}");
    }
    for (x, y) in [(320, 240), (100, 240), (600, 240), (320, 420)] {
        assert_eq!(pixel(&picture, x, y), [GREY; 3], "at {x},{y}");
    }
    // The label stands above the box, and has text on it.
    assert_eq!(pixel(&picture, 161, 100), wanted);
    let ink = picture.pixels().chunks_exact(3).filter(|p| **p == INK).count();
    assert!(ink > 100, "{ink} dots of text");
}

#[test]
fn a_classification_is_listed_and_has_no_box() {
    let mut picture = canvas(640, 480);
    let full = [0.0, 0.0, 1.0, 1.0];
    annotate(&mut picture, &[object("cat", full), object("dog", full)]);
    assert_eq!(pixel(&picture, 0, 0), colour("cat"));
    assert_eq!(pixel(&picture, 639, 479), [GREY; 3]);
    assert_eq!(pixel(&picture, 639, 0), [GREY; 3]);
    let rows = (0..480).filter(|y| pixel(&picture, 0, *y) == colour("dog")).count();
    assert!(rows > 10);
}

#[test]
fn labels_of_two_boxes_in_one_place_do_not_cover_each_other() {
    let mut picture = canvas(640, 480);
    let rect = [0.3, 0.3, 0.3, 0.3];
    annotate(&mut picture, &[object("bolt", rect), object("nut", rect)]);
    assert_eq!(pixel(&picture, 194, 130), colour("bolt"));
    assert_eq!(pixel(&picture, 196, 150), colour("nut"));
}

#[test]
fn hostile_boxes_and_sizes_are_clipped_or_left_out() {
    let values =
        [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, -0.5, 0.0, 1e-9, 0.3, 0.999, 1.0, 7.0];
    let labels = ["", "x", "<img onerror=alert(1)>", "目ä\u{7f}\n", &"w".repeat(500)];
    let mut objects = Vec::new();
    for (i, x) in values.iter().enumerate() {
        for (j, w) in values.iter().enumerate() {
            let mut object =
                object(labels[(i + j) % labels.len()], [*x, values[(i * 5 + j) % 12], *w, values[(i + j * 7) % 12]]);
            object.score = *x;
            object.track = (i % 3 == 0).then(|| "7".repeat(j * 9));
            objects.push(object);
        }
    }
    for (width, height) in [(1, 1), (1, 400), (400, 1), (7, 5), (33, 17), (160, 120), (641, 479), (4000, 10)] {
        let mut picture = canvas(width, height);
        annotate(&mut picture, &objects);
        assert_eq!(picture.pixels().len(), width as usize * height as usize * 3);
    }
    let mut untouched = canvas(64, 64);
    annotate(
        &mut untouched,
        &[
            object("a", [f32::NAN, 0.0, 0.5, 0.5]),
            object("a", [1.5, 0.1, 0.2, 0.2]),
            object("a", [0.5, 0.5, -0.2, 0.1]),
        ],
    );
    assert_eq!(untouched, canvas(64, 64));
}

#[test]
fn captions_are_shortened_name_first() {
    let mut object = object("left handed screwdriver", [0.0; 4]);
    object.track = Some("12".into());
    assert_eq!(caption(&object, 40), "left handed screwdriver #12 0.93");
    assert_eq!(caption(&object, 28), "left handed screwdriver 0.93");
    assert_eq!(caption(&object, 16), "left hand.. 0.93");
    assert_eq!(caption(&object, 6), "left h");
    assert_eq!(caption(&object, 0), "");
}

#[test]
fn a_jpeg_decodes_to_about_the_same_picture() {
    let mut picture = canvas(320, 200);
    annotate(&mut picture, &[object("bolt", [0.2, 0.3, 0.5, 0.5])]);
    let bytes = jpeg(picture.pixels(), 320, 200, 90).unwrap();
    let back = image::load_from_memory(&bytes).unwrap().to_rgb8();
    assert_eq!(back.dimensions(), (320, 200));
    let off: u64 = back.iter().zip(picture.pixels()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    assert!(off / (320 * 200 * 3) < 6, "mean difference {off}");
    assert!(jpeg(&bytes, 320, 200, 90).is_err());
    assert!(jpeg(&[], 0, 200, 90).is_err());
    assert!(jpeg(&[], 70_000, 1, 90).is_err());
    assert!(jpeg(&[1, 2, 3], 1, 1, 0).is_ok());
}

#[test]
fn shrinking_takes_means_and_keeps_within() {
    let pixels: Vec<u8> = (0..4 * 2).flat_map(|i| [if i % 2 == 0 { 0 } else { 100 }, i, 255]).collect();
    let image = Image::new(4, 2, PixelFormat::Rgb8, Bytes::from(pixels)).unwrap();
    let small = Canvas::within(&image, 2, 2);
    assert_eq!((small.width(), small.height()), (2, 1));
    assert_eq!(small.pixels(), [50, 2, 255, 50, 4, 255]);
    assert_eq!(Canvas::within(&image, 4, 2), Canvas::new(&image));
    for (w, h) in [(1, 1), (1, 5000), (5000, 1), (1921, 1081), (1280, 721)] {
        let image = Image::new(w, h, PixelFormat::Rgb8, Bytes::from(vec![7; (w * h * 3) as usize])).unwrap();
        let small = Canvas::within(&image, 1280, 720);
        assert!(small.width() <= 1280 && small.height() <= 720);
        assert!(small.pixels().iter().all(|v| *v == 7));
        assert_eq!(small.pixels().len(), (small.width() * small.height() * 3) as usize);
    }
}
