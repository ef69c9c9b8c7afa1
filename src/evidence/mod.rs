//! Which frames are worth learning from, why, and how they are written down.
//!
//! A [`Reason`] is why: the model was unsure, contradicted itself, a frame is unlike others, shows what is rare, a rule
//! was hit, chance wanted it, somebody asked for it. [`Selector`] decides, within quotas and without keeping the same
//! thing twice, and remembers in a [`Notebook`] what was kept; [`Evidence`] is the
//! picture with its record; [`Keeper`] brings it to a store without ever making the engine wait. [`Reviews`] holds kept
//! frames for people to say whether the model was right, and their verdicts until the store has them.

mod flicker;
mod gate;
mod keeper;
mod layout;
mod limit;
mod memory;
mod novelty;
mod quota;
mod rare;
mod reason;
mod record;
mod review;
mod select;
mod shelf;
mod unsure;
mod verdict;

pub use self::gate::{Gate, Open};
pub use self::keeper::{Asked, Keeper, KeeperHandle};
pub use self::memory::Notebook;
pub use self::reason::{Change, Happening, Reason};
pub use self::record::{Encoded, Evidence, EvidenceError, Found, Handled, Handling, Picture, Record, SCHEMA};
pub use self::review::{
    FrameDetail, FrameList, FrameView, MAX_LIST, PictureView, ReviewError, ReviewGate, Reviews, Taken, Wanted,
};
pub use self::select::{Pick, Selector};

pub use self::verdict::{Judgement, MAX_LABEL, MAX_VERDICT, Marked, Naming, Said, VERDICT_SCHEMA, Verdict, Via};

#[cfg(test)]
pub(crate) use self::review::tests as review_tests;
#[cfg(test)]
pub(crate) use self::select::tests::scored;
