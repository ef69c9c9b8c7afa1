//! When a picture was taken.
//!
//! ffmpeg says each picture's time in the stream on stderr ([`MARK`]). For a record that is when it is shown. For a
//! camera it is the camera's own clock: the RTP timestamp over RTSP, the arrival of the packet for a row of JPEGs. That
//! clock is placed in ours at the picture that came soonest. So what a picture waited for in sockets, the decoder or
//! pipes counts as latency; what the soonest one needed to reach the decoder is not known, and not taken off.

use std::time::{Duration, Instant};

/// The key that a picture's line on stderr is made by; the line after the time repeats it.
pub(super) const MARK: &str = "ocellus";

/// What a picture's time is counted in, per second. ffmpeg's own seconds have six digits, which is one a second after
/// a day.
const TICKS: f64 = 1e6;

/// No record shows a picture for longer, in seconds: a day.
const LONGEST: f64 = 86_400.0;

/// How fast the camera's clock may be found to run slower than ours, seconds per second.
const DRIFT: f64 = 0.002;
/// The stream's clock has jumped where it is off by more, in seconds.
const JUMP: f64 = 10.0;

/// One picture's time in its stream, and when it was heard of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mark {
    /// Seconds; `None` where the stream has no times.
    pub pts: Option<f64>,
    pub at: Instant,
}

/// What a line of ffmpeg's is about.
#[derive(Debug, PartialEq)]
pub(super) enum Line {
    /// A picture, with its time in seconds.
    Picture(Option<f64>),
    /// The rest of what is said about a picture.
    Rest,
    Other,
}

/// Reads `frame:0    pts:200000  pts_time:0.2`, whose first time is in microseconds, and the line after it.
pub(super) fn line(text: &str) -> Line {
    let text = text.trim();
    if text.strip_prefix(MARK).is_some_and(|rest| rest.starts_with('=')) {
        return Line::Rest;
    }
    let times = text.strip_prefix("frame:").and_then(|rest| rest.split_once("pts:")?.1.split_once("pts_time:"));
    match times {
        Some((ticks, _)) => Line::Picture(ticks.trim().parse().ok().filter(|t: &f64| t.is_finite()).map(|t| t / TICKS)),
        None => Line::Other,
    }
}

/// How long a record shows the picture at `pts` whose successor is at `next`, both in seconds; `None` where its times
/// make no sense.
pub(super) fn between(pts: Option<f64>, next: Option<f64>) -> Option<Duration> {
    let span = next? - pts?;
    (span > 0.0 && span < LONGEST).then(|| Duration::from_micros((span * TICKS).round() as u64))
}

/// Places a stream's clock in ours.
#[derive(Debug, Default)]
pub(super) struct StreamClock {
    /// The first mark: where both clocks are counted from.
    base: Option<(Instant, f64)>,
    /// Our clock less the stream's, in seconds, of the picture that came soonest.
    offset: f64,
    /// The last picture's time, in seconds since the first.
    last: f64,
}

impl StreamClock {
    /// When the picture was taken; never later than it was heard of.
    pub fn captured(&mut self, mark: Mark) -> Instant {
        let Some(pts) = mark.pts else { return mark.at };
        let Some((began, first)) = self.base else {
            self.base = Some((mark.at, pts));
            return mark.at;
        };
        let (at, pts) = (mark.at.saturating_duration_since(began).as_secs_f64(), pts - first);
        let offset = at - pts;
        let passed = (pts - self.last).clamp(0.0, 1.0);
        self.last = pts;
        if offset < self.offset || offset > self.offset + JUMP {
            self.offset = offset;
        } else {
            self.offset = (self.offset + passed * DRIFT).min(offset);
        }
        let late = Duration::try_from_secs_f64(offset - self.offset).unwrap_or_default();
        mark.at.checked_sub(late).unwrap_or(mark.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pictures_line_is_told_from_what_else_is_said() {
        assert_eq!(line("frame:19   pts:3800000 pts_time:3.8"), Line::Picture(Some(3.8)));
        // A day later the seconds are rounded.
        assert_eq!(line("frame:2592000 pts:86400033367 pts_time:86400"), Line::Picture(Some(86_400.033_367)));
        assert_eq!(line("frame:0    pts:NOPTS   pts_time:NOPTS"), Line::Picture(None));
        assert_eq!(line("ocellus=1"), Line::Rest);
        for text in
            ["[hevc @ 0x1] Could not find ref with POC 3", "frame:", "frame:0 pts:1", "ocellus", "", "pts_time:3"]
        {
            assert_eq!(line(text), Line::Other, "{text}");
        }
    }

    #[test]
    fn a_picture_lasts_until_the_next_one_where_times_make_sense() {
        assert_eq!(between(Some(0.2), Some(0.3)), Some(Duration::from_millis(100)));
        assert_eq!(between(Some(86_400.0), Some(86_400.033_367)), Some(Duration::from_micros(33_367)));
        for (pts, next) in [(None, Some(1.0)), (Some(1.0), None), (Some(1.0), Some(1.0)), (Some(2.0), Some(1.0))] {
            assert_eq!(between(pts, next), None);
        }
        assert_eq!(between(Some(-1e300), Some(1e300)), None);
    }

    /// How late, in milliseconds, pictures are found to be that come at `at` and are due at `pts`, both in seconds.
    fn lateness(marks: &[(f64, f64)]) -> Vec<u128> {
        let (began, mut clock) = (Instant::now(), StreamClock::default());
        let late = |(at, pts): &(f64, f64)| {
            let at = began + Duration::from_secs_f64(*at);
            at.duration_since(clock.captured(Mark { pts: Some(*pts), at })).as_millis()
        };
        marks.iter().map(late).collect()
    }

    #[test]
    fn what_a_picture_waited_for_is_not_a_part_of_its_time() {
        // A pause of the network, after which three pictures come at once.
        let late = lateness(&[(0.0, 10.0), (0.1, 10.1), (0.5, 10.2), (0.5, 10.3), (0.5, 10.4), (0.5, 10.5)]);
        assert_eq!(late, [0, 0, 299, 199, 99, 0]);
    }

    #[test]
    fn the_picture_that_came_soonest_counts() {
        assert_eq!(lateness(&[(0.5, 0.0), (0.55, 0.1), (0.6, 0.2), (0.75, 0.3)]), [0, 0, 0, 49]);
    }

    #[test]
    fn a_clock_that_is_slow_or_jumps_is_followed() {
        // One part in a thousand slower than ours, for two hours at one picture a second.
        let slow: Vec<_> = (0..7200).map(|i| (f64::from(i) * 1.001, f64::from(i))).collect();
        assert!(lateness(&slow).iter().all(|late| *late <= 1));
        assert_eq!(lateness(&[(0.0, 0.0), (1.0, 1.0), (2.0, 5000.0), (3.0, 5001.0), (4.0, 0.0), (5.0, 1.0)]), [0; 6]);
    }

    #[test]
    fn a_stream_without_times_has_those_of_arrival() {
        let (now, mut clock) = (Instant::now(), StreamClock::default());
        assert_eq!(clock.captured(Mark { pts: None, at: now }), now);
    }
}
