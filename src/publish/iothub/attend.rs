//! What a hub asks of this node: desired properties and direct methods become commands, and their answers go back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rumqttc::QoS;
use serde_json::Value;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::super::mqtt::link::Link;
use super::super::mqtt::wire::{Client, Message};
use super::dialect::Hub;
use super::drive::Inbound;
use super::methods::{Call, Reply};
use super::twin::{Ask, Change, Twin};
use crate::command::{Commander, Refusal, Request};

/// How long the hub may take for an answer before it is asked again.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait before it is asked again where it refused.
const PAUSE: Duration = Duration::from_secs(10);
/// How often what is overdue is looked for, and what has changed meanwhile is reported.
const TICK: Duration = Duration::from_secs(1);
/// Methods that run at a time.
const CALLS: usize = 8;

/// The twin, and that something about it is new.
#[derive(Debug, Default)]
pub(super) struct SharedTwin {
    twin: Mutex<Twin>,
    changed: Notify,
}

impl SharedTwin {
    fn lock(&self) -> MutexGuard<'_, Twin> {
        self.twin.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is to be reported.
    pub(super) fn tell(&self, change: impl FnOnce(&mut Twin)) {
        change(&mut self.lock());
        self.changed.notify_one();
    }
}

/// Deals with one hub.
pub(super) struct Attendant {
    link: Arc<Link<Hub>>,
    client: Client,
    commander: Commander,
    twin: Arc<SharedTwin>,
    /// Changes on their way to become commands, in their order. A twin's size bounds them.
    changes: mpsc::UnboundedSender<Change>,
    calls: JoinSet<Reply>,
    /// When the hub is to have answered, or is to be asked again.
    due: Option<Instant>,
}

impl Attendant {
    pub(super) fn new(link: Arc<Link<Hub>>, client: Client, commander: Commander, twin: Arc<SharedTwin>) -> Self {
        let (changes, ordered) = mpsc::unbounded_channel();
        // Ends with the sender.
        tokio::spawn(carry_out(ordered, commander.clone(), Arc::clone(&twin)));
        Self { link, client, commander, twin, changes, calls: JoinSet::new(), due: None }
    }

    /// Ends with the connection's task.
    pub(super) async fn run(mut self, mut inbound: mpsc::Receiver<Inbound>) {
        let twin = Arc::clone(&self.twin);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                came = inbound.recv() => match came {
                    Some(Inbound::Ready) => {
                        let ask = twin.lock().begin();
                        self.ask(Some(ask));
                    }
                    Some(Inbound::Gone) => self.due = None,
                    Some(Inbound::Message(heard)) => self.message(&heard.topic, &heard.payload),
                    None => return,
                },
                Some(reply) = self.calls.join_next() => if let Ok(reply) = reply { self.reply(reply) },
                () = twin.changed.notified() => self.report(),
                _ = tick.tick() => self.look(),
            }
        }
    }

    fn message(&mut self, topic: &str, payload: &[u8]) {
        if let Some(call) = Call::read(topic, payload) {
            return self.call(call);
        }
        let step = self.twin.lock().received(topic, payload);
        if let Some(trouble) = &step.trouble {
            tracing::warn!(hub = %self.link.peer, trouble, "The hub and its twin do not agree.");
        }
        // Trouble is given time, what is only missing is not.
        let pause = if step.trouble.is_some() { PAUSE } else { Duration::ZERO };
        self.due = step.retry.then(|| Instant::now() + pause);
        for change in step.changes {
            // It ends with this.
            let _ = self.changes.send(change);
        }
        self.report();
    }

    fn call(&mut self, call: Call) {
        if self.calls.len() >= CALLS {
            return self.reply(call.busy());
        }
        match call.request.clone() {
            Err(refusal) => self.reply(call.reply(Err(refusal))),
            Ok(request) => {
                // In the line at once, so that commands are carried out in the order in which they came.
                let answer = self.commander.ask(request);
                self.calls.spawn(async move { call.reply(answer.await) });
            }
        }
    }

    fn reply(&self, Reply { topic, payload }: Reply) {
        if !self.say(topic, payload) {
            tracing::debug!(hub = %self.link.peer, "A method's answer finds no connection; the hub sees a timeout.");
        }
    }

    /// Reports what is new.
    fn report(&mut self) {
        if self.due.is_none() {
            let ask = self.twin.lock().report();
            self.ask(ask);
        }
    }

    /// Asks again what the hub has not answered in time.
    fn look(&mut self) {
        if self.due.take_if(|due| *due <= Instant::now()).is_some() {
            let ask = self.twin.lock().again();
            self.ask(ask);
        }
    }

    fn ask(&mut self, ask: Option<Ask>) {
        if let Some(Ask { topic, payload }) = ask {
            self.say(topic, payload);
            // Where it can't be said now there is no connection, and all is asked anew with the next.
            self.due = Some(Instant::now() + PATIENCE);
        }
    }

    fn say(&self, topic: String, payload: Vec<u8>) -> bool {
        let payload = Bytes::from(payload);
        let qos = QoS::AtMostOnce;
        self.link.say(&self.client, Message { topic, payload, qos, retain: false, expires: false, about: Vec::new() })
    }
}

/// Makes changes of the twin commands, one after the other.
async fn carry_out(mut changes: mpsc::UnboundedReceiver<Change>, commander: Commander, twin: Arc<SharedTwin>) {
    while let Some(change) = changes.recv().await {
        let answer = carry_out_one(&change, &commander).await;
        if let Err(refusal) = &answer {
            let (camera, setting) = &change.key;
            tracing::warn!(camera, setting, reason = refusal.reason, "A desired property is refused.");
        }
        twin.tell(|twin| twin.answered(&change, &answer));
    }
}

async fn carry_out_one(change: &Change, commander: &Commander) -> Result<Value, Refusal> {
    let (camera, setting) = &change.key;
    let request = Request::named(Some(camera), setting, &change.value)?;
    if !matches!(request.command, crate::command::Command::Set(_)) {
        return Err(Refusal::unknown_setting(format!("`{setting}` is no setting, but a command: call it as a method")));
    }
    commander.ask(request).await
}
