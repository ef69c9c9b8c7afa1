//! Noticing that a camera is plugged in while it is waited for.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::camera::stop::Stop;

/// How often is looked. A look is one system call.
const LOOK: Duration = Duration::from_millis(500);

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::camera) enum Waited {
    /// The signal came.
    Stopped,
    /// The time is up.
    Whole,
    /// The device is there, and was not, or was another.
    Plugged,
}

/// Waits, but no longer than until a device is plugged in under this name.
pub(in crate::camera) fn wait(path: &Path, time: Duration, stop: &Stop) -> Waited {
    let until = Instant::now() + time;
    let mut before = device(path);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if stop.wait(left.min(LOOK)) {
            return Waited::Stopped;
        }
        let now = device(path);
        if now.is_some() && now != before {
            return Waited::Plugged;
        }
        if left <= LOOK {
            return Waited::Whole;
        }
        before = now;
    }
}

/// What tells a device under this name from one that was there before: the system makes its file anew.
fn device(path: &Path) -> Option<(u64, u64, u64)> {
    let file = fs::metadata(path).ok()?;
    Some((file.dev(), file.ino(), file.rdev()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::sync::mpsc::{Receiver, channel};
    use std::thread;

    use super::*;
    use crate::camera::tests::LONG;

    /// Longer than any test lasts.
    const HOUR: Duration = Duration::from_secs(3600);

    fn waiting(path: &Path, stop: &Stop) -> Receiver<Waited> {
        let (sender, ended) = channel();
        let (path, stop) = (path.to_owned(), stop.clone());
        thread::spawn(move || sender.send(wait(&path, HOUR, &stop)));
        ended
    }

    #[test]
    fn a_device_that_is_plugged_in_ends_the_wait() {
        let dir = tempfile::tempdir().unwrap();
        let (device, link) = (dir.path().join("video0"), dir.path().join("by-id"));
        let stop = Stop::new();
        let ended = waiting(&link, &stop);
        symlink(&device, &link).unwrap();
        // A name that leads nowhere is no device yet.
        assert!(ended.recv_timeout(LOOK * 3).is_err());
        fs::write(&device, "").unwrap();
        assert_eq!(ended.recv_timeout(LONG), Ok(Waited::Plugged));
    }

    #[test]
    fn a_device_that_takes_the_place_of_another_ends_the_wait() {
        let dir = tempfile::tempdir().unwrap();
        let (device, new) = (dir.path().join("video0"), dir.path().join("video1"));
        fs::write(&device, "").unwrap();
        let stop = Stop::new();
        let ended = waiting(&device, &stop);
        // One that just stays there does not.
        assert!(ended.recv_timeout(LOOK * 3).is_err());
        fs::write(&new, "").unwrap();
        fs::rename(&new, &device).unwrap();
        assert_eq!(ended.recv_timeout(LONG), Ok(Waited::Plugged));
    }

    #[test]
    fn the_signal_and_the_time_end_the_wait() {
        let (absent, stop) = (Path::new("/dev/video-absent"), Stop::new());
        assert_eq!(wait(absent, Duration::from_millis(1), &stop), Waited::Whole);
        let ended = waiting(absent, &stop);
        stop.set();
        assert_eq!(ended.recv_timeout(LONG), Ok(Waited::Stopped));
    }
}
