//! Where a camera leaves its newest frame, and where the engine finds it.
//!
//! A [`Mailbox`] holds one frame. A newer one replaces it and the older counts as dropped, so that a slow consumer
//! sees the present and memory stays bounded. One with room for more ([`Mailbox::queue`]) is for lines on which every
//! part must be seen: what is in it stays, and a frame that finds no room is lost, which the camera hears of. A
//! [`Notifier`] is shared by many mailboxes, so that one thread can wait for a frame in any of them.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::frame::Frame;
use crate::status::Trust;

/// Tells one waiting thread that something happened in one of many mailboxes.
#[derive(Debug, Default)]
pub struct Notifier {
    generation: Mutex<u64>,
    changed: Condvar,
}

impl Notifier {
    /// A notifier, to share among mailboxes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts the notifications. Read it before looking into the mailboxes, then pass it to [`Notifier::wait`].
    #[must_use]
    pub fn generation(&self) -> u64 {
        *self.lock()
    }

    /// Wakes every thread that waits.
    pub fn notify(&self) {
        let mut generation = self.lock();
        *generation = generation.wrapping_add(1);
        self.changed.notify_all();
    }

    /// Waits until there was a notification after the generation `seen`, at most `timeout`; gives the current
    /// generation. What happens between reading `seen` and waiting is not missed.
    pub fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        let unchanged = |generation: &mut u64| *generation == seen;
        *self.changed.wait_timeout_while(self.lock(), timeout, unchanged).unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.generation.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Slot {
    frames: VecDeque<Frame>,
    closed: bool,
    captured: u64,
    dropped: u64,
    unchanged: u64,
    trust: Option<Trust>,
}

/// What is done where there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Full {
    /// The newest frame takes the place of the one that is there.
    Replace,
    /// The newest frame is lost.
    Lose,
}

/// Room for frames. See the module.
#[derive(Debug)]
pub struct Mailbox {
    slot: Mutex<Slot>,
    changed: Condvar,
    notifier: Arc<Notifier>,
    room: usize,
    full: Full,
}

impl Mailbox {
    /// An empty mailbox that tells `notifier` about each frame and about its closing.
    #[must_use]
    pub fn new(notifier: Arc<Notifier>) -> Self {
        Self::with(notifier, 1, Full::Replace)
    }

    /// An empty mailbox with room for so many frames, none of which gives way to a newer one.
    #[must_use]
    pub fn queue(notifier: Arc<Notifier>, room: usize) -> Self {
        Self::with(notifier, room.max(1), Full::Lose)
    }

    fn with(notifier: Arc<Notifier>, room: usize, full: Full) -> Self {
        Self { slot: Mutex::default(), changed: Condvar::new(), notifier, room, full }
    }

    /// Leaves a frame. Where there is no room one frame is dropped and counted; `false` where that breaks the promise of
    /// a queue. Ignored once closed.
    pub fn put(&self, frame: Frame) -> bool {
        let mut slot = self.lock();
        if slot.closed {
            return true;
        }
        slot.captured += 1;
        if slot.frames.len() >= self.room {
            slot.dropped += 1;
            if self.full == Full::Lose {
                return false;
            }
            slot.frames.pop_front();
        }
        slot.frames.push_back(frame);
        drop(slot);
        self.changed.notify_all();
        self.notifier.notify();
        true
    }

    /// Counts a frame that is left out because nothing has changed in it.
    pub fn leave_out(&self) {
        let mut slot = self.lock();
        slot.captured += 1;
        slot.unchanged += 1;
    }

    /// Notes what the camera's pictures are worth.
    pub fn set_trust(&self, trust: Trust) {
        self.lock().trust = Some(trust);
    }

    /// What the camera's pictures are worth, by the last look.
    #[must_use]
    pub fn trust(&self) -> Option<Trust> {
        self.lock().trust
    }

    /// Frames since the start that were left out because nothing had changed.
    #[must_use]
    pub fn unchanged(&self) -> u64 {
        self.lock().unchanged
    }

    /// Waits until there is room, at most `timeout`, and says whether there is. Where only one thread puts frames in, its
    /// next one drops none.
    #[must_use]
    pub fn wait_for_room(&self, timeout: Duration) -> bool {
        let occupied = |slot: &mut Slot| slot.frames.len() >= self.room && !slot.closed;
        let slot =
            self.changed.wait_timeout_while(self.lock(), timeout, occupied).unwrap_or_else(PoisonError::into_inner).0;
        slot.frames.len() < self.room
    }

    /// Takes the oldest frame, if there is one.
    #[must_use]
    pub fn try_take(&self) -> Option<Frame> {
        let frame = self.lock().frames.pop_front();
        if frame.is_some() {
            self.changed.notify_all();
        }
        frame
    }

