mod fitness;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};

use bytes::Bytes;
use chrono::DateTime;

use super::*;
use crate::camera::mailbox::Notifier;
use crate::camera::sim::ConveyorError;
use crate::camera::tests::{LONG, ended, eventually, fake_program, ffmpeg};
use crate::clock::{ManualClock, SystemClock};
use crate::config::TrustConfig;
use crate::frame::{Image, PixelFormat};

type Observe = Box<dyn FnMut(CameraStatus) + Send>;

/// A camera under test, with its mailbox and all that it reported.
pub(in crate::camera) struct Bench {
    camera: Option<Camera>,
    pub mailbox: Arc<Mailbox>,
    reports: Arc<Mutex<Vec<CameraStatus>>>,
}

impl Bench {
    fn new(source: Source, fps: Option<f32>) -> Self {
        Self::asking(CameraOptions { fps, ..CameraOptions::new(source) })
    }

    /// A camera as the daemon would start it.
    pub fn asking(options: CameraOptions) -> Self {
        let start =
            |name: &Name, mailbox, observe| Camera::spawn(name, options, mailbox, Arc::new(SystemClock), observe);
        Self::started(newest(), start)
    }

    fn with(
        source: Source,
        fps: Option<f32>,
        clock: Arc<dyn Clock>,
        open: impl FnMut(&Stop) -> Opened + Send + 'static,
    ) -> Self {
        // Pictures that a test makes up are rarely worth a look.
        let trust = TrustConfig { enabled: false, ..TrustConfig::default() };
        let options = CameraOptions { fps, trust, ..CameraOptions::new(source) };
        Self::started(newest(), |name, mailbox, observe| Camera::with(name, options, mailbox, clock, observe, open))
    }

    /// A camera whose pictures the test gives.
    fn fed(options: CameraOptions, mailbox: Mailbox) -> (Self, SyncSender<Shot>) {
        let (feed, shots) = sync_channel(1000);
        let mut fed = Some(Fed(shots));
        let open = move |_: &Stop| Ok(fed.take().map(|fed| Box::new(fed) as Box<dyn Reader>));
        let clock = Arc::new(SystemClock);
        let start = |name: &Name, mailbox, observe| Camera::with(name, options, mailbox, clock, observe, open);
        (Self::started(mailbox, start), feed)
    }

    fn started(mailbox: Mailbox, start: impl FnOnce(&Name, Arc<Mailbox>, Observe) -> io::Result<Camera>) -> Self {
        let mailbox = Arc::new(mailbox);
        let reports: Arc<Mutex<Vec<CameraStatus>>> = Arc::default();
        let heard = Arc::clone(&reports);
        let observe: Observe = Box::new(move |status| heard.lock().unwrap().push(status));
        let camera = start(&Name::new("line3").unwrap(), Arc::clone(&mailbox), observe).unwrap();
        Self { camera: Some(camera), mailbox, reports }
    }

    /// All frames to the end.
    fn frames(&self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.mailbox.take(LONG) {
            frames.push(frame);
        }
        assert!(self.mailbox.is_finished(), "no picture came for a long time");
        frames
    }

    pub fn states(&self) -> Vec<CameraState> {
        self.reports.lock().unwrap().iter().map(|status| status.state).collect()
    }

    pub fn last_reason(&self) -> String {
        self.reports.lock().unwrap().last().map(|status| status.reason.clone()).unwrap_or_default()
    }

    pub fn stop(&mut self) {
        self.camera.take().unwrap().stop();
    }
}

fn newest() -> Mailbox {
    Mailbox::new(Arc::new(Notifier::new()))
}

/// Gives the pictures that come through a channel, until it is closed.
struct Fed(Receiver<Shot>);

impl Reader for Fed {
    fn next(&mut self, stop: &Stop) -> Result<Option<Shot>, CameraError> {
        loop {
            match self.0.recv_timeout(GLANCE) {
                Err(RecvTimeoutError::Timeout) if !stop.is_set() => {}
                other => return Ok(other.ok()),
            }
        }
    }
}

