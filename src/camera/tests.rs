//! Tests of sources through the door that the command line uses, and what the tests of the readers share.

mod contained;
pub(super) mod network;
pub(super) mod peer;
mod tls;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::*;
use crate::frame::PixelFormat;
use crate::samples;

/// Longer than anything takes that works.
pub(super) const LONG: Duration = Duration::from_secs(60);

/// A program in place of a real one, which is a shell script.
pub(super) fn fake_program(dir: &Path, name: &str, script: &str) -> PathBuf {
    let path = dir.join(name);
    // Another process writes it: a child that another test starts meanwhile may hold a file that we wrote open, and
    // then it can't be executed.
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", r#"cat > "$0" && chmod +x "$0""#]).arg(&path).stdin(Stdio::piped());
    let mut child = shell.spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    path
}

/// Runs the real ffmpeg to make a file for a test.
pub(super) fn ffmpeg(arguments: &[&str], out: &Path) {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-y"]).args(arguments).arg(out);
    assert!(command.status().unwrap().success(), "{command:?}");
}

/// Waits for a condition that is bound to come true.
pub(super) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < until, "it never came to pass: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process has ended, though perhaps nobody has asked about it yet.
pub(super) fn ended(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('Z'))
}

fn count(source: &str) -> u64 {
    frames(&Source::parse(source).unwrap()).unwrap().map(|image| image.map(|_| 1)).sum::<Result<u64, _>>().unwrap()
}

#[test]
fn every_picture_of_every_kind_of_record_comes_once() {
    let wanted = [
        ("video/azure_shelf.mp4", 200),
        ("video/bottle-detection.mp4", 1189),
        ("video/one-by-one-person-detection.mp4", 1394),
        ("video/worker-zone-detection.gif", 71),
        ("video/bolt-multi-size-detection.gif", 37),
        ("images/cls_cat.jpg", 1),
        ("coco/images", 52),
    ];
    for (name, pictures) in wanted {
        let Some(path) = samples::path(name) else { return };
        assert_eq!(count(path.to_str().unwrap()), pictures, "{name}");
    }
}

/// Recorders leave pictures out where nothing happens: the time of each one counts, not their average.
#[test]
fn a_record_is_shown_by_the_times_of_its_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let clip = dir.path().join("uneven.mkv");
    let uneven = "testsrc=s=64x48:r=10:d=0.6,setpts=N*N/10/TB";
    ffmpeg(&["-f", "lavfi", "-i", uneven, "-vsync", "passthrough", "-c:v", "ffv1"], &clip);
    let mut frames = frames(&Source::parse(clip.to_str().unwrap()).unwrap()).unwrap();
    let shown: Vec<u128> = std::iter::from_fn(|| frames.timed()).map(|frame| frame.unwrap().0.as_millis()).collect();
    assert_eq!(shown, [0, 100, 400, 900, 1600, 2500]);
}

#[test]
fn a_record_that_loops_starts_over() {
    let Some(path) = samples::path("video/azure_shelf.mp4") else { return };
    let source = Source::parse(&format!("file:{}?loop=true", path.display())).unwrap();
    let pictures: Vec<Image> = frames(&source).unwrap().take(403).map(Result::unwrap).collect();
    assert_eq!(pictures[0].pixels(), pictures[200].pixels());
    assert_eq!(pictures[2].pixels(), pictures[402].pixels());
    assert_ne!(pictures[0].pixels(), pictures[150].pixels());
}

#[test]
fn the_simulation_is_the_simulator() {
    let source = Source::parse("sim:conveyor?seed=3&fps=5&width=320&height=180").unwrap();
    let options = ConveyorOptions { seed: 3, fps: 5.0, width: 320, height: 180, leaning: 0.0 };
    let mut conveyor = Conveyor::new(options).unwrap();
    for (n, image) in (0..3).zip(frames(&source).unwrap()) {
        let image = image.unwrap();
        assert_eq!((image.width(), image.height(), image.format()), (320, 180, PixelFormat::Rgb8));
        assert_eq!(image.pixels(), conveyor.frame(n).unwrap().image.pixels());
    }
}

#[test]
fn every_simulation_that_can_be_written_can_be_built() {
    for text in ["fps=0.1&width=160&height=90", "fps=240&width=1920&height=1920", "width=160&height=160"] {
        let source = Source::parse(&format!("sim:conveyor?{text}")).unwrap();
        assert!(frames(&source).unwrap().next().unwrap().is_ok(), "{text}");
    }
}

#[test]
fn a_local_camera_that_is_not_there_may_come_later() {
    let error = frames(&Source::parse("v4l:/dev/video-absent").unwrap()).map(drop).unwrap_err();
    assert!(!error.is_final());
    assert!(error.to_string().starts_with("/dev/video-absent is not there: is the camera plugged in?"), "{error}");
    let error = frames(&Source::parse("v4l:/dev/null").unwrap()).map(drop).unwrap_err();
    assert_eq!(error.to_string(), "/dev/null can't be opened as video: it is no camera");
}

#[test]
fn an_error_ends_the_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broken.png");
    std::fs::write(&path, b"\x89PNG\r\n\x1a\nnot really").unwrap();
    let mut pictures = frames(&Source::parse(path.to_str().unwrap()).unwrap()).unwrap();
    assert!(matches!(pictures.next(), Some(Err(CameraError::Decode { .. }))));
    assert!(pictures.next().is_none());
}
