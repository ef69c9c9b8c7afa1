//! What people say of kept frames.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Name;
use crate::secret::SecretPlace;

/// What people say of kept frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReviewConfig {
    /// Whether kept frames wait for verdicts.
    pub enabled: bool,
    /// Frames that are held for review, 1 to 100 000; beyond that the oldest go.
    pub frames: u32,
    /// MiB that they may take, at least 1.
    pub mib: u64,
    /// Which pictures reviewers see: `released` or `original`.
    pub pictures: ReviewPictures,
    /// Labels that corrections may have besides those of the model.
    pub labels: Vec<String>,
    /// What the store gets of a reviewer's name: `auto`, `keep`, `hash` or `drop`.
    pub names: ReviewNames,
    /// Who may review over HTTP; without anybody everybody on this machine may.
    pub people: Vec<ReviewerConfig>,
}

impl Default for ReviewConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            frames: 500,
            mib: 128,
            pictures: ReviewPictures::default(),
            labels: Vec::new(),
            names: ReviewNames::default(),
            people: Vec::new(),
        }
    }
}

/// Who may review over HTTP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewerConfig {
    /// Who it is, as verdicts say it.
    pub name: Name,
    /// File that holds the token.
    pub token_file: Option<PathBuf>,
    /// systemd credential that holds the token.
    pub token_credential: Option<Name>,
}

impl ReviewerConfig {
    /// Where the token is.
    #[must_use]
    pub fn token(&self) -> SecretPlace {
        SecretPlace { file: self.token_file.clone(), env: None, credential: self.token_credential.clone() }
    }
}

/// Which pictures reviewers see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReviewPictures {
    /// What may leave by the policy, as it leaves. Nothing more is held of a frame.
    #[default]
    Released,
    /// What the camera saw, of every frame worth keeping. It is held on this node and leaves it no more than before.
    Original,
}

/// What the store gets of a reviewer's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReviewNames {
    /// The name in a directory, a hash in a store that is elsewhere.
    #[default]
    Auto,
    /// The name.
    Keep,
    /// A hash by which verdicts of one reviewer on one node can be told to be so, and no more.
    Hash,
    /// Nothing.
    Drop,
}
