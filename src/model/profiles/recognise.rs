//! Which profile a graph's outputs look like.

use ocellus_onnx::TensorInfo;

use crate::model::heads::{grid_cells_ceil, grid_cells_floor, map_of, matrix_of};

/// The most detections that an end-to-end network chooses.
const MAX_CHOSEN: usize = 1000;
/// Classes and "no object" of a DETR trained on COCO.
const DETR_LOGITS: usize = 92;

/// Whether a network with an input of this width and height has the outputs that a profile reads. Shapes that several
/// families share without being read alike fit all of them.
pub(super) fn fits(profile: &str, size: (usize, usize), outputs: &[TensorInfo]) -> bool {
    let grid: usize = [8, 16, 32].iter().map(|s| grid_cells_floor(size, *s)).sum();
    match profile {
        "yolox" => rows(outputs).is_some_and(|(rows, columns)| rows == grid && columns > 5),
        "yolov5" => proposals(outputs).is_some_and(|(rows, columns)| rows == 3 * grid && columns > 5),
        "yolov8" => proposals(outputs).is_some_and(|(columns, rows)| rows == grid && columns > 4),
        "yolo26" => rows(outputs).is_some_and(|(rows, columns)| columns == 6 && rows <= MAX_CHOSEN && rows != grid),
        "nanodet" => fits_gfl(size, outputs, &[8, 16, 32]),
        "picodet" => fits_gfl(size, outputs, &[8, 16, 32, 64]),
        "ultraface" => fits_ultraface(outputs),
        // D-FINE is read alike.
        "rtdetr" => queries(outputs, "logits", "pred_boxes").is_some_and(|columns| columns != DETR_LOGITS),
        "detr" => queries(outputs, "logits", "pred_boxes") == Some(DETR_LOGITS),
        "rfdetr" => queries(outputs, "labels", "dets").is_some(),
        "rtdetr-listed" => fits_listed(outputs, "boxes"),
        "ssd" => fits_listed(outputs, "bboxes"),
        "centernet" => fits_centernet(outputs),
        "centerface" => fits_centerface(outputs),
        // `torchvision` differs in its input alone, which nothing shows: it has to be asked for.
        "imagenet" => matches!(outputs, [only] if matches!(only.shape.as_slice(), [_, 1000])),
        _ => false,
    }
}

fn named<'t>(outputs: &'t [TensorInfo], name: &str) -> Option<&'t TensorInfo> {
    outputs.iter().find(|o| o.name == name)
}

fn rows(outputs: &[TensorInfo]) -> Option<(usize, usize)> {
    match outputs {
        [only] => matrix_of(only),
        _ => None,
    }
}

/// The proposals' output, beside which a segmentation model has one of four axes.
fn proposals(outputs: &[TensorInfo]) -> Option<(usize, usize)> {
    match outputs {
        [only] => matrix_of(only),
        [a, b] if map_of(b).is_some() => matrix_of(a),
        [a, b] if map_of(a).is_some() => matrix_of(b),
        _ => None,
    }
}

fn queries(outputs: &[TensorInfo], logits: &str, boxes: &str) -> Option<usize> {
    let (queries, columns) = named(outputs, logits).and_then(matrix_of)?;
    (named(outputs, boxes).and_then(matrix_of) == Some((queries, 4))).then_some(columns)
}

fn fits_listed(outputs: &[TensorInfo], boxes: &str) -> bool {
    let list = |name: &str| {
        named(outputs, name).and_then(|o| match *o.shape.as_slice() {
            [_, n] => Some(n),
            _ => None,
        })
    };
    let Some((rows, 4)) = named(outputs, boxes).and_then(matrix_of) else { return false };
    outputs.len() == 3 && list("labels") == Some(rows) && list("scores") == Some(rows)
}

fn fits_centernet(outputs: &[TensorInfo]) -> bool {
    let find = |name: &str| named(outputs, name).and_then(map_of);
    match (find("hm"), find("wh"), find("reg")) {
        (Some((_, h, w)), Some(sizes), Some(offsets)) => sizes == (2, h, w) && offsets == (2, h, w),
        _ => false,
    }
}

fn fits_centerface(outputs: &[TensorInfo]) -> bool {
    let maps: Vec<_> = outputs.iter().filter_map(map_of).collect();
    matches!(maps.as_slice(), [(1, h, w), a, b, c] if [*a, *b, *c] == [(2, *h, *w), (2, *h, *w), (10, *h, *w)])
        && outputs.len() == 4
}

fn fits_gfl(size: (usize, usize), outputs: &[TensorInfo], strides: &[usize]) -> bool {
    let count = |rows: usize, is_box: bool| {
        outputs.iter().filter_map(matrix_of).filter(|(n, columns)| *n == rows && (*columns == 32) == is_box).count()
    };
    outputs.len() == 2 * strides.len()
        && strides.iter().all(|s| {
            let rows = grid_cells_ceil(size, *s);
            count(rows, true) == 1 && count(rows, false) == 1
        })
}

fn fits_ultraface(outputs: &[TensorInfo]) -> bool {
    let find = |name: &str| named(outputs, name).and_then(matrix_of);
    match (find("scores"), find("boxes")) {
        (Some((scores, 2)), Some((boxes, 4))) => outputs.len() == 2 && scores == boxes,
        _ => false,
    }
}
