//! Cameras of the network against real ones, healthy and not.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::peer::{Peer, jpegs};
use super::{LONG, eventually};
use crate::camera::options::{CameraOptions, Login};
use crate::camera::source::Source;
use crate::camera::supervise::tests::Bench;
use crate::config::{HwAccel, TrustConfig};
use crate::frame::Frame;
use crate::model::preprocess::to_rgb8;
use crate::secret::SecretPlace;
use crate::status::CameraState;

/// A password with everything in it that URLs, shells and lists may trip over.
pub(super) const PASSWORD: &str = "p@ss w/o:r'd%41+$#?";

pub(super) fn options(url: &str) -> CameraOptions {
    // Test patterns are no scenes.
    let trust = TrustConfig { enabled: false, ..TrustConfig::default() };
    CameraOptions { trust, ..CameraOptions::new(Source::parse(url).unwrap()) }
}

pub(super) fn login(password: &Path) -> Option<Login> {
    let place = SecretPlace { file: Some(password.to_owned()), ..SecretPlace::default() };
    Some(Login { username: "ad-min".to_owned(), password: place })
}

/// The next frames of a camera, each of which must come.
pub(in crate::camera) fn take(bench: &Bench, count: usize) -> Vec<Frame> {
    (0..count).map(|_| bench.mailbox.take(LONG).expect("a picture comes")).collect()
}

/// Seconds between the pictures of neighbouring numbers.
fn gaps(frames: &[Frame]) -> Vec<f64> {
    let next = |pair: &[Frame]| pair[1].seq == pair[0].seq + 1;
    let gap = |pair: &[Frame]| pair[1].captured.duration_since(pair[0].captured).as_secs_f64();
    frames.windows(2).filter(|pair| next(pair)).map(gap).collect()
}

#[test]
fn rtsp_carries_h264_h265_and_mjpeg() {
    for codec in ["h264", "h265", "mjpeg"] {
        let camera = Peer::rtsp(&["--codec", codec]);
        let mut bench = Bench::asking(options(&camera.url));
        let mut frames = take(&bench, 12);
        // By the camera's clock pictures are 1/15 s apart, however they arrive; but not while what had piled up at the
        // start is worked off, when each comes sooner than the last.
        let even = |frames: &[Frame]| {
            let gaps = gaps(&frames[frames.len() - 12..]);
            gaps.iter().filter(|gap| (**gap - 1.0 / 15.0).abs() < 0.002).count() >= 5
        };
        while !even(&frames) {
            assert!(frames.len() < 600, "{codec}: {:?}", gaps(&frames));
            frames.extend(take(&bench, 1));
        }
        let now = Instant::now();
        bench.stop();
        assert!(frames.iter().all(|f| (f.image.width(), f.image.height()) == (320, 240)), "{codec}");
        assert!(frames.iter().all(|f| f.captured <= now), "{codec}");
        // Colour bars, in which nearly half of the values are 75 % of white.
        let rgb = to_rgb8(&frames[11].image);
        let bright = rgb.pixels().iter().filter(|v| **v > 180).count() as f64 / rgb.pixels().len() as f64;
        assert!((0.4..0.6).contains(&bright), "{codec}: {bright}");
        assert_eq!(bench.states(), [CameraState::Connecting, CameraState::Ok, CameraState::Off]);
    }
}

#[test]
fn only_the_rate_and_the_size_that_are_needed_leave_the_decoder() {
    let camera = Peer::rtsp(&["--size", "640x480", "--fps", "30"]);
    let asked = CameraOptions { fps: Some(5.0), max_side: Some(160), ..options(&camera.url) };
    let mut bench = Bench::asking(asked);
    let frames = take(&bench, 8);
    bench.stop();
    assert!(frames.iter().all(|f| (f.image.width(), f.image.height()) == (160, 120)));
    // Pictures that reached us and were then left out would have had numbers.
    let apart = frames[7].captured.duration_since(frames[0].captured).as_secs_f64();
    let numbers = frames[7].seq - frames[0].seq;
    assert!(apart / numbers as f64 > 0.12, "{numbers} pictures in {apart} s");
}

#[test]
fn rtsp_asks_for_a_login_in_both_ways_and_no_process_list_shows_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    for auth in ["basic", "digest"] {
        let camera = Peer::rtsp(&["--auth", auth, "--user", "ad-min", "--password", PASSWORD]);
        let mut bench = Bench::asking(CameraOptions { login: login(&file), ..options(&camera.url) });
        take(&bench, 2);
        let shown = command_lines("ffmpeg");
        assert!(!shown.is_empty());
        for line in shown {
            for secret in ["ad-min", "p@ss", "p%40ss", "127.0.0.1"] {
                assert!(!line.contains(secret), "{line}");
            }
        }
        bench.stop();
        camera.wait_for("teardown");
    }
}

