//! `ocellus outbox`: look into the outbox, also while the daemon works with it.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::place::Place;
use super::{Failure, print};
use crate::outbox::{Look, Stored, StoredFrame};

#[derive(Debug, Subcommand)]
pub(super) enum Outbox {
    /// What waits, and what has become of other items
    Status(Status),
    /// Every item that waits, as a line of JSON; nothing is removed
    Export(Export),
}

#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    place: Place,
    /// As one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Export {
    #[command(flatten)]
    place: Place,
    /// Copy frames into this folder
    #[arg(long, value_name = "DIR")]
    frames: Option<PathBuf>,
}

impl Outbox {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Status(status) => status.run(),
            Self::Export(export) => export.run(),
        }
    }
}

fn open(place: &Place) -> Result<Look, Failure> {
    Ok(Look::open(&place.folder(|config| config.outbox.folder())?)?)
}

impl Status {
    fn run(self) -> Result<(), Failure> {
        let look = open(&self.place)?;
        let (summary, oldest) = (look.summary()?, look.oldest_at()?);
        if self.json {
            let kinds: serde_json::Map<_, _> = summary
                .iter()
                .map(|(kind, load, history)| {
                    let (waiting, bytes) = (load.items, load.bytes);
                    let (accepted, delivered, evicted) = (history.accepted, history.delivered, history.evicted);
                    let of = json!({"waiting": waiting, "bytes": bytes, "accepted": accepted,
                                    "delivered": delivered, "evicted": evicted});
                    (kind.name().to_owned(), of)
                })
                .collect();
            return print(&json!({"path": look.folder(), "oldest_at": oldest, "kinds": kinds}).to_string());
        }
        print(&format!("{}", look.folder().display()))?;
        print(&format!(
            "{:<10}{:>10}{:>12}{:>12}{:>12}{:>12}",
            "kind", "waiting", "MiB", "accepted", "delivered", "evicted"
        ))?;
        for (kind, load, history) in &summary {
            #[allow(clippy::cast_precision_loss)]
            let mib = load.bytes as f64 / f64::from(1 << 20);
            print(&format!(
                "{:<10}{:>10}{mib:>12.1}{:>12}{:>12}{:>12}",
                kind.name(),
                load.items,
                history.accepted,
                history.delivered,
                history.evicted,
            ))?;
        }
        match oldest {
            Some(oldest) => print(&format!("the oldest is of {}", oldest.to_rfc3339())),
            None => print("nothing waits"),
        }
    }
}

impl Export {
    fn run(self) -> Result<(), Failure> {
        let look = open(&self.place)?;
        if let Some(folder) = &self.frames {
            std::fs::create_dir_all(folder)
                .map_err(|error| Failure::new(format!("the folder {} can't be made: {error}", folder.display())))?;
        }
        look.each(|stored| {
            let frame = match (&self.frames, &stored.frame) {
                (Some(folder), StoredFrame::File(path)) => copy(path, folder)?,
                (None, StoredFrame::File(path)) => Some(path.clone()),
                _ => None,
            };
            print(&line(stored, frame.as_deref()).to_string())
        })
    }
}

/// Copies a frame, unless it was delivered or evicted meanwhile.
fn copy(frame: &Path, folder: &Path) -> Result<Option<PathBuf>, Failure> {
    let to = folder.join(frame.file_name().unwrap_or_default());
    match std::fs::copy(frame, &to) {
        Ok(_) => Ok(Some(to)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !frame.exists() => Ok(None),
        Err(error) => Err(Failure::new(format!("{} can't be copied: {error}", frame.display()))),
    }
}

fn line(stored: &Stored, frame: Option<&Path>) -> Value {
    let item = &stored.item;
    // Whatever is no JSON is given as text, or in base64 where it is none.
    let payload: Value =
        serde_json::from_slice(&item.payload).unwrap_or_else(|_| match std::str::from_utf8(&item.payload) {
            Ok(text) => text.into(),
            Err(_) => BASE64_STANDARD.encode(&item.payload).into(),
        });
    let mut line = json!({
        "id": item.id.to_string(),
        "kind": item.kind,
        "destination": item.destination,
        "camera": item.camera,
        "channel": item.channel,
        "created_at": item.created_at,
        "content_type": item.content_type,
        "payload": payload,
    });
    if let Some(frame) = frame {
        line["frame"] = json!(frame);
    }
    line
}