fn clip(path: &Path, looping: bool, realtime: bool) -> Source {
    Source::Clip { path: path.to_owned(), looping: Some(looping), realtime: Some(realtime) }
}

/// A clip of `count` pictures, ten a second.
fn made_clip(dir: &Path, count: u32) -> PathBuf {
    let path = dir.join("clip.mp4");
    let (input, count) = ("testsrc=s=64x48:r=10:d=100", count.to_string());
    ffmpeg(&["-f", "lavfi", "-i", input, "-frames:v", &count], &path);
    path
}

/// Gives pictures by a script, in which a `None` is a panic.
struct Script(std::vec::IntoIter<Option<Duration>>);

impl Script {
    fn boxed(lasts: Vec<Option<Duration>>) -> Option<Box<dyn Reader>> {
        Some(Box::new(Self(lasts.into_iter())))
    }
}

impl Reader for Script {
    fn next(&mut self, _: &Stop) -> Result<Option<Shot>, CameraError> {
        let image = Image::new(1, 1, PixelFormat::Rgb8, Bytes::from_static(b"rgb")).unwrap();
        Ok(self.0.next().map(|lasts| Shot { image, lasts: lasts.expect("the decoder fell over"), captured: None }))
    }
}

const TENTH: Option<Duration> = Some(Duration::from_millis(100));

#[test]
fn a_record_without_a_pace_loses_no_picture_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::new(clip(&made_clip(dir.path(), 40), false, false), None);
    let frames = bench.frames();
    assert_eq!(frames.iter().map(|f| f.seq).collect::<Vec<_>>(), (0..40).collect::<Vec<_>>());
    assert!(frames.iter().all(|f| &*f.camera == "line3"));
    assert!(frames.is_sorted_by(|a, b| a.captured <= b.captured && a.captured_at <= b.captured_at));
    assert_eq!((bench.mailbox.captured(), bench.mailbox.dropped()), (40, 0));
    eventually("the camera is off", || bench.states().last() == Some(&CameraState::Off));
    assert_eq!(bench.states(), [CameraState::Connecting, CameraState::Ok, CameraState::Off]);
    assert!(bench.last_reason().ends_with("clip.mp4 has ended"), "{}", bench.last_reason());
}

#[test]
fn a_loop_goes_on_without_a_gap_until_it_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(clip(&made_clip(dir.path(), 4), true, false), None);
    for seq in 0..11 {
        assert_eq!(bench.mailbox.take(LONG).unwrap().seq, seq);
    }
    bench.stop();
    assert_eq!(bench.states(), [CameraState::Connecting, CameraState::Ok, CameraState::Off]);
    assert_eq!(bench.last_reason(), "it was switched off");
}

/// Nobody takes the frames: the camera goes on, and only the newest is there.
#[test]
fn the_newest_picture_of_a_paced_source_wins() {
    let source = Source::parse("sim:conveyor?fps=100&width=160&height=90").unwrap();
    let mut bench = Bench::new(source, None);
    eventually("many pictures came", || bench.mailbox.captured() > 20);
    assert!(bench.mailbox.take(LONG).unwrap().seq >= 20);
    bench.stop();
    let (captured, dropped) = (bench.mailbox.captured(), bench.mailbox.dropped());
    assert!(dropped > 0 && dropped < captured);
    // A paced record is not faster than its pictures say.
    let dir = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let bench = Bench::new(clip(&made_clip(dir.path(), 6), false, true), None);
    assert_eq!(bench.frames().last().unwrap().seq, 5);
    assert!(began.elapsed() >= Duration::from_millis(500));
}

#[test]
fn a_rate_leaves_pictures_out_evenly_and_numbers_them_all() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::new(clip(&made_clip(dir.path(), 20), false, false), Some(2.5));
    assert_eq!(bench.frames().iter().map(|f| f.seq).collect::<Vec<_>>(), [0, 4, 8, 12, 16]);
}