/// The command lines of running programs of this name.
fn command_lines(program: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let lines = processes.filter_map(|p| fs::read(p.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.split(' ').next().unwrap_or_default().ends_with(program)).collect()
}

#[test]
fn wrong_credentials_are_said_without_being_shown() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    fs::write(&file, "wr0ng-secret").unwrap();
    let pictures = jpegs("64x48", 1);
    for auth in ["basic", "digest"] {
        let arguments = ["--auth", auth, "--user", "ad-min", "--password", PASSWORD];
        for camera in [Peer::rtsp(&arguments), Peer::http(pictures.path(), &arguments)] {
            let shown = &camera.url;
            for (login, wanted) in [
                (login(&file), "refuses the user name or the password"),
                (
                    None,
                    "wants a user name and a password: set `username`, and `password_file` or `password_credential`",
                ),
            ] {
                let mut bench = Bench::asking(CameraOptions { login, ..options(&camera.url) });
                eventually("it is refused", || bench.states().len() == 2);
                assert_eq!(bench.last_reason(), format!("{shown} {wanted}"));
                assert_eq!(bench.states()[1], CameraState::Connecting);
                bench.stop();
            }
        }
    }
}

#[test]
fn a_password_that_cannot_be_read_is_the_cameras_trouble() {
    let mut bench =
        Bench::asking(CameraOptions { login: login(Path::new("/no/such/password")), ..options("rtsp://127.0.0.1:1/") });
    eventually("it is said", || bench.states().len() == 2);
    assert!(bench.last_reason().contains("can't read /no/such/password"), "{}", bench.last_reason());
    bench.stop();
}

/// The camera is killed in the middle, and comes back at the same place.
#[test]
fn a_camera_that_is_killed_and_restarted_comes_back() {
    let camera = Peer::rtsp(&[]);
    let (url, port) = (camera.url.clone(), camera.port());
    let mut bench = Bench::asking(options(&url));
    take(&bench, 3);
    drop(camera);
    eventually("the loss is noticed", || bench.states().last() == Some(&CameraState::Connecting));
    assert!(bench.last_reason().starts_with(&url), "{}", bench.last_reason());
    let _camera = Peer::rtsp(&["--port", &port]);
    eventually("it is back", || bench.states().last() == Some(&CameraState::Ok));
    let before = bench.mailbox.captured();
    eventually("it delivers", || bench.mailbox.captured() > before);
    bench.stop();
}

/// The connection stays up, but no picture comes any more.
#[test]
fn a_stalled_stream_is_noticed_and_opened_again() {
    let pictures = jpegs("64x48", 10);
    for camera in [Peer::rtsp(&[]), Peer::http(pictures.path(), &[])] {
        let limit = Duration::from_secs(2);
        let mut bench = Bench::asking(CameraOptions { timeout: limit, ..options(&camera.url) });
        take(&bench, 3);
        camera.signal("USR1");
        eventually("the silence is noticed", || bench.last_reason().ends_with("gave no picture for 2 s"));
        assert_eq!(bench.states().last(), Some(&CameraState::Connecting));
        camera.signal("USR2");
        eventually("it is back", || bench.states().last() == Some(&CameraState::Ok));
        bench.stop();
    }
}

/// The camera's software hangs: the connection is up, and nobody answers.
#[test]
fn a_camera_that_hangs_is_noticed_and_opened_again() {
    let camera = Peer::rtsp(&[]);
    let mut bench = Bench::asking(CameraOptions { timeout: Duration::from_secs(2), ..options(&camera.url) });
    take(&bench, 3);
    camera.signal("STOP");
    eventually("the silence is noticed", || bench.states().last() == Some(&CameraState::Connecting));
    camera.signal("CONT");
    eventually("it is back", || bench.states().last() == Some(&CameraState::Ok));
    bench.stop();
}

#[test]
fn an_rtsp_session_is_torn_down_when_the_camera_stops() {
    let camera = Peer::rtsp(&[]);
    let mut bench = Bench::asking(options(&camera.url));
    take(&bench, 2);
    bench.stop();
    camera.wait_for("teardown");
    camera.wait_for("gone");
}

/// No machine has both kinds of hardware, and those that run tests mostly have none.
#[test]
fn hardware_that_is_asked_for_and_not_there_is_an_error() {
    let camera = Peer::rtsp(&[]);
    let absent = if Path::new("/dev/nvidiactl").exists() { HwAccel::Vaapi } else { HwAccel::Cuda };
    let mut bench = Bench::asking(CameraOptions { hwaccel: absent, ..options(&camera.url) });
    eventually("it is said", || bench.last_reason().ends_with("the hardware that `hwaccel` asks for is not there"));
    bench.stop();
    let mut bench = Bench::asking(CameraOptions { hwaccel: HwAccel::None, ..options(&camera.url) });
    take(&bench, 2);
    bench.stop();
}

#[test]
fn http_carries_mjpeg_with_a_login_in_both_ways() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    fs::write(&file, PASSWORD).unwrap();
    let pictures = jpegs("160x120", 10);
    for (auth, more) in [("none", &["--no-length"][..]), ("basic", &[]), ("digest", &[])] {
        let arguments = [&["--auth", auth, "--user", "ad-min", "--password", PASSWORD], more].concat();
        let camera = Peer::http(pictures.path(), &arguments);
        let login = if auth == "none" { None } else { login(&file) };
        let mut bench = Bench::asking(CameraOptions { login, ..options(&camera.url) });
        let frames = take(&bench, 12);
        bench.stop();
        assert!(frames.iter().all(|f| (f.image.width(), f.image.height()) == (160, 120)), "{auth}");
        camera.wait_for("gone");
    }
}
