//! `ocellus withheld`: frames that stay here, and the request to let one go.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::place::Place;
use super::{Failure, print};
use crate::config::Config;
use crate::privacy::withheld::{Cause, ask_for, held_in};

#[derive(Debug, Subcommand)]
pub(super) enum Withheld {
    /// The frames that stay, the oldest first, and why
    List(List),
    /// Let frames go as far as the policy allows; the daemon does so within seconds, or once it runs
    Release(Release),
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    place: Place,
    /// As a line of JSON a frame
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Release {
    #[command(flatten)]
    place: Place,
    /// The frames, by their ids
    #[arg(value_name = "ID", required_unless_present = "all")]
    ids: Vec<String>,
    /// All that stay
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// Only those of this camera
    #[arg(long, value_name = "NAME", requires = "all")]
    camera: Option<String>,
}

impl Withheld {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run(),
            Self::Release(release) => release.run(),
        }
    }
}

fn folder(place: &Place) -> Result<PathBuf, Failure> {
    place.folder(Config::withheld_folder)
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let folder = folder(&self.place)?;
        let all = match held_in(&folder) {
            // The daemon makes the configured folder when it has a frame for it.
            Err(error) if error.kind() == ErrorKind::NotFound && !self.place.is_given() => Vec::new(),
            read => read.map_err(|error| unusable(&folder, &error))?,
        };
        for (id, held) in all {
            let (line, text) = match held {
                Ok(held) => {
                    let (camera, at) = (&held.record.detections.camera, held.record.detections.frame.captured_at);
                    let cause = match held.cause {
                        Cause::Policy => "policy",
                        Cause::OnRequest => "on-request",
                        Cause::Picture => "picture",
                        Cause::Trouble => "trouble",
                    };
                    let line = json!({"id": id, "camera": camera, "captured_at": at, "cause": cause,
                                      "reason": held.reason, "since": held.since, "destination": held.destination});
                    (line, format!("{id}  {}  {camera}  {cause}: {}", at.format("%Y-%m-%d %H:%M:%S"), held.reason))
                }
                Err(reason) => (json!({"id": id, "error": reason}), format!("{id}  can't be read: {reason}")),
            };
            print(&if self.json { line.to_string() } else { text })?;
        }
        Ok(())
    }
}

impl Release {
    fn run(self) -> Result<(), Failure> {
        let folder = folder(&self.place)?;
        let ids = if self.all {
            let all = held_in(&folder).map_err(|error| unusable(&folder, &error))?.into_iter();
            all.filter_map(|(id, held)| held.ok().map(|held| (id, held.record.detections.camera)))
                .filter(|(_, camera)| self.camera.as_ref().is_none_or(|wanted| wanted == camera))
                .map(|(id, _)| id)
                .collect()
        } else {
            self.ids
        };
        for id in &ids {
            ask_for(&folder, id, &who()).map_err(|error| Failure::new(format!("{}: {error}", folder.display())))?;
        }
        print(&format!("{} asked for", ids.len()))
    }
}

fn unusable(folder: &std::path::Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("the folder of withheld frames {} can't be read: {error}", folder.display()))
}

/// Who asks, for the audit log.
fn who() -> String {
    let set = |name| std::env::var(name).ok().filter(|name: &String| !name.is_empty());
    let name = set("SUDO_USER").or_else(|| set("USER"));
    let number = || std::fs::metadata("/proc/self").map_or_else(|_| "?".to_owned(), |own| own.uid().to_string());
    name.unwrap_or_else(|| format!("uid {}", number()))
}
