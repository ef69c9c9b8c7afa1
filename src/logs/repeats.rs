//! The same trouble once, then how often.
//!
//! Of warnings and errors from the same place in the program, about the same camera, one that says what the one before
//! it said is counted instead of said; so is what comes after the tenth in a minute, whatever it says. Once a minute
//! what was counted is said: `57 times more in the last 60 s: …`.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::clock::Clock;

/// How often what was counted is said.
const INTERVAL: Duration = Duration::from_secs(60);
/// How often it is looked whether something is due.
const LOOK: Duration = Duration::from_secs(5);
/// So many from one place, about one camera, are said in an interval if each says something else.
const BURST: u32 = 10;
/// Places and cameras that are remembered; what else there is is always said.
const MOST: usize = 1024;
/// Where counts are said; they are not counted themselves.
const TARGET: &str = "ocellus::repeats";

/// Where something was said, and of which camera.
type Key = (Identifier, Option<String>);

/// What was said lately.
pub(super) struct Repeats {
    clock: Arc<dyn Clock>,
    said: Mutex<HashMap<Key, Said>>,
}

struct Said {
    /// When this interval began.
    since: Instant,
    /// The last one, as a digest.
    last: u64,
    message: String,
    level: Level,
    passed: u32,
    counted: u64,
}

/// What was counted in an interval.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Count {
    camera: Option<String>,
    message: String,
    level: Level,
    times: u64,
    seconds: u64,
}

impl Repeats {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, said: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Said>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is to be said.
    fn passes(&self, event: &Event<'_>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::WARN || metadata.target() == TARGET {
            return true;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let text = fields.text.finish();
        let now = self.clock.monotonic();
        let mut all = self.lock();
        let full = all.len() >= MOST;
        let key = (metadata.callsite(), fields.camera);
        let Some(said) = all.get_mut(&key) else {
            if !full {
                let (level, message) = (*metadata.level(), fields.message);
                all.insert(key, Said { since: now, last: text, message, level, passed: 1, counted: 0 });
            }
            return true;
        };
        let over = now.saturating_duration_since(said.since) >= INTERVAL;
        if over && said.counted == 0 {
            *said = Said { since: now, last: text, passed: 1, counted: 0, level: said.level, message: fields.message };
            return true;
        }
        if text == said.last || said.passed >= BURST {
            said.counted += 1;
            said.message = fields.message;
            return false;
        }
        (said.last, said.message) = (text, fields.message);
        said.passed += 1;
        true
    }

    /// What is to be said of what was counted, at most once an interval.
    pub(super) fn due(&self) -> Vec<Count> {
        let now = self.clock.monotonic();
        let mut counts = Vec::new();
        self.lock().retain(|(_, camera), said| {
            let lasted = now.saturating_duration_since(said.since);
            if lasted < INTERVAL {
                return true;
            }
            if said.counted == 0 {
                return false;
            }
            counts.push(Count {
                camera: camera.clone(),
                message: said.message.clone(),
                level: said.level,
                times: said.counted,
                seconds: lasted.as_secs(),
            });
            // The next interval begins; what goes on is counted further.
            (said.since, said.passed, said.counted) = (now, 1, 0);
            true
        });
        counts
    }
}

/// Says what was counted, for as long as the process lives.
pub(super) fn count_in_background(repeats: Arc<Repeats>) {
    let work = move || {
        loop {
            std::thread::sleep(LOOK);
            repeats.due().iter().for_each(say);
        }
    };
    // Without a thread repeats are lost, which is better than no log.
    let _ = std::thread::Builder::new().name("log-repeats".to_owned()).spawn(work);
}

fn say(count: &Count) {
    let Count { camera, message, level, times, seconds } = count;
    let camera = camera.as_deref();
    if *level == Level::ERROR {
        tracing::error!(target: TARGET, camera, "{times} times more in the last {seconds} s: {message}");
    } else {
        tracing::warn!(target: TARGET, camera, "{times} times more in the last {seconds} s: {message}");
    }
}