    /// Takes the oldest frame; waits for one at most `timeout`. `None` at once where the mailbox is closed and empty.
    #[must_use]
    pub fn take(&self, timeout: Duration) -> Option<Frame> {
        let until = Instant::now() + timeout;
        let mut slot = self.lock();
        loop {
            if let Some(frame) = slot.frames.pop_front() {
                self.changed.notify_all();
                return Some(frame);
            }
            let left = until.saturating_duration_since(Instant::now());
            if slot.closed || left.is_zero() {
                return None;
            }
            slot = self.changed.wait_timeout(slot, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// No more frames will come. One that lies there can still be taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
        self.notifier.notify();
    }

    /// Whether no frame is there and none will come.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let slot = self.lock();
        slot.closed && slot.frames.is_empty()
    }

    /// Frames put in since the start.
    #[must_use]
    pub fn captured(&self) -> u64 {
        self.lock().captured
    }

    /// Frames since the start that were replaced by a newer one before anyone took them, or found no room.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use bytes::Bytes;
    use chrono::DateTime;

    use super::*;
    use crate::frame::{Image, PixelFormat};
    use crate::status::CameraState;

    const LONG: Duration = Duration::from_secs(60);

    fn frame(camera: &str, seq: u64) -> Frame {
        let pixels = Bytes::copy_from_slice(&seq.to_le_bytes()[..3]);
        Frame {
            camera: camera.into(),
            seq,
            captured_at: DateTime::UNIX_EPOCH,
            captured: Instant::now(),
            state: CameraState::Ok,
            image: Image::new(1, 1, PixelFormat::Rgb8, pixels).unwrap(),
        }
    }

    fn empty() -> Arc<Mailbox> {
        Arc::new(Mailbox::new(Arc::new(Notifier::new())))
    }

    #[test]
    fn the_newest_frame_wins() {
        let mailbox = empty();
        assert!(mailbox.try_take().is_none());
        assert!((0..5).all(|seq| mailbox.put(frame("a", seq))));
        assert_eq!(mailbox.try_take().unwrap().seq, 4);
        assert!(mailbox.try_take().is_none());
        assert_eq!((mailbox.captured(), mailbox.dropped()), (5, 4));
    }

    #[test]
    fn a_queue_keeps_what_it_has_and_says_what_it_loses() {
        let mailbox = Mailbox::queue(Arc::new(Notifier::new()), 3);
        assert_eq!([0, 1, 2, 3, 4].map(|seq| mailbox.put(frame("a", seq))), [true, true, true, false, false]);
        assert_eq!((mailbox.captured(), mailbox.dropped()), (5, 2));
        assert_eq!(mailbox.try_take().unwrap().seq, 0);
        assert!(mailbox.wait_for_room(LONG) && mailbox.put(frame("a", 5)));
        mailbox.close();
        let rest: Vec<u64> = std::iter::from_fn(|| mailbox.take(LONG)).map(|f| f.seq).collect();
        assert_eq!(rest, [1, 2, 5]);
        assert!(mailbox.is_finished());
    }

    #[test]
    fn closing_wakes_a_waiter_and_keeps_the_last_frame() {
        let mailbox = empty();
        let waiter = thread::spawn({
            let mailbox = mailbox.clone();
            move || mailbox.take(LONG).is_none()
        });
        mailbox.close();
        assert!(waiter.join().unwrap());

        let mailbox = empty();
        mailbox.put(frame("a", 7));
        mailbox.close();
        assert!(!mailbox.is_finished());
        mailbox.put(frame("a", 8));
        assert_eq!(mailbox.take(LONG).unwrap().seq, 7);
        assert!(mailbox.is_finished());
        assert_eq!((mailbox.captured(), mailbox.dropped()), (1, 0));
    }

    #[test]
    fn there_is_room_once_the_frame_was_taken() {
        let mailbox = empty();
        assert!(mailbox.wait_for_room(LONG));
        mailbox.put(frame("a", 0));
        assert!(!mailbox.wait_for_room(Duration::from_millis(1)));
        mailbox.close();
        assert!(!mailbox.wait_for_room(LONG));
        assert!(mailbox.try_take().is_some());
        assert!(mailbox.wait_for_room(LONG));
    }

    #[test]
    fn waiting_for_room_loses_nothing() {
        let mailbox = empty();
        let producer = thread::spawn({
            let mailbox = mailbox.clone();
            move || {
                for seq in 0..500 {
                    assert!(mailbox.wait_for_room(LONG));
                    mailbox.put(frame("a", seq));
                }
                mailbox.close();
            }
        });
        let mut seen = Vec::new();
        while let Some(frame) = mailbox.take(LONG) {
            seen.push(frame.seq);
        }
        producer.join().unwrap();
        assert_eq!(seen, (0..500).collect::<Vec<_>>());
    }

    /// Many producers at full speed, one consumer on the shared notifier: every frame is either seen or counted as
    /// dropped, each camera's frames come in order, and each camera's last frame is seen.
    #[test]
    fn one_thread_serves_many_mailboxes() {
        const CAMERAS: usize = 4;
        const FRAMES: u64 = 2000;
        let notifier = Arc::new(Notifier::new());
        let boxes: Vec<_> = (0..CAMERAS).map(|_| Arc::new(Mailbox::new(Arc::clone(&notifier)))).collect();
        let producers: Vec<_> = boxes
            .iter()
            .cloned()
            .map(|mailbox| {
                thread::spawn(move || {
                    assert!((0..FRAMES).all(|seq| mailbox.put(frame("x", seq))));
                    mailbox.close();
                })
            })
            .collect();
        let mut seen = vec![Vec::new(); CAMERAS];
        loop {
            let generation = notifier.generation();
            for (mailbox, seen) in boxes.iter().zip(&mut seen) {
                seen.extend(mailbox.try_take().map(|f| f.seq));
            }
            if boxes.iter().all(|b| b.is_finished()) {
                break;
            }
            notifier.wait(generation, LONG);
        }
        producers.into_iter().for_each(|p| p.join().unwrap());
        for (mailbox, seen) in boxes.iter().zip(&seen) {
            assert!(seen.is_sorted_by(|a, b| a < b));
            assert_eq!(seen.last(), Some(&(FRAMES - 1)));
            assert_eq!(mailbox.captured(), FRAMES);
            assert_eq!(mailbox.dropped() + seen.len() as u64, FRAMES);
        }
    }
}
