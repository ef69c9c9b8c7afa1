//! Commands over MQTT: what comes in on `…/set`, and what is answered on `…/state`.
//!
//! - Settings have a retained state each: the value in force, and why the last command was refused, if it was.
//! - A command that nobody knows, or to a camera that is not there, is answered once and not retained: strangers must
//!   not fill the broker.
//! - Only so many commands wait. Beyond that they are refused at once.
//! - At each connection we see for a moment what the broker keeps of our cameras, and have it forget those that are
//!   gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use rumqttc::QoS;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::super::home_assistant;
use super::super::topics::Topics;
use super::dialect::Broker;
use super::link::{Link, encode};
use super::memory::Memory;
use super::wire::{Client, Heard};
use crate::command::{self, Commander, Refusal, Refused, Request, SETTINGS, SettingState};

/// The longest command, in bytes.
const MAX_PAYLOAD: usize = 1024;
/// The longest verdict: it may have many boxes.
const MAX_VERDICT: usize = 64 * 1024;
/// Commands that may wait to be looked at.
const WAITING: usize = 64;
/// Commands that may be carried out at a time.
const ASKED: usize = 16;
/// Where a message to us breaks the connection, commands are not listened to for so long: it may be retained.
const DEAF: Duration = Duration::from_secs(600);
/// What subscribing hands to the client, in packets.
pub(super) const REQUESTS: usize = 5;

/// Cameras with their zones and lines.
pub type Known = BTreeMap<String, BTreeSet<String>>;

/// What is known of commands and their answers.
#[derive(Debug)]
pub(super) struct Desk {
    site: String,
    node: String,
    /// To whoever looks at commands.
    inlet: OnceLock<mpsc::Sender<Heard>>,
    known: Mutex<Option<Known>>,
    /// The states of settings and the last answers of other commands, by topic.
    states: Mutex<BTreeMap<String, SettingState>>,
    announced: Mutex<Vec<(String, Value)>>,
    /// Whether subscriptions are to be made.
    due: AtomicBool,
    /// How many were answered, of this connection's.
    answered: AtomicU32,
    deaf: Mutex<Option<Instant>>,
    trouble: Mutex<Option<String>>,
}

/// Where a command came in, and where its answer goes.
#[derive(Debug, Clone)]
struct Place {
    topic: String,
    camera: Option<String>,
    name: String,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    pub(super) fn new(site: &str, node: &str) -> Self {
        Self {
            site: site.to_owned(),
            node: node.to_owned(),
            inlet: OnceLock::new(),
            known: Mutex::default(),
            states: Mutex::default(),
            announced: Mutex::default(),
            due: AtomicBool::new(false),
            answered: AtomicU32::new(0),
            deaf: Mutex::default(),
            trouble: Mutex::default(),
        }
    }

    /// Opens the desk; none where it was opened before.
    pub(super) fn open(&self) -> Option<mpsc::Receiver<Heard>> {
        let (inlet, heard) = mpsc::channel(WAITING);
        self.inlet.set(inlet).ok()?;
        self.due.store(true, Ordering::Relaxed);
        Some(heard)
    }

    /// There is a new connection, to which nothing is subscribed yet.
    pub(super) fn connected(&self) {
        self.answered.store(0, Ordering::Relaxed);
        self.due.store(true, Ordering::Relaxed);
    }

    /// A message that we can't take may come again with every subscription.
    pub(super) fn go_deaf(&self) {
        *lock(&self.deaf) = Some(Instant::now() + DEAF);
        let minutes = DEAF.as_secs() / 60;
        *lock(&self.trouble) = Some(format!("a message was too large; listening again within {minutes} minutes"));
        tracing::warn!("A message to us was too large: commands over MQTT are not listened to for {minutes} minutes.");
    }

    /// When subscriptions are to be made that can't be made now.
    pub(super) fn later(&self) -> Option<Instant> {
        if self.due.load(Ordering::Relaxed) { *lock(&self.deaf) } else { None }
    }

    /// Subscribes, where that is due.
    pub(super) fn subscribe(&self, topics: &Topics, client: &Client) {
        if self.inlet.get().is_none() || lock(&self.deaf).is_some_and(|until| Instant::now() < until) {
            return;
        }
        if !self.due.swap(false, Ordering::Relaxed) {
            return;
        }
        *lock(&self.deaf) = None;
        let retained = topics.retained_filters();
        // What the broker keeps comes at once, before it sees that no more is wanted.
        let done = client.subscribe(&topics.command_filters(), QoS::AtLeastOnce)
            && client.subscribe(&retained, QoS::AtMostOnce)
            && retained.iter().all(|filter| client.unsubscribe(filter));
        if !done {
            // There was no room: with the next message.
            self.due.store(true, Ordering::Relaxed);
        }
    }

