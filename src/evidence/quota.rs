//! Who may keep how many frames: each camera its own share of time, and all cameras together what the node may keep.
//!
//! What all may keep together is shared fairly: a camera has an equal part for itself, and may have more only of what
//! the others do not want. A camera wants as many as it lately asked for, and one more, so that none is ever shut out by
//! another that never stops asking.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::limit::{Span, Tally, Window};
use crate::config::EvidenceConfig;

const SPANS: [Span; 3] = [Span::MINUTE, Span::HOUR, Span::DAY];
/// As statistics call them: a camera's own limits, and those of all together.
const OWN: [&str; 3] = ["minute", "hour", "day"];
const ALL: [&str; 3] = ["node-minute", "node-hour", "node-day"];

/// What was kept lately, and what may be.
#[derive(Debug, Default)]
pub(super) struct Quota {
    /// Most a minute, an hour and a day: of each camera, and of all together.
    own: [Option<u32>; 3],
    all: [Option<u32>; 3],
    pub(super) accounts: Accounts,
}

/// By camera.
pub(super) type Accounts = BTreeMap<String, Account>;

/// What a camera asked for and got.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Account {
    got: [Window; 3],
    asked: [Tally; 3],
    /// When its last frame came.
    seen: u64,
}

impl Quota {
    pub(super) fn new(config: &EvidenceConfig, mut accounts: Accounts, now: u64) -> Self {
        for account in accounts.values_mut() {
            account.seen = account.seen.min(now);
            for (i, span) in SPANS.into_iter().enumerate() {
                account.got[i].settle(span, now);
                account.asked[i].settle(span, now);
            }
        }
        let node = &config.node;
        Self {
            own: [Some(config.per_minute), config.per_hour, config.per_day],
            all: [node.per_minute, node.per_hour, node.per_day],
            accounts,
        }
    }

    /// Notes that a camera runs.
    pub(super) fn see(&mut self, camera: &str, now: u64) {
        if let Some(account) = self.accounts.get_mut(camera) {
            account.seen = now;
        } else {
            // Those that were removed go with what they got.
            self.accounts.retain(|_, account| account.matters(now));
            self.accounts.insert(camera.to_owned(), Account { seen: now, ..Account::default() });
        }
    }

    /// Lets a camera keep a frame, or says which limit is against it. The less a frame is worth, 0..=1, the more of the
    /// camera's buckets it leaves for others.
    ///
    /// # Errors
    /// The limit, as statistics call it.
    pub(super) fn take(&mut self, camera: &str, worth: f32, now: u64) -> Result<(), &'static str> {
        self.see(camera, now);
        let Some(account) = self.accounts.get_mut(camera) else { return Ok(()) };
        let spare = 1.0 - f64::from(worth.clamp(0.0, 1.0));
        let mut refused = None;
        for (i, span) in SPANS.into_iter().enumerate() {
            account.asked[i].add(span, now);
            let room = self.own[i].is_none_or(|most| account.got[i].has_room(span, most, spare, now));
            refused = refused.or((!room).then_some(OWN[i]));
        }
        for (i, span) in SPANS.into_iter().enumerate() {
            let room = self.all[i].is_none_or(|most| self.is_fair(i, span, most, camera, now));
            refused = refused.or((!room).then_some(ALL[i]));
        }
        if let Some(limit) = refused {
            return Err(limit);
        }
        if let Some(account) = self.accounts.get_mut(camera) {
            for (window, span) in account.got.iter_mut().zip(SPANS) {
                window.take(span, now);
            }
        }
        Ok(())
    }

    /// Whether a camera may have one more of what all may have together.
    fn is_fair(&self, i: usize, span: Span, most: u32, camera: &str, now: u64) -> bool {
        let got = |account: &Account| account.got[i].taken.sum(span, now);
        let total = self.accounts.values().map(got).fold(0, u32::saturating_add);
        if total >= most {
            return false;
        }
        let running = || self.accounts.iter().filter(|(_, account)| account.seen.saturating_add(span.0) >= now);
        let share = most / u32::try_from(running().count()).unwrap_or(u32::MAX).max(1);
        if self.accounts.get(camera).map_or(0, got) < share.max(1) {
            return true;
        }
        let wanted = running().filter(|(name, _)| *name != camera).map(|(_, other)| {
            let wants = other.asked[i].sum(span, now).saturating_add(1).min(share.max(1));
            wants.saturating_sub(got(other))
        });
        wanted.fold(total, u32::saturating_add) < most
    }
}

impl Account {
    /// Whether anything depends on it still.
    fn matters(&self, now: u64) -> bool {
        self.seen.saturating_add(Span::DAY.0) >= now
    }
}

#[cfg(test)]
mod tests;
