use std::collections::VecDeque;

use super::*;
use crate::camera::pixels::Layout;
use crate::frame::YuvMatrix;

const SILENCE: Duration = Duration::from_secs(10);

/// What a device does next.
enum Act {
    Picture(Vec<u8>),
    Damaged,
    Nothing,
    Fails(i32),
}

/// A device that does what it is told to, and then nothing.
struct Script(VecDeque<Act>);

impl Feed for Script {
    fn next(&mut self, _: Duration, to: &Converter) -> io::Result<Option<Result<Image, PixelsError>>> {
        match self.0.pop_front() {
            Some(Act::Picture(bytes)) => Ok(Some(to.image(&bytes))),
            Some(Act::Damaged) => Ok(Some(Err(PixelsError::Damaged))),
            Some(Act::Fails(code)) => Err(io::Error::from_raw_os_error(code)),
            Some(Act::Nothing) | None => Ok(None),
        }
    }
}

/// A grey camera of 4 x 2 pixels.
fn reader(acts: Vec<Act>) -> V4lReader<Script> {
    let converter = Converter::new(Layout::Grey, (4, 2), 0, YuvMatrix::Bt601).unwrap();
    let mut reader = V4lReader::new(Script(acts.into()), converter, "/dev/video0".to_owned(), Some(25.0), SILENCE);
    reader.silence_limit = Duration::ZERO;
    reader
}

#[test]
fn pictures_come_in_order_and_bad_ones_are_left_out() {
    let mut reader = reader(vec![Act::Picture(vec![1; 8]), Act::Picture(vec![2; 8]), Act::Damaged]);
    let stop = Stop::new();
    for value in [1, 2] {
        let shot = reader.next(&stop).unwrap().unwrap();
        assert_eq!(shot.image.pixels()[..8], [value; 8]);
        assert_eq!(shot.lasts, Duration::from_millis(40));
    }
    let error = reader.next(&stop).unwrap_err().to_string();
    assert_eq!(error, "/dev/video0 gives nothing that can be used: a picture was damaged on its way");
}

#[test]
fn a_good_picture_after_bad_ones_is_all_that_is_seen_of_them() {
    let mut reader = reader(vec![Act::Nothing, Act::Damaged, Act::Picture(vec![0; 3]), Act::Picture(vec![5; 8])]);
    reader.silence_limit = SILENCE;
    assert_eq!(reader.next(&Stop::new()).unwrap().unwrap().image.pixels()[0], 5);
    assert_eq!(reader.damaged, 2);
}

#[test]
fn silence_is_an_error_and_the_signal_is_none() {
    let error = reader(vec![Act::Nothing]).next(&Stop::new()).unwrap_err();
    assert!(matches!(error, CameraError::Stalled { .. }), "{error}");
    let stop = Stop::new();
    stop.set();
    assert!(reader(vec![]).next(&stop).unwrap().is_none());
}

#[test]
fn what_the_system_says_is_told_in_plain_words() {
    let error = reader(vec![Act::Fails(19)]).next(&Stop::new()).unwrap_err();
    assert_eq!(error.to_string(), "/dev/video0 broke off: it was unplugged");
    assert_eq!(said(&io::Error::from_raw_os_error(16)), "another program uses it");
    assert!(said(&io::Error::from_raw_os_error(28)).contains("\"mjpg\""));
    assert!(said(&io::Error::from_raw_os_error(5)).contains("os error 5"));
}

/// A camera may be set to less than a picture a second.
#[test]
fn a_slow_camera_is_not_taken_for_a_dead_one() {
    let converter = || Converter::new(Layout::Grey, (4, 2), 0, YuvMatrix::Bt601).unwrap();
    let slow = |fps| V4lReader::new(Script(VecDeque::new()), converter(), String::new(), fps, SILENCE);
    assert_eq!(slow(Some(0.1)).silence_limit, Duration::from_secs(30));
    assert_eq!(slow(None).silence_limit, SILENCE);
    assert_eq!(slow(Some(f64::INFINITY)).silence_limit, SILENCE);
}
