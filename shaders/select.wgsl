// Of a network's candidates, those that score above a threshold, so that only they are read back.
//
// `select` looks at every candidate's scores: it counts what means nothing, and notes the rows of the candidates
// whose best score is above the threshold. `gather` then copies the values of the rows noted. The order in which rows
// are noted is whatever the device makes it; each carries its number. Past the capacity rows are counted and not
// noted, so that the reader knows.
//
// `found` holds, for each picture of the batch: how many rows were found, how many values of rows not found mean
// nothing, and then the rows noted, each its number and `width` values.

struct Params {
    // The tensor that is read, and how many values lie between its pictures, rows and columns.
    rows: u32,
    columns: u32,
    item_stride: u32,
    row_stride: u32,
    column_stride: u32,
    // The number of its first row; numbers run through all tensors with scores.
    first_row: u32,
    // Where its values go in an entry.
    first_value: u32,
    // The buffer.
    capacity: u32,
    width: u32,
    // `select` alone: the columns with classes and with objectness, if any, and whether they are logits.
    first_class: u32,
    classes: u32,
    objectness: u32,
    logits: u32,
    // Scores count above the floor, and mean something between the bounds.
    floor: f32,
    lowest: f32,
    highest: f32,
}

const NONE: u32 = 0xffffffffu;
const COUNT: u32 = 0u;
const INVALID: u32 = 1u;
const HEADER: u32 = 2u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<f32>;
@group(0) @binding(2) var<storage, read_write> found: array<atomic<u32>>;

fn item_at(item: u32) -> u32 {
    return item * (HEADER + params.capacity * (1u + params.width));
}

fn entry_at(item: u32, slot: u32) -> u32 {
    return item_at(item) + HEADER + slot * (1u + params.width);
}

fn value_at(item: u32, row: u32, column: u32) -> f32 {
    return source[item * params.item_stride + row * params.row_stride + column * params.column_stride];
}

// Shader compilers may take it that nothing is ever NaN or infinite, so comparing numbers would not tell.
fn is_finite(value: f32) -> bool {
    return (bitcast<u32>(value) & 0x7f800000u) != 0x7f800000u;
}

fn means_something(value: f32) -> bool {
    return is_finite(value) && value >= params.lowest && value <= params.highest;
}

// Infinite logits are certain probabilities.
fn probability(value: f32) -> f32 {
    if params.logits == 0u {
        return value;
    }
    let bits = bitcast<u32>(value);
    if (bits & 0x7fffffffu) == 0x7f800000u {
        return select(1.0, 0.0, (bits >> 31u) == 1u);
    }
    if !is_finite(value) {
        return value;
    }
    return 1.0 / (1.0 + exp(-clamp(value, -80.0, 80.0)));
}

@compute @workgroup_size(64)
fn select_rows(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x;
    let item = id.y;
    if row >= params.rows {
        return;
    }
    var objectness = 1.0;
    if params.objectness != NONE {
        objectness = probability(value_at(item, row, params.objectness));
        // A class probability is at most 1: no class lifts a weak candidate over the threshold.
        if !means_something(objectness) || objectness <= params.floor {
            if !means_something(objectness) {
                atomicAdd(&found[item_at(item) + INVALID], 1u);
            }
            return;
        }
    }
    var chosen = false;
    var invalid = 0u;
    for (var i = 0u; i < params.classes; i++) {
        let score = objectness * probability(value_at(item, row, params.first_class + i));
        if !means_something(score) {
            invalid++;
        } else if score > params.floor {
            chosen = true;
        }
    }
    if !chosen {
        if invalid > 0u {
            atomicAdd(&found[item_at(item) + INVALID], invalid);
        }
        return;
    }
    let slot = atomicAdd(&found[item_at(item) + COUNT], 1u);
    if slot < params.capacity {
        atomicStore(&found[entry_at(item, slot)], params.first_row + row);
    }
}

// Groups take turns at the rows noted; most are few.
@compute @workgroup_size(64)
fn gather_rows(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let column = id.x;
    let item = id.z;
    if column >= params.columns {
        return;
    }
    let count = min(atomicLoad(&found[item_at(item) + COUNT]), params.capacity);
    for (var slot = id.y; slot < count; slot += groups.y) {
        let entry = entry_at(item, slot);
        // Rows of other tensors wrap around to large numbers, or lie behind the end.
        let row = atomicLoad(&found[entry]) - params.first_row;
        if row < params.rows {
            let value = value_at(item, row, column);
            atomicStore(&found[entry + 1u + params.first_value + column], bitcast<u32>(value));
        }
    }
}
