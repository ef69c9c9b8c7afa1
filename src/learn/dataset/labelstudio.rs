//! Tasks for Label Studio, with what the model saw as predictions (labelstud.io, "Import pre-annotated data"): boxes in
//! percent of the picture. What people said that there is are annotations beside them. `config.xml` is the labelling interface that they fit.

use serde_json::{Value, json};

use super::sample::{Label, Sample};
use super::verdicts::word;
use super::{Files, Set, Split};

pub(super) fn files(set: &Set<'_>) -> Files {
    let mut files = vec![("config.xml".to_owned(), interface(set))];
    for (split, samples) in &set.parts {
        let tasks: Vec<Value> = samples.iter().map(|sample| task(set, *split, sample)).collect();
        files.push((format!("{}.json", split.name()), Value::Array(tasks).to_string()));
    }
    files
}

fn task(set: &Set<'_>, split: Split, sample: &Sample) -> Value {
    let boxes = |labels: &[Label]| -> Vec<Value> {
        labels.iter().enumerate().map(|(i, label)| rectangle(sample, i, label)).collect()
    };
    let least = sample.labels.iter().map(|label| label.score).reduce(f32::min);
    // What is known to be wrong would only mislead.
    let predictions = if sample.is_refuted() {
        Vec::new()
    } else {
        vec![json!({"model_version": sample.model.1, "score": least, "result": boxes(&sample.labels)})]
    };
    let mut task = json!({
        "data": {
            "image": set.address(split, sample),
            "evidence": sample.id,
            "site": sample.site,
            "camera": sample.camera,
            "captured_at": sample.captured_at,
            "reason": sample.reason,
            "verdict": word(sample.verdict),
        },
        // The least sure first, where tasks are sorted by it.
        "predictions": predictions,
    });
    if let Some(truth) = &sample.truth {
        task["annotations"] = json!([{"result": boxes(truth), "was_cancelled": false}]);
    }
    task
}

fn rectangle(sample: &Sample, number: usize, label: &Label) -> Value {
    let percent = |fraction: f32| f64::from(fraction) * 100.0;
    let rect = label.rect;
    json!({
        "id": format!("{}-{number}", sample.id),
        "type": "rectanglelabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": sample.size.0,
        "original_height": sample.size.1,
        "image_rotation": 0,
        "score": label.score,
        "value": {
            "x": percent(rect.x),
            "y": percent(rect.y),
            "width": percent(rect.w),
            "height": percent(rect.h),
            "rotation": 0,
            "rectanglelabels": [label.name],
        },
    })
}

fn interface(set: &Set<'_>) -> String {
    let escaped =
        |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let labels: String = set.names.iter().map(|name| format!("    <Label value=\"{}\"/>\n", escaped(name))).collect();
    format!(
        "<View>\n  <Image name=\"image\" value=\"$image\"/>\n  <RectangleLabels name=\"label\" toName=\"image\">\n{labels}  \
         </RectangleLabels>\n</View>\n"
    )
}
