//! Names in the store, Hive-style, so that Spark and others read it as a partitioned table.

use chrono::NaiveDate;
use object_store::path::Path;

use crate::evidence::{Evidence, Verdict};

/// `(picture, record)` of an item: `evidence/dt=YYYY-MM-DD/site=S/camera=C/{id}.jpg` and `.json`, under `base`.
/// Characters that would change the meaning of a path are escaped.
pub(super) fn names(base: &Path, item: &Evidence) -> (Path, Path) {
    let folder = folder(base, item.day, &item.site, &item.camera);
    (folder.clone().join(format!("{}.jpg", item.id)), folder.join(format!("{}.json", item.id)))
}

/// What stands between the frame's id and the verdict's in the name of a verdict.
const VERDICT: &str = ".verdict-";

/// The name of a verdict: beside its frame, `{frame}.verdict-{id}.json`.
pub(super) fn verdict(base: &Path, verdict: &Verdict) -> Path {
    let folder = folder(base, verdict.captured_at.date_naive(), &verdict.site, &verdict.camera);
    folder.join(format!("{}{VERDICT}{}.json", verdict.frame, verdict.id))
}

/// The name of the record of the frame that a verdict is about.
pub(super) fn judged(base: &Path, verdict: &Verdict) -> Path {
    let folder = folder(base, verdict.captured_at.date_naive(), &verdict.site, &verdict.camera);
    folder.join(format!("{}.json", verdict.frame))
}

/// Whether an object is a verdict, by its name.
pub(super) fn is_verdict(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    file.ends_with(".json") && file.contains(VERDICT)
}

fn folder(base: &Path, day: NaiveDate, site: &str, camera: &str) -> Path {
    base.clone()
        .join("evidence")
        .join(format!("dt={}", day.format("%Y-%m-%d")))
        .join(format!("site={site}"))
        .join(format!("camera={camera}"))
}

#[cfg(test)]
pub(super) mod tests {
    use bytes::Bytes;
    use chrono::NaiveDate;

    use super::*;

    pub(in crate::ship) fn evidence(id: &str, camera: &str) -> Evidence {
        Evidence {
            id: id.to_owned(),
            site: "plant-7".to_owned(),
            camera: camera.to_owned(),
            day: NaiveDate::from_ymd_opt(2026, 1, 2).expect("a day"),
            jpeg: Some(Bytes::from_static(b"picture")),
            json: Bytes::from_static(b"{}"),
        }
    }

    #[test]
    fn names_are_partitioned_by_day_site_and_camera() {
        let (picture, record) = names(&Path::from("a/b"), &evidence("01X", "line3"));
        let folder = "a/b/evidence/dt=2026-01-02/site=plant-7/camera=line3";
        assert_eq!(picture.as_ref(), format!("{folder}/01X.jpg"));
        assert_eq!(record.as_ref(), format!("{folder}/01X.json"));
    }

    #[test]
    fn no_name_leaves_its_folder() {
        for camera in ["../../etc", "a/b", "..", "", "a\\b", "%2e%2e%2f", "a\0b", "#", "?x=1"] {
            let (picture, _) = names(&Path::default(), &evidence("01X", camera));
            let parts: Vec<_> = picture.as_ref().split('/').collect();
            assert_eq!(parts.len(), 5, "{picture}");
            assert!(parts.iter().all(|part| !matches!(*part, "" | "." | "..")), "{picture}");
        }
    }
}
