//! Cameras that send what no camera should, and stills.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::eventually;
use super::network::{PASSWORD, login, options, take};
use super::peer::{Peer, jpegs};
use crate::camera::options::CameraOptions;
use crate::camera::supervise::tests::Bench;
use crate::status::CameraState;

/// A JPEG that claims to have 20,000 x 20,000 pixels.
fn huge(small: &Path) -> Vec<u8> {
    let mut jpeg = fs::read(small).unwrap();
    let start = jpeg.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
    let side = 20_000_u16.to_be_bytes();
    jpeg[start + 5..start + 9].copy_from_slice(&[side, side].concat());
    jpeg
}

fn noise(length: u32) -> Vec<u8> {
    (0..length).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// The most memory that any decoder of this process has taken, in MiB.
fn decoders_peak() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").unwrap().filter_map(Result::ok);
    let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let ids: Vec<String> = children.flat_map(|text| text.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect();
    let peak = |id: &String| {
        let status = fs::read_to_string(format!("/proc/{}/status", id.trim())).ok()?;
        if !status.starts_with("Name:\tffmpeg") {
            return None;
        }
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?.to_owned();
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    ids.iter().filter_map(peak).max().unwrap_or(0) / 1024
}

#[test]
fn a_camera_that_sends_nothing_but_garbage_stays_its_own_trouble() {
    let pictures = tempfile::tempdir().unwrap();
    fs::write(pictures.path().join("1.jpg"), noise(200_000)).unwrap();
    let (bad, good) = (Peer::http(pictures.path(), &[]), Peer::rtsp(&[]));
    let mut spoilt = Bench::asking(CameraOptions { timeout: Duration::from_secs(2), ..options(&bad.url) });
    let mut healthy = Bench::asking(options(&good.url));
    take(&healthy, 5);
    eventually("it is said", || !spoilt.last_reason().is_empty());
    assert!(spoilt.last_reason().starts_with(&bad.url), "{}", spoilt.last_reason());
    take(&healthy, 5);
    spoilt.stop();
    healthy.stop();
    assert_eq!(spoilt.mailbox.captured(), 0);
    assert!(!healthy.states()[..2].contains(&CameraState::Off));
}

#[test]
fn garbage_and_a_huge_picture_among_good_ones_are_left_out() {
    let pictures = jpegs("160x120", 8);
    fs::write(pictures.path().join("003.jpg"), noise(20_000)).unwrap();
    fs::write(pictures.path().join("005.jpg"), huge(&pictures.path().join("001.jpg"))).unwrap();
    let camera = Peer::http(pictures.path(), &["--fps", "30"]);
    let mut bench = Bench::asking(options(&camera.url));
    let frames = take(&bench, 40);
    assert!(frames.iter().all(|f| (f.image.width(), f.image.height()) == (160, 120)));
    let peak = decoders_peak();
    assert!(peak < 300, "the decoder took {peak} MiB");
    bench.stop();
}

#[test]
fn a_camera_of_huge_pictures_is_refused() {
    let pictures = jpegs("64x48", 1);
    fs::write(pictures.path().join("001.jpg"), huge(&pictures.path().join("001.jpg"))).unwrap();
    let camera = Peer::http(pictures.path(), &[]);
    for (path, poll) in [("/video", None), ("/still", Some(Duration::from_millis(200)))] {
        let url = camera.url.replace("/video", path);
        let mut bench = Bench::asking(CameraOptions { poll, timeout: Duration::from_secs(3), ..options(&url) });
        eventually("it is said", || !bench.last_reason().is_empty());
        assert!(bench.last_reason().starts_with(&url), "{}", bench.last_reason());
        bench.stop();
        assert_eq!(bench.mailbox.captured(), 0);
    }
}

/// A thousand pictures a second: most stay in the decoder, and the camera can be stopped.
#[test]
fn a_flood_of_pictures_stays_in_the_decoder() {
    let pictures = jpegs("64x48", 10);
    let camera = Peer::http(pictures.path(), &["--fps", "1000"]);
    let mut bench = Bench::asking(options(&camera.url));
    let frames = take(&bench, 300);
    bench.stop();
    let (first, last) = (&frames[0], &frames[299]);
    let seconds = last.captured.duration_since(first.captured).as_secs_f64();
    let rate = (last.seq - first.seq) as f64 / seconds;
    assert!(rate < 260.0, "{rate} a second");
    assert_eq!(bench.states(), [CameraState::Connecting, CameraState::Ok, CameraState::Off]);
}

#[test]
fn stills_are_asked_for_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    fs::write(&file, PASSWORD).unwrap();
    let pictures = jpegs("160x120", 10);
    for auth in ["basic", "digest"] {
        let camera = Peer::http(pictures.path(), &["--auth", auth, "--user", "ad-min", "--password", PASSWORD]);
        let url = camera.url.replace("/video", "/still");
        let poll = Some(Duration::from_millis(100));
        let mut bench = Bench::asking(CameraOptions { login: login(&file), poll, ..options(&url) });
        let frames = take(&bench, 4);
        assert!(frames.iter().all(|f| (f.image.width(), f.image.height()) == (160, 120)), "{auth}");
        assert!(frames.windows(2).all(|w| w[0].image.pixels() != w[1].image.pixels()), "{auth}");
        let port = camera.port();
        drop(camera);
        eventually("the loss is noticed", || bench.states().last() == Some(&CameraState::Connecting));
        assert!(bench.last_reason().contains("Connection refused"), "{}", bench.last_reason());
        let arguments = ["--auth", auth, "--user", "ad-min", "--password", PASSWORD, "--port", &port];
        let _camera = Peer::http(pictures.path(), &arguments);
        eventually("it is back", || bench.states().last() == Some(&CameraState::Ok));
        bench.stop();
    }
}
