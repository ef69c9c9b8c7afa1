//! YOLO's text files (docs.ultralytics.com, "Object detection datasets overview"): a line a box, its class, centre and size
//! as fractions of the picture; `data.yaml` names the folders and classes.

use super::{Files, IMAGES, Set};

pub(super) fn files(set: &Set<'_>) -> Files {
    let mut files = Vec::new();
    for (split, samples) in &set.parts {
        for sample in samples {
            let lines: String = sample
                .boxes()
                .iter()
                .map(|label| {
                    let rect = label.rect;
                    let (x, y) = (rect.x + rect.w / 2.0, rect.y + rect.h / 2.0);
                    format!("{} {x:.6} {y:.6} {:.6} {:.6}\n", set.class(&label.name), rect.w, rect.h)
                })
                .collect();
            files.push((format!("labels/{}/{}.txt", split.name(), sample.id), lines));
        }
    }
    let mut text = "path: .\n".to_owned();
    for (split, samples) in &set.parts {
        // A folder that isn't there would be a mistake.
        if !samples.is_empty() {
            text.push_str(&format!("{0}: {IMAGES}/{0}\n", split.name()));
        }
    }
    text.push_str("names:\n");
    for (class, name) in set.names.iter().enumerate() {
        // JSON's texts are YAML's.
        text.push_str(&format!("  {class}: {}\n", serde_json::Value::from(name.as_str())));
    }
    files.push(("data.yaml".to_owned(), text));
    files
}
