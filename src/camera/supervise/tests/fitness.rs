//! What a camera makes of the pictures that come: their worth, their change, and room for them.

use super::*;

/// A picture of noise, or a black one.
fn picture(n: u32, black: bool) -> Image {
    let pixel = |i: u32| (i.wrapping_add(n * 7919).wrapping_mul(2_654_435_761) >> 24) as u8;
    let pixels: Vec<u8> = (0..64 * 36 * 3).map(|i| if black { 0 } else { pixel(i) }).collect();
    Image::new(64, 36, PixelFormat::Rgb8, Bytes::from(pixels)).unwrap()
}

#[test]
fn pictures_of_no_use_are_said_once_and_marked() {
    let source = clip(Path::new("x.mp4"), false, false);
    let (bench, feed) = Bench::fed(CameraOptions::new(source), newest());
    for n in 0..90 {
        let image = picture(n, (30..60).contains(&n));
        feed.send(Shot { image, lasts: Duration::from_millis(100), captured: None }).unwrap();
    }
    drop(feed);
    let frames = bench.frames();
    use CameraState::{Blind, Connecting, Off, Ok};
    eventually("the camera is off", || bench.states().last() == Some(&Off));
    assert_eq!(bench.states(), [Connecting, Ok, Blind, Ok, Off]);
    assert_eq!(bench.reports.lock().unwrap()[2].reason, "the picture is black, or something covers the camera");
    let blind: Vec<u64> = frames.iter().filter(|f| f.state == Blind).map(|f| f.seq).collect();
    // Raised and taken back a second and a half after the change, at the next look.
    assert!((44..=49).contains(&blind[0]) && (74..=79).contains(&blind[blind.len() - 1]), "{blind:?}");
    assert_eq!(blind.len() as u64, blind[blind.len() - 1] - blind[0] + 1);
    assert!(frames.iter().all(|f| f.state == Ok || f.state == Blind));
    assert!(bench.mailbox.trust().unwrap().contrast > 5.0);
}

#[test]
fn frames_without_change_are_left_out_and_counted() {
    let source = clip(Path::new("x.mp4"), false, false);
    let trust = TrustConfig { enabled: false, ..TrustConfig::default() };
    let options = CameraOptions { motion: Some(8.0), trust, ..CameraOptions::new(source) };
    let (bench, feed) = Bench::fed(options, newest());
    for n in [0, 0, 0, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2] {
        feed.send(Shot { image: picture(n, false), lasts: Duration::from_millis(100), captured: None }).unwrap();
    }
    drop(feed);
    // The last one because a second has passed.
    assert_eq!(bench.frames().iter().map(|f| f.seq).collect::<Vec<_>>(), [0, 3, 5, 15]);
    assert_eq!((bench.mailbox.unchanged(), bench.mailbox.captured(), bench.mailbox.dropped()), (13, 17, 0));
}

/// `queue = "every"`: what waits stays, and what finds no room is said aloud until it has been well for a while.
#[test]
fn a_queue_without_room_makes_its_camera_blind() {
    let source = Source::parse("rtsp://camera/live").unwrap();
    let trust = TrustConfig { enabled: false, ..TrustConfig::default() };
    let options = CameraOptions { trust, ..CameraOptions::new(source) };
    let (mut bench, feed) = Bench::fed(options, Mailbox::queue(Arc::new(Notifier::new()), 3));
    let began = Instant::now();
    let send = |n: u32, at_ms: u64| {
        // The clock of the pictures, in which the past is as good as the present.
        let captured = began.checked_sub(Duration::from_secs(60)).map(|t| t + Duration::from_millis(at_ms));
        feed.send(Shot { image: picture(n, false), lasts: Duration::from_millis(100), captured }).unwrap();
    };
    (0..6).for_each(|n| send(n, u64::from(n) * 100));
    use CameraState::{Blind, Ok};
    eventually("it is said", || bench.states().last() == Some(&Blind));
    assert_eq!(bench.last_reason(), "frames come faster than they are scored: some were not looked at");
    eventually("all came", || bench.mailbox.captured() == 6);
    let waiting: Vec<u64> = (0..3).map(|_| bench.mailbox.take(LONG).unwrap().seq).collect();
    assert_eq!((waiting, bench.mailbox.dropped()), (vec![0, 1, 2], 3));
    send(6, 10_000);
    send(7, 10_600);
    eventually("it is over", || bench.states().last() == Some(&Ok));
    let later: Vec<_> = (0..2).map(|_| bench.mailbox.take(LONG).unwrap()).map(|f| (f.seq, f.state)).collect();
    assert_eq!(later, [(6, Blind), (7, Ok)]);
    bench.stop();
}
