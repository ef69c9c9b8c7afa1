// Makes a piece of a picture unrecognisable: a box filter's pass along all rows or columns, or squares of one colour.
//
// Means are of whole numbers, so that the pixels are those that the CPU computes, to the last bit.

struct Params {
    width: u32,
    height: u32,
    // The filter's radius, or a square's side, in pixels.
    reach: u32,
    // Whether the filter goes down the columns.
    down: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// A pixel a word: red in the lowest byte, then green, then blue.
@group(0) @binding(1) var<storage, read> before: array<u32>;
@group(0) @binding(2) var<storage, read_write> after: array<u32>;

fn channels_of(pixel: u32) -> vec3<u32> {
    return vec3<u32>(pixel, pixel >> 8u, pixel >> 16u) & vec3<u32>(255u);
}

fn pixel_of(channels: vec3<u32>) -> u32 {
    return channels.x | (channels.y << 8u) | (channels.z << 16u);
}

// An invocation a row or column: each pixel becomes the nearest mean of those within the radius; beyond the ends the
// outermost goes on.
@compute @workgroup_size(64)
fn filter_lines(@builtin(global_invocation_id) id: vec3<u32>) {
    let down = params.down == 1u;
    let line = id.x;
    if line >= select(params.height, params.width, down) {
        return;
    }
    let first = select(line * params.width, line, down);
    let stride = select(1u, params.width, down);
    let length = select(params.width, params.height, down);
    let count = 2u * params.reach + 1u;
    var sum = vec3<u32>(0u);
    for (var i = 0u; i < count; i++) {
        let at = min(max(i, params.reach) - params.reach, length - 1u);
        sum += channels_of(before[first + at * stride]);
    }
    for (var i = 0u; i < length; i++) {
        after[first + i * stride] = pixel_of((2u * sum + count) / (2u * count));
        let leaves = min(max(i, params.reach) - params.reach, length - 1u);
        let comes = min(i + params.reach + 1u, length - 1u);
        sum += channels_of(before[first + comes * stride]);
        sum -= channels_of(before[first + leaves * stride]);
    }
}

// An invocation a square, which gets its mean, rounded down.
@compute @workgroup_size(8, 8)
fn fill_squares(@builtin(global_invocation_id) id: vec3<u32>) {
    let left = id.x * params.reach;
    let top = id.y * params.reach;
    if left >= params.width || top >= params.height {
        return;
    }
    let right = min(left + params.reach, params.width);
    let bottom = min(top + params.reach, params.height);
    var sum = vec3<u32>(0u);
    for (var y = top; y < bottom; y++) {
        for (var x = left; x < right; x++) {
            sum += channels_of(before[y * params.width + x]);
        }
    }
    let mean = pixel_of(sum / ((right - left) * (bottom - top)));
    for (var y = top; y < bottom; y++) {
        for (var x = left; x < right; x++) {
            after[y * params.width + x] = mean;
        }
    }
}
