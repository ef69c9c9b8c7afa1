//! Commands: what people and systems at a distance may ask of a daemon that runs.
//!
//! A [`Request`] names a command and, where it is about one, a camera. A [`Commander`] brings it to whoever carries
//! commands out, through a bounded line, and gives the answer back: JSON, or a [`Refusal`] that says in words why not.
//! What commands come from (MQTT, a hub in the cloud) and what carries them out is of no concern here. A [`Book`] keeps
//! the settings that were commanded.
//!
//! ```text
//! MQTT, IoT Hub ─► Request::named ─► Commander::ask ─► Orders::next ─► Order::answer ─► back to who asked
//! ```

mod book;
mod line;
mod refusal;
mod request;
mod state;

pub(crate) use self::book::number;
pub use self::book::{Book, Commanded, configured_value};
pub use self::line::{Commander, Order, Orders, line};
pub use self::refusal::{Refusal, RefusalKind};
pub use self::request::{Command, Request, SETTINGS, Setting};
pub use self::state::{Refused, SCHEMA, SettingState};
