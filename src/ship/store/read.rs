//! Reading evidence back out of a store.

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::{ShipError, Store, layout};

impl Store {
    /// The names of all records of evidence in it, sorted.
    ///
    /// # Errors
    /// When it can't be listed.
    pub async fn records(&self) -> Result<Vec<String>, ShipError> {
        let folder = self.base.clone().join("evidence");
        let failed = |source| self.unreadable(folder.as_ref(), source);
        let all: Vec<_> = self.store.list(Some(&folder)).try_collect().await.map_err(failed)?;
        let names = all.into_iter().map(|object| object.location.to_string());
        let mut names: Vec<String> =
            names.filter(|name| name.ends_with(".json") && !layout::is_verdict(name)).collect();
        names.sort();
        Ok(names)
    }

    /// What an object has.
    ///
    /// # Errors
    /// When it can't be read.
    pub async fn read(&self, name: &str) -> Result<Bytes, ShipError> {
        let failed = |source| self.unreadable(name, source);
        let path = Path::parse(name).map_err(|error| failed(error.into()))?;
        self.store.get(&path).await.map_err(failed)?.bytes().await.map_err(failed)
    }

    pub(super) fn unreadable(&self, name: &str, source: object_store::Error) -> ShipError {
        ShipError::Read { store: self.name.clone(), name: name.to_owned(), source: Box::new(source) }
    }
}