/// The layer that lets nothing else through.
pub(super) struct Spare(pub(super) Arc<Repeats>);

impl<S: Subscriber> Layer<S> for Spare {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        self.0.passes(event)
    }
}

/// What an event says.
#[derive(Default)]
struct Fields {
    camera: Option<String>,
    message: String,
    text: DefaultHasher,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.take(field, format!("{value:?}"));
    }
}

impl Fields {
    fn take(&mut self, field: &Field, value: String) {
        (field.name(), &value).hash(&mut self.text);
        match field.name() {
            "camera" => self.camera = Some(value),
            "message" => self.message = value,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::clock::ManualClock;

    /// What gets through.
    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Heard {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut fields = Fields::default();
            event.record(&mut fields);
            let camera = fields.camera.map_or_else(String::new, |camera| format!(" {camera}"));
            self.0.lock().unwrap().push(format!("{}{camera}", fields.message));
        }
    }

    fn with(work: impl FnOnce(&ManualClock, &Repeats)) -> Vec<String> {
        let clock = Arc::new(ManualClock::new(chrono::DateTime::UNIX_EPOCH));
        let repeats = Arc::new(Repeats::new(Arc::clone(&clock) as Arc<dyn Clock>));
        let heard = Heard::default();
        let subscriber = tracing_subscriber::registry().with(Spare(Arc::clone(&repeats))).with(heard.clone());
        tracing::subscriber::with_default(subscriber, || work(&clock, &repeats));
        let heard = heard.0.lock().unwrap();
        heard.clone()
    }

    fn lost(camera: &str, reason: &str) {
        tracing::warn!(camera, reason, "The camera is lost.");
    }

    fn counts(repeats: &Repeats) -> Vec<(Option<String>, u64, u64)> {
        repeats.due().into_iter().map(|count| (count.camera, count.times, count.seconds)).collect()
    }

    #[test]
    fn the_first_is_said_and_then_how_often() {
        let heard = with(|clock, repeats| {
            (0..58).for_each(|_| lost("a", "no route"));
            lost("b", "no route");
            assert_eq!(counts(repeats), []);
            clock.advance(Duration::from_secs(60));
            assert_eq!(counts(repeats), [(Some("a".to_owned()), 57, 60)]);
            // It goes on: counted further, not said again.
            lost("a", "no route");
            clock.advance(Duration::from_secs(61));
            assert_eq!(counts(repeats), [(Some("a".to_owned()), 1, 61)]);
            // A quiet minute later it is news again.
            clock.advance(Duration::from_secs(61));
            assert_eq!(counts(repeats), []);
            lost("a", "no route");
        });
        assert_eq!(heard, ["The camera is lost. a", "The camera is lost. b", "The camera is lost. a"]);
    }

    #[test]
    fn what_says_something_else_is_said_but_not_without_end() {
        let heard = with(|clock, repeats| {
            for number in 0..30 {
                lost("a", &format!("try {number}"));
            }
            clock.advance(INTERVAL);
            assert_eq!(counts(repeats), [(Some("a".to_owned()), 20, 60)]);
        });
        assert_eq!(heard.len(), 10);
    }

    #[test]
    fn news_is_always_said() {
        let heard = with(|_, repeats| {
            (0..30).for_each(|_| tracing::info!(camera = "a", "The camera delivers."));
            (0..3).for_each(|_| {
                say(&Count { camera: None, message: "m".to_owned(), level: Level::WARN, times: 2, seconds: 60 })
            });
            assert_eq!(counts(repeats), []);
        });
        assert_eq!(heard.len(), 33);
        assert_eq!(heard[30], "2 times more in the last 60 s: m");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let heard = with(|clock, repeats| {
            for camera in 0..MOST + 10 {
                lost(&camera.to_string(), "x");
            }
            assert_eq!(repeats.lock().len(), MOST);
            clock.advance(INTERVAL);
            assert_eq!(counts(repeats), []);
            assert_eq!(repeats.lock().len(), 0);
        });
        assert_eq!(heard.len(), MOST + 10);
    }
}