#[test]
fn a_file_that_appears_later_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let late = dir.path().join("late.mp4");
    let bench = Bench::new(clip(&late, false, false), None);
    eventually("the trouble is reported", || bench.states().len() == 2);
    assert!(bench.last_reason().contains("late.mp4"), "{}", bench.last_reason());
    assert!(bench.last_reason().contains("No such file"), "{}", bench.last_reason());
    fs::rename(made_clip(dir.path(), 3), &late).unwrap();
    assert_eq!(bench.frames().len(), 3);
    use CameraState::{Connecting, Off, Ok};
    eventually("the camera is off", || bench.states().last() == Some(&Off));
    assert_eq!(bench.states(), [Connecting, Connecting, Ok, Off]);
}

/// The clock stands still while tries fail, so that `since` tells which report began the state.
#[test]
fn trouble_is_reported_once_and_is_as_old_as_its_state() {
    let clock = ManualClock::new(DateTime::UNIX_EPOCH);
    let (tries, ticking) = (Arc::new(AtomicU32::new(0)), clock.clone());
    let tried = Arc::clone(&tries);
    let open = move |_: &Stop| {
        ticking.advance(Duration::from_secs(1));
        match tried.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => Err(CameraError::Empty { from: "first".to_owned() }),
            2 => Err(CameraError::Empty { from: "second".to_owned() }),
            _ => Ok(Script::boxed(vec![TENTH, TENTH])),
        }
    };
    let source = clip(Path::new("x.mp4"), false, false);
    let bench = Bench::with(source, None, Arc::new(clock), open);
    assert_eq!(bench.frames().len(), 2);
    eventually("the camera is off", || bench.states().last() == Some(&CameraState::Off));
    let reports = bench.reports.lock().unwrap();
    let told: Vec<_> = reports.iter().map(|s| (s.state, s.reason.as_str(), s.since.timestamp())).collect();
    let wanted = [
        (CameraState::Connecting, "", 0),
        (CameraState::Connecting, "first holds no picture", 0),
        (CameraState::Connecting, "second holds no picture", 0),
        (CameraState::Ok, "", 4),
        (CameraState::Off, "x.mp4 has ended", 4),
    ];
    assert_eq!(told, wanted);
    assert!(reports.iter().all(|s| s.schema == CAMERA_SCHEMA));
}

#[test]
fn a_panic_in_a_reader_is_a_cameras_trouble() {
    let mut opened = 0;
    let open = move |_: &Stop| {
        opened += 1;
        match opened {
            1 => panic!("no {}", "opening"),
            2 => Ok(Script::boxed(vec![TENTH, None])),
            _ => Ok(Script::boxed(vec![TENTH])),
        }
    };
    let bench = Bench::with(clip(Path::new("x.mp4"), false, false), None, Arc::new(SystemClock), open);
    // Numbers go on when the source is opened again.
    assert_eq!(bench.frames().iter().map(|f| f.seq).collect::<Vec<_>>(), [0, 1]);
    eventually("the camera is off", || bench.states().last() == Some(&CameraState::Off));
    let reports = bench.reports.lock().unwrap();
    let told: Vec<&str> = reports.iter().map(|s| s.reason.as_str()).collect();
    let failed = |why: &str| format!("x.mp4: the reader failed: {why}");
    let (first, second) = (failed("no opening"), failed("the decoder fell over"));
    assert_eq!(told, ["", &first, "", &second, "", "x.mp4 has ended"]);
}

#[test]
fn what_can_never_work_is_not_tried_again() {
    let open = |_: &Stop| Err(CameraError::Simulation(ConveyorError::Fps(0.0)));
    let mut bench = Bench::with(Source::parse("sim:conveyor").unwrap(), None, Arc::new(SystemClock), open);
    assert!(bench.frames().is_empty());
    bench.stop();
    assert_eq!(bench.states(), [CameraState::Connecting, CameraState::Off]);
}

