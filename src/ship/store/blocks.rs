//! Large objects by blocks, so that one that was cut off goes on where it was.
//!
//! What a store has of an object is remembered, in a file where there is one, block by block: the next try, also after a
//! restart, sends the blocks that are missing and then has the store put them together. That is refused where the object
//! is there already ([`Line`](crate::ship::azure) asks for it), so that it is made once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{Attributes, Error, PutMultipartOptions, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::config::ShipConfig;
use crate::state::StateFile;

/// Objects that may be there in part. The oldest name is forgotten first.
const BEGUN: usize = 64;
/// How often a store may refuse to put blocks together before they are sent anew.
const REFUSALS: u32 = 3;
/// The smallest part of S3 but for the last (docs.aws.amazon.com, "Amazon S3 multipart upload limits").
pub(super) const S3_LEAST: usize = 5 << 20;

/// Sends large objects by blocks.
#[derive(Clone)]
pub(super) struct Blocks {
    store: Arc<dyn MultipartStore>,
    /// Whether the store wants to know what an object is when it is begun; else when it is put together.
    typed_at_first: bool,
    above: usize,
    size: usize,
    memory: Arc<Mutex<Memory>>,
}

#[derive(Debug, Default)]
struct Memory {
    begun: BTreeMap<String, Begun>,
    file: StateFile,
}

/// What a store has of an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Begun {
    upload: String,
    /// SHA-256 of the whole object: blocks of another are of no use.
    digest: Vec<u8>,
    size: usize,
    blocks: Vec<String>,
    refusals: u32,
}

impl Blocks {
    pub(super) fn azure(store: Arc<dyn MultipartStore>, way: &ShipConfig) -> Self {
        Self::of(store, way, 0, false)
    }

    pub(super) fn s3(store: Arc<dyn MultipartStore>, way: &ShipConfig) -> Self {
        Self::of(store, way, S3_LEAST, true)
    }

    fn of(store: Arc<dyn MultipartStore>, way: &ShipConfig, least: usize, typed_at_first: bool) -> Self {
        let bytes = |kib: u32| usize::try_from(kib).unwrap_or(usize::MAX).saturating_mul(1024);
        let (above, size) = (bytes(way.single_kib), bytes(way.block_kib).max(least).max(1));
        Self { store, typed_at_first, above, size, memory: Arc::default() }
    }

    /// Remembers in a file what the store has, also what it had when this process was not there.
    pub(super) fn remember(&self, file: StateFile) {
        let mut memory = self.memory();
        memory.begun = file.read();
        memory.file = file;
    }

    /// Whether an object goes by blocks.
    pub(super) fn takes(&self, content: &Bytes) -> bool {
        content.len() > self.above
    }

    /// Makes an object. `AlreadyExists` says that it is there.
    pub(super) async fn create(&self, name: &Path, content: &Bytes, attributes: Attributes) -> Result<()> {
        let digest = Sha256::digest(content).to_vec();
        let known = self.memory().begun.get(name.as_ref()).cloned();
        let known = known.filter(|begun| begun.digest == digest && begun.size == self.size);
        let mut begun = match known {
            Some(begun) => begun,
            None => {
                let upload = self.begin(name, attributes).await?;
                Begun { upload, digest, size: self.size, blocks: Vec::new(), refusals: 0 }
            }
        };
        for (index, from) in (0..content.len()).step_by(self.size).enumerate().skip(begun.blocks.len()) {
            let block = content.slice(from..content.len().min(from + self.size));
            match self.store.put_part(name, &begun.upload, index, block.into()).await {
                Ok(part) => begun.blocks.push(part.content_id),
                // The store has forgotten it.
                Err(error @ Error::NotFound { .. }) => {
                    self.note(name, None).await;
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
            self.note(name, Some(&begun)).await;
        }
        let parts = begun.blocks.iter().map(|id| PartId { content_id: id.clone() }).collect();
        match self.store.complete_multipart(name, &begun.upload, parts).await {
            Ok(_) => self.note(name, None).await,
            Err(error @ (Error::AlreadyExists { .. } | Error::Precondition { .. })) => {
                self.note(name, None).await;
                let path = name.to_string();
                return Err(Error::AlreadyExists { path, source: Box::new(error) });
            }
            Err(error) => {
                begun.refusals += 1;
                let goes_on = begun.refusals < REFUSALS && !matches!(error, Error::NotFound { .. });
                self.note(name, goes_on.then_some(&begun)).await;
                return Err(error);
            }
        }
        Ok(())
    }

    async fn begin(&self, name: &Path, attributes: Attributes) -> Result<String> {
        let attributes = if self.typed_at_first { attributes } else { Attributes::new() };
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        self.store.create_multipart_opts(name, options).await
    }

    /// Remembers what the store has of an object, or forgets it.
    async fn note(&self, name: &Path, begun: Option<&Begun>) {
        {
            let mut memory = self.memory();
            match begun {
                Some(begun) => _ = memory.begun.insert(name.to_string(), begun.clone()),
                None => _ = memory.begun.remove(name.as_ref()),
            }
            while memory.begun.len() > BEGUN {
                memory.begun.pop_first();
            }
        }
        let blocks = self.clone();
        let written = tokio::task::spawn_blocking(move || {
            let memory = blocks.memory();
            memory.file.write(&memory.begun)
        });
        if let Ok(Err(error)) = written.await {
            tracing::debug!(%error, "After a restart this object would be sent from its beginning.");
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocks").field("above", &self.above).field("size", &self.size).finish_non_exhaustive()
    }
}
