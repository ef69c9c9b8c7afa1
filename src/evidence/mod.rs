//! Which frames are worth learning from, why, and how they are written down.
//!
//! A frame is worth keeping when the model was unsure ([`Reason::Band`]) or contradicted itself from one frame
//! to the next ([`Reason::Flicker`]), or when somebody asks for it ([`Reason::Operator`]). [`Selector`] decides about the
//! former, with a limit per camera; [`Evidence`] is the
//! picture with its record; [`Keeper`] brings it to a store without ever making the engine wait.

mod gate;
mod keeper;
mod limit;
mod record;
mod select;
mod shelf;

pub use self::gate::{Gate, Open};
pub use self::keeper::{Asked, Keeper, KeeperHandle};
pub use self::record::{Encoded, Evidence, EvidenceError, Found, Handled, Handling, Picture, Record, SCHEMA};
pub use self::select::{Change, Pick, Reason, Selector};

#[cfg(test)]
pub(crate) use self::select::tests::scored;
