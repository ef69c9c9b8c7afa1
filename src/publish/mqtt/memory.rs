//! Which commands were heard already.
//!
//! A broker hands a retained `…/set` to us at every subscription. It is a new command only where it differs from what
//! was last heard on its topic: one that was given while we were away is carried out, and one that others have
//! overruled since is not carried out again.

use std::collections::BTreeMap;

use crate::state::StateFile;

/// What was heard.
#[derive(Debug)]
pub(super) struct Memory {
    file: StateFile,
    /// The last payload of each topic of a setting, over restarts.
    last: BTreeMap<String, String>,
    /// The last other command: topic and payload.
    other: Option<(String, String)>,
}

impl Memory {
    pub(super) fn of(file: StateFile) -> Self {
        Self { last: file.read(), file, other: None }
    }

    /// Whether this was the last that was heard on a topic.
    pub(super) fn is_last(&self, topic: &str, payload: &str) -> bool {
        self.last.get(topic).is_some_and(|last| last == payload)
    }

    /// Notes what was heard. Waits for the disk, where it is something else than before.
    pub(super) fn note(&mut self, topic: &str, payload: &str) {
        if self.is_last(topic, payload) {
            return;
        }
        self.last.insert(topic.to_owned(), payload.to_owned());
        self.write();
    }

    /// The topic's message was taken from the broker: the next one is new, whatever it says.
    pub(super) fn forget(&mut self, topic: &str) {
        if self.last.remove(topic).is_some() {
            self.write();
        }
    }

    /// Whether this was the last of the commands that are no settings.
    pub(super) fn is_last_other(&self, topic: &str, payload: &str) -> bool {
        self.other.as_ref().is_some_and(|(last, said)| last == topic && said == payload)
    }

    /// Notes a command that is no setting.
    pub(super) fn note_other(&mut self, topic: &str, payload: &str) {
        self.other = Some((topic.to_owned(), payload.to_owned()));
    }

    fn write(&self) {
        if let Err(error) = tokio::task::block_in_place(|| self.file.write(&self.last)) {
            tracing::warn!(%error, "Which commands were heard can't be kept: retained ones may be carried out again.");
        }
    }
}
