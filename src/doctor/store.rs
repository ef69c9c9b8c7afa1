//! Whether the store of evidence takes anything.

use super::Finding;
use crate::ship::{ShipError, Store};

const CHECK: &str = "store";

pub(super) async fn examine(place: &str) -> Finding {
    let probed = match Store::open(place) {
        Ok(store) => store.probe().await.map(|left| (store, left)),
        Err(error) => Err(error),
    };
    match probed {
        Ok((store, None)) => Finding::ok(CHECK, format!("{store} takes objects")),
        Ok((store, Some(left))) => {
            Finding::ok(CHECK, format!("{store} takes objects; {left} stays there, as we may not delete it"))
        }
        Err(error) => Finding::error(CHECK, error.reason(), fix(&error)),
    }
}

fn fix(error: &ShipError) -> &'static str {
    let said = match error {
        ShipError::Folder { .. } => return "make the folder, and give it to the user that the daemon runs as",
        ShipError::Credentials { .. } => {
            return "the daemon takes them from /etc/ocellus/environment; run `ocellus doctor` with the same variables";
        }
        other => other.to_string(),
    };
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&["InvalidHeaderValue", "x-ms-version"]) {
        "the store is older than the version of the API that is asked for, as Azure Stack Hub is: see docs/reference/config.md"
    } else if has(&["AuthenticationFailed", "AuthorizationFailure", "403", "401", "Forbidden", "SignatureDoesNotMatch"])
    {
        "check the key or token, what it allows, and this machine's clock: signatures are good for a quarter of an hour"
    } else if has(&["ContainerNotFound", "NoSuchBucket", "404", "not found"]) {
        "make the container or bucket that `store` names"
    } else {
        "check the address, the network and its proxy"
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn examined(place: &str) -> Finding {
        crate::daemon::runtime().unwrap().block_on(examine(place))
    }

    #[test]
    fn a_folder_takes_objects_and_keeps_none_of_ours() {
        let folder = tempfile::tempdir().unwrap();
        let found = examined(folder.path().to_str().unwrap());
        assert_eq!(found.verdict, Verdict::Ok, "{found:?}");
        let left = std::fs::read_dir(folder.path().join("ocellus-doctor")).map_or(0, Iterator::count);
        assert_eq!(left, 0);
    }

    #[test]
    fn what_is_wrong_has_its_fix() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(examined(file.to_str().unwrap()).fix.unwrap().contains("make the folder"));
        assert!(examined("s3://bucket").fix.unwrap().contains("/etc/ocellus/environment"));
    }
}
