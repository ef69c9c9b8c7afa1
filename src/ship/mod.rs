//! Where evidence goes: a folder, Azure Blob storage (Azure Stack Hub and Edge included) or S3.
//!
//! [`Store`] writes to one of them. The [`Carrier`] brings insights there, file by file. [`Sink`] is what the evidence room knows of it, so that the outbox stands between
//! the two: [`Inlet`] leads into it, and the [`Courier`] brings what waits there to the store.

mod azure;
mod courier;
mod lake;
mod layout;
mod queue;
pub mod store;
mod verdicts;

use std::future::Future;

pub use self::courier::{Courier, CourierHandle, Inlet, Timetable};
pub use self::lake::{Carrier, item_of as insights_item};
pub use self::store::{ShipError, Store, server};
pub use self::verdicts::{Leave, Note, VerdictCourier};

use crate::evidence::Evidence;

/// Something that keeps evidence.
pub trait Sink: Send + Sync + 'static {
    /// Returns when the item is safe, picture and record. To keep the same item again is a success and makes no
    /// second copy.
    fn keep(&self, item: &Evidence) -> impl Future<Output = Result<(), ShipError>> + Send;
}
