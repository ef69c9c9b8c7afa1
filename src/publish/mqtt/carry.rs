//! From the outbox to the queue: what happens now first, and what waited behind it, at its own pace.
//!
//! When a connection is there, all that the outbox holds is the backlog; what comes afterwards is live. Both are read
//! in order, each by a number of its own. The queue holds a few of each; an item leaves the outbox when the broker has
//! acknowledged it. When the connection breaks the queue forgets them, and with the next one all begins anew: what
//! was on its way is in the outbox still.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};
use ulid::Ulid;

use super::dialect::Dialect;
use super::link::{Link, encode};
use crate::event::Event;
use crate::outbox::{Destination, Item, Kind};

/// Backlog is handed out so often.
const TICK: Duration = Duration::from_millis(50);
/// Ticks a second.
const TICKS: u32 = 20;

/// An event as the outbox holds it for a destination.
pub(in crate::publish) fn item_of(event: &Event, destination: Destination) -> Option<Item> {
    Some(Item {
        id: Ulid::from_string(&event.id).ok()?,
        kind: Kind::Event,
        destination,
        camera: event.camera.clone(),
        channel: "events".to_owned(),
        created_at: event.frame.captured_at,
        value: 0.0,
        content_type: "application/json".to_owned(),
        payload: encode(event)?,
        frame: None,
    })
}

/// Carries items until the connection is closed.
pub(in crate::publish) async fn carry<D: Dialect>(link: Arc<Link<D>>, backlog_rate: u32) {
    let mut sessions = link.sessions.subscribe();
    let mut pace = tokio::time::interval(TICK);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let session = *sessions.borrow_and_update();
        if let Some(session) = session {
            let carrier = Carrier::new(&link, session, backlog_rate);
            carrier.run(&mut sessions, &mut pace).await;
        } else if sessions.changed().await.is_err() {
            return;
        }
    }
}

/// For one connection.
struct Carrier<'a, D> {
    link: &'a Link<D>,
    session: u64,
    visible: watch::Receiver<u64>,
    /// The last that was read of what is live, and of the backlog.
    live: u64,
    backlog: u64,
    /// Where the backlog ends.
    end: u64,
    /// Messages of the backlog a tick, in twentieths of the rate, with what is left of one.
    rate: u32,
    credit: u32,
}

impl<'a, D: Dialect> Carrier<'a, D> {
    fn new(link: &'a Link<D>, session: u64, rate: u32) -> Self {
        let mut visible = link.outbox.visible();
        let end = *visible.borrow_and_update();
        link.carried.send_replace(end);
        Self { link, session, visible, live: end, backlog: 0, end, rate, credit: 0 }
    }

    /// Ends with the connection.
    async fn run(mut self, sessions: &mut watch::Receiver<Option<u64>>, pace: &mut Interval) {
        loop {
            self.carry_live().await;
            tokio::select! {
                biased;
                _ = sessions.changed() => return,
                _ = self.visible.changed() => {}
                () = self.link.room.notified() => {}
                _ = pace.tick(), if self.backlog < self.end => self.carry_backlog().await,
            }
        }
    }

    async fn carry_live(&mut self) {
        loop {
            let visible = *self.visible.borrow();
            let room = self.link.queue().room_for_live();
            if room == 0 || visible <= self.live {
                return;
            }
            let items = self.link.outbox.read(D::DESTINATION, self.live, room).await;
            // Where there are none, what came is for another destination.
            self.live = items.last().map_or(visible, |stored| stored.seq);
            self.link.change(|queue| queue.push_live(self.session, items));
            self.link.carried.send_replace(self.live);
        }
    }

    async fn carry_backlog(&mut self) {
        self.credit = (self.credit + self.rate).min(self.rate.max(TICKS));
        let room = self.link.queue().room_for_backlog().min((self.credit / TICKS) as usize);
        if room == 0 || self.link.is_closing() {
            return;
        }
        let mut items = self.link.outbox.read(D::DESTINATION, self.backlog, room).await;
        items.retain(|stored| stored.seq <= self.end);
        let Some(last) = items.last() else {
            self.backlog = self.end;
            return;
        };
        self.backlog = last.seq;
        self.credit -= TICKS * u32::try_from(items.len()).unwrap_or(u32::MAX / TICKS);
        self.link.change(|queue| queue.push_backlog(self.session, items));
    }
}
