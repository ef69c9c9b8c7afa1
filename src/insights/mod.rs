//! What the fleet gets to know of a node: what was counted, hour by hour, and what happened, as Parquet files for Spark.
//!
//! [`Tally`] counts in memory. Every few seconds what it has counted since goes into the [`Ledger`], on the disk, in one
//! transaction. When an hour is over, the ledger closes it: what is in it gets its files' names, made once, and is changed
//! no more. Closed hours become files ([`Files`]) and go into the outbox under these names; only what the outbox has is
//! taken out of the ledger.
//!
//! # Invariants
//! 1. Every number is a sum. So an hour may have several files: what comes late, or after the clock was set back, opens
//!    the hour anew. Files of one hour are added up, and none ever replaces another.
//! 2. What is in the ledger is neither lost nor counted twice, whenever the process is killed or the power fails. What was
//!    counted since it was last written is lost then: at most some seconds.
//! 3. What the policy does not call global is not in a file: its column is empty, and rows that only differed in it are one.

mod ledger;
mod parquet;
mod row;
mod tables;
mod tally;
#[cfg(test)]
mod tests;

pub use self::ledger::{Held, Ledger, LedgerError, Origin, Part};
pub use self::row::{BINS, Happening, Key, Occurrence, Sums};
pub use self::tables::{EVENTS_SCHEMA, Files, HOURS_SCHEMA, Made, Policy};
pub use self::tally::{Batch, Look, Tally};
