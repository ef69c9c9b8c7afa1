//! Which frames are worth learning from, why, and how they are written down.
//!
//! A frame is worth keeping when the model was unsure ([`Reason::Band`]) or contradicted itself from one frame
//! to the next ([`Reason::Flicker`]). [`Selector`] decides, with a limit per camera; [`Evidence`] is the
//! picture with its record; [`Keeper`] brings it to a store without ever making the engine wait.

mod keeper;
mod limit;
mod record;
mod select;
mod shelf;

pub use self::keeper::{Keeper, KeeperHandle};
pub use self::record::{Evidence, EvidenceError, Picture, Record, SCHEMA};
pub use self::select::{Change, Pick, Reason, Selector};

#[cfg(test)]
pub(crate) use self::select::tests::scored;