    /// The broker has answered a subscription. The first is the one for commands.
    pub(super) fn subscribed(&self, granted: bool) {
        if self.answered.fetch_add(1, Ordering::Relaxed) > 0 {
            return;
        }
        let reason = (!granted).then(|| "the broker does not let us subscribe to them".to_owned());
        let news = reason != *lock(&self.trouble);
        if let Some(reason) = reason.as_deref().filter(|_| news) {
            tracing::warn!(reason, "No commands come over MQTT.");
        }
        *lock(&self.trouble) = reason;
    }

    /// Why no commands come.
    pub(super) fn trouble(&self) -> Option<String> {
        lock(&self.trouble).clone()
    }

    /// Whether a camera, or one of its rules, is there; none where nobody knows yet.
    fn is_there(&self, camera: &str, rule: Option<&str>) -> Option<bool> {
        let known = lock(&self.known);
        let rules = known.as_ref()?.get(camera);
        Some(rules.is_some_and(|rules| rule.is_none_or(|rule| rules.contains(rule))))
    }

    /// Whether a command has a place that is kept: its answer may be retained.
    fn has(&self, place: &Place) -> bool {
        match &place.camera {
            Some(camera) => {
                let name = place.name.as_str();
                let named = SETTINGS.contains(&name) || ["snapshot", "reset", "verdict"].contains(&name);
                named && self.is_there(camera, None) == Some(true)
            }
            None => ["reset", "verdict", "reload", "diagnose"].contains(&place.name.as_str()),
        }
    }

    fn blank(&self, place: &Place) -> SettingState {
        SettingState {
            schema: command::SCHEMA.to_owned(),
            site: self.site.clone(),
            node: self.node.clone(),
            camera: place.camera.clone(),
            setting: place.name.clone(),
            value: Value::Null,
            configured: None,
            commanded: false,
            since: None,
            refused: None,
        }
    }
}

impl Link<Broker> {
    /// Takes somebody's message.
    pub(super) fn hear(&self, heard: Heard) {
        if heard.stored
            && let Some((camera, rule)) = self.dialect.topics.retained(&heard.topic)
            && self.dialect.desk.is_there(camera, rule) == Some(false)
        {
            return self.sweep(&heard.topic, camera, rule);
        }
        let Some(place) = self.place(&heard.topic) else { return };
        let Some(inlet) = self.dialect.desk.inlet.get() else { return };
        if inlet.try_send(heard).is_err() {
            self.refuse(&place, Refusal::not_now("too many commands at a time: try again"));
        }
    }

    /// Has the broker forget what it keeps of a camera or rule that is gone, from before we started.
    fn sweep(&self, topic: &str, camera: &str, rule: Option<&str>) {
        tracing::debug!(topic, "The broker keeps a message of what is gone: it is to forget it.");
        self.change(|queue| {
            queue.note(topic.to_owned(), Bytes::new(), true);
            // Where Home Assistant was told of it, too.
            let desk = &self.dialect.desk;
            if rule.is_none() && topic.ends_with("/status") && !lock(&desk.announced).is_empty() {
                queue.note(home_assistant::topic_of(&desk.site, &desk.node, Some(camera)), Bytes::new(), true);
            }
        });
    }

    fn place(&self, topic: &str) -> Option<Place> {
        let (camera, name) = self.dialect.topics.commanded(topic)?;
        // A topic is at most 64 KiB long; what is sent back is sent to where it came from.
        let topic = self.dialect.topics.state(camera, name).ok()?;
        Some(Place { topic, camera: camera.map(str::to_owned), name: name.to_owned() })
    }

    pub(super) fn know(&self, cameras: Known) {
        let before = lock(&self.dialect.desk.known).replace(cameras.clone()).unwrap_or_default();
        let mut states = lock(&self.dialect.desk.states);
        self.change(|queue| {
            for (camera, rules) in before {
                match cameras.get(&camera) {
                    None => {
                        let below = self.dialect.topics.below(&camera);
                        states.retain(|topic, _| !topic.starts_with(&below));
                        queue.forget_below(&below);
                    }
                    Some(now) => {
                        let gone =
                            rules.difference(now).filter_map(|rule| self.dialect.topics.counts(&camera, rule).ok());
                        gone.for_each(|topic| queue.set_state(topic, Bytes::new()));
                    }
                }
            }
        });
    }

