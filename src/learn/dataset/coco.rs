//! COCO's JSON (cocodataset.org, "Data format"): `annotations/{split}.json`.

use serde_json::{Value, json};

use super::verdicts::word;
use super::{Files, Set, Split};

pub(super) fn files(set: &Set<'_>) -> Files {
    let file = |split: Split| (format!("annotations/{}.json", split.name()), split_file(set, split).to_string());
    Split::ALL.into_iter().map(file).collect()
}

fn split_file(set: &Set<'_>, split: Split) -> Value {
    let categories: Vec<Value> = (1..).zip(&set.names).map(|(id, name)| json!({"id": id, "name": name})).collect();
    let (mut images, mut annotations) = (Vec::new(), Vec::new());
    let samples = set.parts.iter().filter(|(of, _)| *of == split).flat_map(|(_, samples)| samples);
    for (image_id, sample) in (1..).zip(samples) {
        images.push(json!({
            "id": image_id,
            "file_name": set.image(split, sample),
            "width": sample.size.0,
            "height": sample.size.1,
            "date_captured": sample.captured_at,
            "license": 1,
            "camera": sample.camera,
            "evidence": sample.id,
            "reason": sample.reason,
            "verdict": word(sample.verdict),
        }));
        for label in sample.boxes() {
            let bbox = sample.pixels(label.rect);
            annotations.push(json!({
                "id": annotations.len() + 1,
                "image_id": image_id,
                "category_id": set.class(&label.name) + 1,
                "bbox": bbox,
                "area": bbox[2] * bbox[3],
                "iscrowd": 0,
                "score": label.score,
            }));
        }
    }
    let licence = set.wanted.licence.as_deref().unwrap_or("unknown");
    json!({
        "info": {"description": "Evidence kept by Ocellus; labels are what its model saw, or what people said that there is"},
        "licenses": [{"id": 1, "name": licence, "url": ""}],
        "images": images,
        "annotations": annotations,
        "categories": categories,
    })
}
