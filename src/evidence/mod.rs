//! Which frames are worth learning from, why, and how they are written down.
//!
//! A [`Reason`] is why: the model was unsure, contradicted itself, a frame is unlike others, shows what is rare, a rule
//! was hit, chance wanted it, somebody asked for it. [`Selector`] decides, within quotas and without keeping the same
//! thing twice, and remembers in a [`Notebook`] what was kept; [`Evidence`] is the
//! picture with its record; [`Keeper`] brings it to a store without ever making the engine wait.

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
mod select;
mod shelf;
mod unsure;

pub use self::gate::{Gate, Open};
pub use self::keeper::{Asked, Keeper, KeeperHandle};
pub use self::memory::Notebook;
pub use self::reason::{Change, Happening, Reason};
pub use self::record::{Encoded, Evidence, EvidenceError, Found, Handled, Handling, Picture, Record, SCHEMA};
pub use self::select::{Pick, Selector};

#[cfg(test)]
pub(crate) use self::select::tests::scored;