    pub(super) fn announce(&self, messages: Vec<(String, Value)>) {
        let mut announced = lock(&self.dialect.desk.announced);
        let messages = home_assistant::with_departures(&announced, messages);
        self.change(|queue| {
            for (topic, message) in &messages {
                let payload = if message.is_null() { Some(Bytes::new()) } else { encode(message) };
                payload.into_iter().for_each(|payload| queue.set_state(topic.clone(), payload));
            }
        });
        *announced = messages.into_iter().filter(|(_, message)| !message.is_null()).collect();
    }

    pub(super) fn set_setting(&self, state: SettingState) {
        match self.dialect.topics.state(state.camera.as_deref(), &state.setting) {
            Ok(topic) => {
                self.set_state(topic.clone(), &state);
                lock(&self.dialect.desk.states).insert(topic, state);
            }
            Err(error) => tracing::error!(setting = state.setting, %error, "A setting's state can't be published."),
        }
    }

    /// Says that a command is not carried out, and why.
    fn refuse(&self, place: &Place, refusal: Refusal) {
        tracing::info!(topic = clipped(&place.topic), reason = refusal.reason, "A command was refused.");
        let refused = Some(Refused::new(refusal, self.dialect.clock.wall()));
        if self.dialect.desk.has(place) {
            let before = lock(&self.dialect.desk.states).get(&place.topic).cloned();
            self.set_setting(SettingState { refused, ..before.unwrap_or_else(|| self.dialect.desk.blank(place)) });
            return;
        }
        let mut state = self.dialect.desk.blank(place);
        state.camera = state.camera.map(|name| clipped(&name).to_owned());
        state.setting = clipped(&state.setting).to_owned();
        if let Some(payload) = encode(&SettingState { refused, ..state }) {
            self.change(|queue| queue.note(place.topic.clone(), payload, false));
        }
    }

    fn answer(&self, place: &Place, answer: Result<Value, Refusal>) {
        match answer {
            Err(refusal) => self.refuse(place, refusal),
            // Whoever carries commands out publishes the states of settings: others change them too.
            Ok(_) if SETTINGS.contains(&place.name.as_str()) => {}
            Ok(value) => {
                let since = Some(self.dialect.clock.wall());
                self.set_setting(SettingState { value, since, ..self.dialect.desk.blank(place) });
            }
        }
    }
}

/// Names come from anybody.
fn clipped(text: &str) -> &str {
    text.char_indices().nth(128).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// Looks at commands, has them carried out, and answers them.
pub(super) async fn serve(
    link: Arc<Link<Broker>>,
    mut heard: mpsc::Receiver<Heard>,
    commander: Commander,
    mut memory: Memory,
) {
    let mut asked = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some((place, answer)) = asked.next() => link.answer(&place, answer),
            Some(message) = heard.recv(), if asked.len() < ASKED => {
                let Some(place) = link.place(&message.topic) else { continue };
                match read(&link.dialect.desk, &place, &message, &mut memory) {
                    Ok(Some(request)) => {
                        // In the line at once, so that commands are carried out in the order in which they came.
                        let answer = commander.ask(request);
                        asked.push(async move { (place, answer.await) });
                    }
                    Ok(None) => {}
                    Err(refusal) => link.refuse(&place, refusal),
                }
            }
            else => return,
        }
    }
}

/// What a message asks for; nothing where it was heard before.
fn read(desk: &Desk, place: &Place, message: &Heard, memory: &mut Memory) -> Result<Option<Request>, Refusal> {
    let length = message.payload.len();
    let most = if place.name == "verdict" { MAX_VERDICT } else { MAX_PAYLOAD };
    if length > most {
        return Err(Refusal::bad_value(format!("{length} bytes are too many: this command has at most {most}")));
    }
    let text = std::str::from_utf8(&message.payload).map_err(|_| Refusal::bad_value("the message is not text"))?.trim();
    if SETTINGS.contains(&place.name.as_str()) {
        if text.is_empty() {
            // This is how a retained command is taken from the broker.
            memory.forget(&place.topic);
            return Ok(None);
        }
        if (message.stored || message.again) && memory.is_last(&place.topic, text) {
            return Ok(None);
        }
        if desk.has(place) {
            memory.note(&place.topic, text);
        }
    } else if text.is_empty() {
        return Err(Refusal::bad_value("an empty message asks for nothing: send any word"));
    } else if message.stored {
        return Err(Refusal::not_now("a retained message can't ask for this: it would ask again at each connection"));
    } else if message.again && memory.is_last_other(&place.topic, text) {
        return Ok(None);
    } else {
        memory.note_other(&place.topic, text);
    }
    let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    Request::named(place.camera.as_deref(), &place.name, &value).map(Some)
}
