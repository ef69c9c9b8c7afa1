//! Verdicts in the store.

use futures::TryStreamExt;
use object_store::ObjectStore;

use super::{ShipError, Store};
use crate::evidence::Verdict;
use crate::ship::{layout, queue};

impl Store {
    /// Writes a verdict beside its frame, and announces it where there is a queue. The same one again is a success and makes
    /// no second copy.
    ///
    /// # Errors
    /// When it is not written or not announced.
    pub async fn keep_verdict(&self, verdict: &Verdict) -> Result<(), ShipError> {
        let name = layout::verdict(&self.base, verdict);
        let unwritten = |source: Box<dyn std::error::Error + Send + Sync>| ShipError::Write {
            store: self.name.clone(),
            name: name.to_string(),
            source: Box::new(object_store::Error::Generic { store: "verdict", source }),
        };
        let json = verdict.json().map_err(|error| unwritten(error.into()))?;
        self.create(&name, json.into(), "application/json").await?;
        let record = layout::judged(&self.base, verdict);
        self.announce(&verdict.id, || queue::of_verdict(&self.name, verdict, &name, &record)).await
    }

    /// The names of all verdicts in it, sorted.
    ///
    /// # Errors
    /// When it can't be listed.
    pub async fn verdicts(&self) -> Result<Vec<String>, ShipError> {
        let folder = self.base.clone().join("evidence");
        let failed = |source| self.unreadable(folder.as_ref(), source);
        let all: Vec<_> = self.store.list(Some(&folder)).try_collect().await.map_err(failed)?;
        let names = all.into_iter().map(|object| object.location.to_string());
        let mut names: Vec<String> = names.filter(|name| layout::is_verdict(name)).collect();
        names.sort();
        Ok(names)
    }
}
