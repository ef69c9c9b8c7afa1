// From a camera's pixels to one item of a model's input, in one pass.
//
// One invocation a pixel of the input: it converts the four source pixels around its sample to 8-bit RGB in the
// camera's own layout, blends them bilinearly, normalises, and writes the three channels; outside the picture it
// writes padding. Conversion is the same integer arithmetic, and sampling the same tables and order of operations,
// as in `src/model/preprocess` on the CPU, so that both devices feed a model the same numbers.

struct Params {
    // The picture. `chroma_width` is half the width, rounded up.
    source_width: u32,
    source_height: u32,
    chroma_width: u32,
    format: u32,
    // The input, `[3, height, width]`; `first` is where the item begins in `output`.
    width: u32,
    height: u32,
    first: u32,
    bgr: u32,
    // Where the picture lies in the input.
    left: u32,
    top: u32,
    placed_width: u32,
    placed_height: u32,
    // YUV to RGB in 16.16 fixed point.
    y_offset: i32,
    y_gain: i32,
    v_to_r: i32,
    u_to_g: i32,
    v_to_g: i32,
    u_to_b: i32,
    unused_0: u32,
    unused_1: u32,
    // Channel by channel in the input's order: `gain * value + bias`, and what padding becomes.
    gain: vec4<f32>,
    bias: vec4<f32>,
    pad: vec4<f32>,
}

// `value[index] * (1 - weight) + value[index + 1] * weight`; where the weight is 0, `index + 1` may lie outside.
struct Tap {
    index: u32,
    weight: f32,
}

const RGB8: u32 = 0u;
const YUYV: u32 = 1u;
const NV12: u32 = 2u;

@group(0) @binding(0) var<uniform> params: Params;
// The picture's bytes, four in a word, the first lowest.
@group(0) @binding(1) var<storage, read> pixels: array<u32>;
// A tap for each column of the placed picture, then one for each row.
@group(0) @binding(2) var<storage, read> taps: array<Tap>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;

fn byte_at(position: u32) -> i32 {
    return i32(extractBits(pixels[position >> 2u], (position & 3u) * 8u, 8u));
}

// Luma below black is black; chroma is not interpolated; the half that rounds is added before the shift.
fn rgb_of_yuv(luma: i32, u_byte: i32, v_byte: i32) -> vec3<f32> {
    let y = max(luma - params.y_offset, 0) * params.y_gain + 32768;
    let u = u_byte - 128;
    let v = v_byte - 128;
    let rgb = vec3<i32>(
        y + params.v_to_r * v,
        y + params.u_to_g * u + params.v_to_g * v,
        y + params.u_to_b * u,
    );
    return vec3<f32>(clamp(rgb >> vec3<u32>(16u), vec3<i32>(0), vec3<i32>(255)));
}

fn source(x: u32, y: u32) -> vec3<f32> {
    let row = y * params.source_width;
    if params.format == RGB8 {
        let at = (row + x) * 3u;
        return vec3<f32>(vec3<i32>(byte_at(at), byte_at(at + 1u), byte_at(at + 2u)));
    }
    if params.format == YUYV {
        let pair = (y * params.chroma_width + x / 2u) * 4u;
        return rgb_of_yuv(byte_at(pair + (x & 1u) * 2u), byte_at(pair + 1u), byte_at(pair + 3u));
    }
    let chroma = params.source_width * params.source_height;
    let sample = (y / 2u) * params.chroma_width + x / 2u;
    if params.format == NV12 {
        let uv = chroma + sample * 2u;
        return rgb_of_yuv(byte_at(row + x), byte_at(uv), byte_at(uv + 1u));
    }
    let plane = params.chroma_width * ((params.source_height + 1u) / 2u);
    return rgb_of_yuv(byte_at(row + x), byte_at(chroma + sample), byte_at(chroma + plane + sample));
}

fn sampled(column: Tap, row: Tap) -> vec3<f32> {
    let right = column.index + select(0u, 1u, column.weight > 0.0);
    let below = row.index + select(0u, 1u, row.weight > 0.0);
    let left_above = source(column.index, row.index);
    let left = left_above + (source(column.index, below) - left_above) * row.weight;
    let right_above = source(right, row.index);
    return left + (right_above + (source(right, below) - right_above) * row.weight - left) * column.weight;
}

@compute @workgroup_size(16, 16)
fn preprocess(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= params.width || id.y >= params.height {
        return;
    }
    var value = params.pad.xyz;
    // Left of or above the picture these wrap around to large numbers.
    let x = id.x - params.left;
    let y = id.y - params.top;
    if x < params.placed_width && y < params.placed_height {
        let rgb = sampled(taps[x], taps[params.placed_width + y]);
        value = select(rgb, rgb.bgr, params.bgr == 1u) * params.gain.xyz + params.bias.xyz;
    }
    let plane = params.width * params.height;
    let at = params.first + id.y * params.width + id.x;
    output[at] = value.x;
    output[at + plane] = value.y;
    output[at + 2u * plane] = value.z;
}
