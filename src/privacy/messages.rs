//! What of detections, events and counts may leave by MQTT, for a broker or a hub that is elsewhere.
//!
//! Messages are too many for an entry each: the audit log has tallies, how many messages of a camera and kind went by
//! which rule. One is written soon after a rule first decides, and then every hour. While that can't be, nothing leaves.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Log;
use super::audit::What;
use super::scope::{Scope, Subject};
use crate::config::{MessageAllow, MessageKind, MessageRuleConfig};
use crate::detection::{Detections, Object, Rect};
use crate::event::{Count, Event};

/// How often a tally is written that was written before.
const EVERY: Duration = Duration::from_secs(3600);

/// The policy for one destination of messages; without one everything leaves.
pub struct MessageGuard(Option<Policy>);

struct Policy {
    destination: String,
    rules: Vec<MessageRuleConfig>,
    log: Log,
    /// The audit log can't be written.
    shut: AtomicBool,
    tallies: Mutex<BTreeMap<Decision, Tally>>,
}

/// What was decided, about what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Decision {
    camera: String,
    kind: MessageKind,
    /// None where no rule fitted.
    rule: Option<String>,
    allow: MessageAllow,
}

#[derive(Debug, Default)]
struct Tally {
    /// Messages since it was written last.
    count: u64,
    written: Option<Instant>,
}

impl MessageGuard {
    /// Lets everything leave.
    #[must_use]
    pub fn open() -> Self {
        Self(None)
    }

    /// The policy for a destination: the first rule that fits decides, and where none fits nothing leaves.
    #[must_use]
    pub fn by(rules: &[MessageRuleConfig], destination: &str, log: Log) -> Self {
        Self(Some(Policy {
            destination: destination.to_owned(),
            rules: rules.to_vec(),
            log,
            shut: AtomicBool::new(false),
            tallies: Mutex::default(),
        }))
    }

    /// What of a frame's detections may leave.
    #[must_use]
    pub fn detections(&self, detections: &Arc<Detections>) -> Option<Arc<Detections>> {
        let Some(policy) = &self.0 else { return Some(Arc::clone(detections)) };
        match policy.decide(MessageKind::Detections, &Subject::of(detections)) {
            MessageAllow::All => Some(Arc::clone(detections)),
            MessageAllow::Labels => Some(Arc::new(without_places(detections))),
            MessageAllow::Nothing => None,
        }
    }

    /// What of an event may leave.
    #[must_use]
    pub fn event<'e>(&self, event: &'e Event) -> Option<Cow<'e, Event>> {
        let Some(policy) = &self.0 else { return Some(Cow::Borrowed(event)) };
        let zones = event.zones.iter().chain(event.zone.as_ref().map(|zone| &zone.name)).map(String::as_str).collect();
        let subject = Subject { camera: &event.camera, zones, at: event.frame.captured_at };
        match policy.decide(MessageKind::Events, &subject) {
            MessageAllow::All => Some(Cow::Borrowed(event)),
            MessageAllow::Labels => Some(Cow::Owned(Event { rect: Rect::FULL, ..event.clone() })),
            MessageAllow::Nothing => None,
        }
    }

    /// Whether a count may leave: it says nothing of places.
    #[must_use]
    pub fn count(&self, count: &Count) -> bool {
        self.0.as_ref().is_none_or(|policy| {
            let subject = Subject { camera: &count.camera, zones: vec![&count.rule], at: count.at };
            policy.decide(MessageKind::Counts, &subject) != MessageAllow::Nothing
        })
    }

    /// Writes the tallies that are due to the audit log, or all of them. Waits for the disk.
    pub fn write_tallies(&self, all: bool) {
        if let Some(policy) = &self.0 {
            policy.write_tallies(all);
        }
    }
}

impl fmt::Debug for MessageGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MessageGuard").field(&self.0.as_ref().map(|policy| &policy.destination)).finish()
    }
}

impl Policy {
    fn decide(&self, kind: MessageKind, subject: &Subject<'_>) -> MessageAllow {
        let rule = self.rules.iter().find(|rule| {
            let MessageRuleConfig { messages, cameras, zones, hours, .. } = rule;
            messages.as_ref().is_none_or(|kinds| kinds.contains(&kind))
                && Scope { cameras: cameras.as_deref(), zones: zones.as_deref(), hours }.holds(subject)
        });
        let shut = self.shut.load(Ordering::Relaxed);
        let allow = rule.filter(|_| !shut).map_or(MessageAllow::Nothing, |rule| rule.allow);
        let rule = rule.map(|rule| rule.name.to_string());
        let decision = Decision { camera: subject.camera.to_owned(), kind, rule, allow };
        self.tallies().entry(decision).or_default().count += 1;
        allow
    }

    fn write_tallies(&self, all: bool) {
        let now = self.log.now();
        let due: Vec<(Decision, u64)> = {
            let tallies = self.tallies();
            let due = tallies.iter().filter(|(_, tally)| {
                let is_old = tally.written.is_none_or(|at| now.saturating_duration_since(at) >= EVERY);
                tally.count > 0 && (all || is_old)
            });
            due.map(|(decision, tally)| (decision.clone(), tally.count)).collect()
        };
        for (decision, count) in due {
            let Decision { camera, kind, rule, allow } = decision.clone();
            let what = What::Messages { destination: self.destination.clone(), camera, kind, rule, allow, count };
            let written = self.log.note(what).is_some();
            if self.shut.swap(!written, Ordering::Relaxed) == written {
                match written {
                    true => tracing::info!(to = self.destination, "Messages leave again."),
                    false => {
                        tracing::error!(to = self.destination, "Messages stay until the audit log can be written.")
                    }
                }
            }
            if !written {
                return;
            }
            if let Some(tally) = self.tallies().get_mut(&decision) {
                tally.count -= count.min(tally.count);
                tally.written = Some(now);
            }
        }
    }

    fn tallies(&self) -> MutexGuard<'_, BTreeMap<Decision, Tally>> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Detections as a classifier makes them: each of the whole frame.
fn without_places(detections: &Detections) -> Detections {
    let objects = detections.objects.iter();
    let objects = objects.map(|object| Object { rect: Rect::FULL, ..object.clone() }).collect();
    Detections { objects, embedding: None, ..detections.clone() }
}

#[cfg(test)]
mod tests;
