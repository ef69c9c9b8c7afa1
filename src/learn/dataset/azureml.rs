//! JSON lines for AutoML for images (learn.microsoft.com, "Data schemas to train computer vision models with automated
//! machine learning"): corners are fractions of the picture. An `MLTable` beside each file says how it is read.

use serde_json::json;

use super::{Files, Set};

/// How Azure Machine Learning reads the lines beside it.
const TABLE: &str = "\
$schema: https://azuremlschemas.azureedge.net/latest/MLTable.schema.json
type: mltable
paths:
  - file: ./annotations.jsonl
transformations:
  - read_json_lines:
      encoding: utf8
      invalid_lines: error
      include_path_column: false
  - convert_column_types:
      - columns: image_url
        column_type: stream_info
";

pub(super) fn files(set: &Set<'_>) -> Files {
    let mut files = Vec::new();
    for (split, samples) in &set.parts {
        let mut lines = String::new();
        for sample in samples {
            let labels: Vec<_> = sample
                .boxes()
                .iter()
                .map(|label| {
                    let rect = label.rect;
                    json!({
                        "label": label.name,
                        "topX": rect.x,
                        "topY": rect.y,
                        "bottomX": (rect.x + rect.w).min(1.0),
                        "bottomY": (rect.y + rect.h).min(1.0),
                        "isCrowd": 0,
                    })
                })
                .collect();
            let line = json!({
                "image_url": set.address(*split, sample),
                "image_details": {"format": "jpg", "width": sample.size.0, "height": sample.size.1},
                "label": labels,
            });
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
        files.push((format!("{}/annotations.jsonl", split.name()), lines));
        files.push((format!("{}/MLTable", split.name()), TABLE.to_owned()));
    }
    files
}
