//! Names in the store, Hive-style, so that Spark and others read it as a partitioned table.

use object_store::path::Path;

use crate::evidence::Evidence;

/// `(picture, record)` of an item: `evidence/dt=YYYY-MM-DD/site=S/camera=C/{id}.jpg` and `.json`, under `base`.
/// Characters that would change the meaning of a path are escaped.
pub(super) fn names(base: &Path, item: &Evidence) -> (Path, Path) {
    let folder = base
        .clone()
        .join("evidence")
        .join(format!("dt={}", item.day.format("%Y-%m-%d")))
        .join(format!("site={}", item.site))
        .join(format!("camera={}", item.camera));
    (folder.clone().join(format!("{}.jpg", item.id)), folder.join(format!("{}.json", item.id)))
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
