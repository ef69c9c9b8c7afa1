use std::sync::{Mutex, MutexGuard, PoisonError};

use super::*;
use crate::camera::source::Source;
use crate::camera::supervise::tests::Bench;
use crate::camera::tests::eventually;
use crate::camera::tests::network::take;
use crate::camera::tests::peer::Peer;
use crate::config::TrustConfig;
use crate::frame::PixelFormat;
use crate::status::CameraState;

/// Aravis' fake camera, of which there can be one at a time: its port is fixed.
struct Fake {
    peer: Option<Peer>,
    name: String,
    _turn: MutexGuard<'static, ()>,
}

impl Fake {
    fn start() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let peer = Peer::genicam();
        let name = peer.url.clone();
        Self { peer: Some(peer), name, _turn: turn }
    }

    fn asking(&self, capture: Capture) -> Bench {
        asking(&self.name, capture, Duration::from_secs(10))
    }
}

fn asking(name: &str, capture: Capture, timeout: Duration) -> Bench {
    // Its pictures are a pattern that no real camera would show.
    let trust = TrustConfig { enabled: false, ..TrustConfig::default() };
    let source = Source::parse(&format!("genicam:{name}")).unwrap();
    Bench::asking(CameraOptions { capture, timeout, trust, ..CameraOptions::new(source) })
}

fn control(name: &str, value: ControlValue) -> Controls {
    Controls::from([(name.to_owned(), value)])
}

#[test]
fn a_gige_camera_is_listed() {
    let fake = Fake::start();
    let found = found().unwrap().unwrap();
    let camera = found.iter().find(|camera| camera.id == fake.name).unwrap();
    assert_eq!((camera.vendor.as_str(), camera.model.as_str()), ("Aravis", "Fake"));
    assert_eq!(camera.protocol.as_deref(), Some("GigEVision"));
    assert_eq!(camera.address.as_deref(), Some("127.0.0.1"));
}

#[test]
fn a_gige_camera_gives_what_it_is_asked_for() {
    let fake = Fake::start();
    for (format, wanted) in [
        (CaptureFormat::Grey, PixelFormat::I420),
        (CaptureFormat::Bayer, PixelFormat::Rgb8),
        (CaptureFormat::Rgb, PixelFormat::Rgb8),
    ] {
        let controls = control("exposure", ControlValue::Number(5000.0));
        let capture = Capture { format: Some(format), size: Some([320, 240]), controls, ..Capture::default() };
        let mut bench = fake.asking(Capture { fps: Some(20.0), ..capture });
        let frames = take(&bench, 5);
        bench.stop();
        for frame in &frames {
            assert_eq!((frame.image.width(), frame.image.height(), frame.image.format()), (320, 240, wanted));
        }
        assert!(frames.is_sorted_by(|a, b| a.captured < b.captured));
    }
}

#[test]
fn a_gige_camera_is_found_by_its_address() {
    let fake = Fake::start();
    let mut bench = asking("127.0.0.1", Capture::default(), Duration::from_secs(10));
    take(&bench, 2);
    bench.stop();
    drop(fake);
}

#[test]
fn a_software_trigger_sets_the_pace() {
    let fake = Fake::start();
    let mut bench = fake.asking(Capture { fps: Some(5.0), trigger: Trigger::Software, ..Capture::default() });
    let frames = take(&bench, 6);
    bench.stop();
    // On its own it gives 25 a second. A busy machine may be late, but never early.
    let gap = frames[5].captured.duration_since(frames[0].captured);
    assert!(gap > Duration::from_millis(600), "{gap:?}");
}

/// The fake camera's line never fires, as on a belt that stands still.
#[test]
fn a_camera_that_waits_for_its_line_has_not_stalled() {
    let fake = Fake::start();
    let source = Source::Genicam(fake.name.clone());
    let mut capture = Capture { trigger: Trigger::Line("Line0".to_owned()), ..Capture::default() };
    let limit = Duration::from_millis(500);
    let open = |capture: &Capture| {
        let options = CameraOptions { capture: capture.clone(), timeout: limit, ..CameraOptions::new(source.clone()) };
        GenicamReader::open(&fake.name, &options).unwrap()
    };
    let (stop, mut reader) = (Stop::new(), open(&capture));
    let signal = thread::spawn({
        let stop = stop.clone();
        move || {
            thread::sleep(limit * 4);
            stop.set();
        }
    });
    assert!(reader.next(&stop).unwrap().is_none());
    signal.join().unwrap();
    drop(reader);
    // One that should run on its own has a limit.
    capture.trigger = Trigger::Off;
    assert_eq!(open(&capture).silence_limit, Some(limit));
}