/// A live camera whose stream ends in good order has failed all the same.
#[test]
fn a_live_camera_that_ends_is_opened_again() {
    let open = |_: &Stop| Ok(Script::boxed(vec![TENTH; 2]));
    let source = Source::parse("rtsp://admin:hunter2@camera/live").unwrap();
    let mut bench = Bench::with(source, None, Arc::new(SystemClock), open);
    eventually("it came back", || bench.mailbox.captured() >= 4);
    bench.stop();
    let reports = bench.reports.lock().unwrap();
    assert_eq!(reports[2].state, CameraState::Connecting);
    assert_eq!(reports[2].reason, "rtsp://camera/live broke off: the stream ended");
    assert!(reports.iter().all(|s| !s.reason.contains("hunter2")));
}

/// Gives pictures without a pause or an end, and never looks at the signal.
struct Flood;

impl Reader for Flood {
    fn next(&mut self, stop: &Stop) -> Result<Option<Shot>, CameraError> {
        Script(vec![TENTH].into_iter()).next(stop)
    }
}

#[test]
fn a_flood_of_pictures_can_be_stopped() {
    for source in ["rtsp://camera/live", "sim:conveyor"] {
        let open = |_: &Stop| Ok(Some(Box::new(Flood) as Box<dyn Reader>));
        let mut bench = Bench::with(Source::parse(source).unwrap(), None, Arc::new(SystemClock), open);
        eventually("pictures come", || bench.mailbox.captured() > 0);
        bench.stop();
        assert_eq!(bench.states(), [CameraState::Connecting, CameraState::Ok, CameraState::Off]);
    }
}

#[test]
fn stopping_waits_for_nothing_that_hangs() {
    let dir = tempfile::tempdir().unwrap();
    let pids = dir.path().join("pids");
    let hang = format!("echo $$ >> {}; exec sleep 1000", pids.display());
    let answer = r#"echo '{"streams":[{"width":4,"height":2}]}'"#;
    for (i, (ffprobe, ffmpeg)) in [(hang.as_str(), hang.as_str()), (answer, hang.as_str())].iter().enumerate() {
        let home = dir.path().join(i.to_string());
        fs::create_dir(&home).unwrap();
        let tools = Ffmpeg {
            ffmpeg: fake_program(&home, "ffmpeg", ffmpeg),
            ffprobe: fake_program(&home, "ffprobe", ffprobe),
            probe_limit: LONG * 10,
            silence_limit: LONG * 10,
        };
        let source = clip(Path::new("x.mp4"), false, false);
        let opened = CameraOptions::new(source.clone());
        let open = move |stop: &Stop| super::super::open(&opened, &tools, stop);
        let mut bench = Bench::with(source, None, Arc::new(SystemClock), open);
        let running = || fs::read_to_string(&pids).unwrap_or_default().lines().count() == i + 1;
        eventually("the child hangs", running);
        bench.stop();
        assert_eq!(bench.states(), [CameraState::Connecting, CameraState::Off]);
        assert!(fs::read_to_string(&pids).unwrap().lines().all(ended), "a child was left behind");
    }
}

#[test]
fn a_camera_that_nobody_listens_to_can_be_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(clip(&made_clip(dir.path(), 20), true, false), None);
    eventually("the mailbox is full", || bench.mailbox.captured() == 1);
    bench.stop();
    assert_eq!(bench.mailbox.dropped(), 0);
    assert_eq!(bench.mailbox.take(LONG).unwrap().seq, 0);
    assert!(bench.mailbox.is_finished());
}

#[test]
fn cameras_do_not_disturb_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let broken = dir.path().join("broken.mp4");
    fs::write(&broken, b"no video").unwrap();
    let mut bad = Bench::new(clip(&broken, true, false), None);
    let good = Bench::new(clip(&made_clip(dir.path(), 50), false, false), None);
    assert_eq!(good.frames().len(), 50);
    bad.stop();
    assert_eq!(bad.mailbox.captured(), 0);
}