#[test]
fn what_a_gige_camera_does_not_have_is_said() {
    let fake = Fake::start();
    let line = Capture { trigger: Trigger::Line("Line7".to_owned()), ..Capture::default() };
    let size = Capture { size: Some([9999, 480]), ..Capture::default() };
    let yuyv = Capture { format: Some(CaptureFormat::Yuyv), ..Capture::default() };
    let controls = |name, value| Capture { controls: control(name, value), ..Capture::default() };
    for (capture, wanted) in [
        (line, "it has no trigger `Line7` (it has Line0, Software)"),
        (size, "its pictures have 1 to 2048 pixels across, not 9999"),
        (yuyv, "it gives none of the formats YUV422_8 (it has "),
        (controls("exposure", ControlValue::Number(1e9)), "its exposure is from 10 to 10000000 µs, or \"auto\""),
        (controls("exposure", ControlValue::Text("auto".to_owned())), "it has no automatic exposure"),
        (controls("Gama", ControlValue::Number(1.0)), "it has no setting `Gama`"),
    ] {
        let mut bench = fake.asking(capture);
        eventually("it is said", || bench.states().len() == 2);
        let reason = bench.last_reason();
        assert!(reason.starts_with(&format!("genicam:{} can't be opened", fake.name)), "{reason}");
        assert!(reason.contains(wanted), "{reason}");
        bench.stop();
    }
}

#[test]
fn a_gige_camera_that_is_not_there_is_said() {
    let mut bench = asking("Nobody-1", Capture::default(), Duration::from_secs(10));
    eventually("it is said", || bench.states().len() == 2);
    assert!(bench.last_reason().contains("no camera answers to this name"), "{}", bench.last_reason());
    bench.stop();
}

#[test]
fn a_gige_camera_that_is_killed_and_restarted_comes_back() {
    let mut fake = Fake::start();
    let mut bench = asking(&fake.name, Capture::default(), Duration::from_secs(2));
    take(&bench, 3);
    fake.peer = None;
    eventually("the loss is noticed", || bench.states().last() == Some(&CameraState::Connecting));
    fake.peer = Some(Peer::genicam());
    eventually("it is back", || bench.states().last() == Some(&CameraState::Ok));
    take(&bench, 3);
    bench.stop();
}

#[test]
fn a_gige_camera_that_hangs_is_noticed_and_opened_again() {
    let fake = Fake::start();
    let mut bench = asking(&fake.name, Capture::default(), Duration::from_secs(2));
    take(&bench, 3);
    let peer = fake.peer.as_ref().unwrap();
    peer.signal("STOP");
    eventually("the silence is noticed", || bench.states().last() == Some(&CameraState::Connecting));
    peer.signal("CONT");
    eventually("it is back", || bench.states().last() == Some(&CameraState::Ok));
    bench.stop();
}

fn header(magic: &[u8], numbers: [u32; 4], captured: i64) -> [u8; HEADER] {
    let numbers = numbers.map(u32::to_le_bytes).concat();
    [magic, &numbers, &captured.to_le_bytes()].concat().try_into().unwrap()
}

#[test]
fn what_is_no_header_is_none() {
    let good = header(b"OCEL", [0x0108_0001, 4, 2, 8], 5);
    let wanted = Header { format: 0x0108_0001, size: (4, 2), bytes: 8, captured: 5 };
    assert_eq!(Header::parse(&good), Some(wanted));
    assert_eq!(Header::parse(&header(b"OCEK", [0x0108_0001, 4, 2, 8], 5)), None);
    assert_eq!(Header::parse(&header(b"OCEL", [0x0108_0001, 4, 2, u32::MAX], 5)), None);
}

#[test]
fn what_is_no_picture_is_an_error() {
    let mut reading = Reading::default();
    let mut made = |format, size, bytes: &[u8]| {
        reading.image(Header { format, size, bytes: bytes.len(), captured: 0 }, bytes).map(|image| image.width())
    };
    assert_eq!(made(0x0108_0001, (4, 2), &[0; 8]), Ok(4));
    assert_eq!(made(0x0108_0001, (4, 2), &[]), Err(PixelsError::Damaged));
    assert_eq!(made(0x0108_0001, (4, 2), &[0; 7]), Err(PixelsError::Short { wanted: 8, got: 7 }));
    assert_eq!(made(0x0110_0007, (4, 2), &[0; 16]), Err(PixelsError::Format(0x0110_0007)));
    assert!(matches!(made(0x0108_0001, (0, 2), &[0; 8]), Err(PixelsError::Image(_))));
    assert!(matches!(made(0x0108_0001, (u32::MAX, u32::MAX), &[0; 8]), Err(PixelsError::Image(_))));
    assert_eq!(made(0x0218_0014, (2, 2), &[0; 12]), Ok(2));
}

#[test]
fn a_picture_was_taken_when_the_camera_says_unless_that_makes_no_sense() {
    let at = |captured: i64| Header { format: 0, size: (0, 0), bytes: 0, captured }.captured();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as i64;
    let second = 1_000_000_000;
    assert!(at(now - second).elapsed() >= Duration::from_secs(1));
    for captured in [0, -1, i64::MAX, i64::MIN, now + 100 * second, now - 1000 * second] {
        assert!(at(captured).elapsed() < OVERDUE);
    }
}
