use super::*;
use crate::kernel::reference;

const ACTIVATIONS: [Activation; 6] = [
    Activation::None,
    Activation::Relu,
    Activation::Clip { min: -0.3, max: 0.4 },
    Activation::Silu,
    Activation::HardSwish,
    Activation::LeakyRelu { slope: 0.1 },
];

fn check(isa: Isa, draw: &mut Draw, spec: ConvSpec, [batch, height, width]: [usize; 3]) {
    let taps = spec.window.taps();
    let fan = spec.in_channels / spec.groups * taps;
    let weights: Vec<f32> = draw.values(spec.out_channels * fan).iter().map(|w| w / (fan as f32).sqrt()).collect();
    let bias = if draw.int(0..=3) == 0 { Vec::new() } else { draw.values(spec.out_channels) };
    let activation = draw.pick(&ACTIVATIONS);
    let what = format!("{isa:?} {spec:?} {batch} x {height} x {width} {activation:?}");
    let conv = Conv::new(isa, spec, &weights, &bias, activation, None).unwrap();
    let shape = Shape::new(batch, spec.in_channels, height, width);
    let Some(out_shape) = conv.output(shape) else { return };
    // What lies in the lanes beyond the last channel must not matter.
    let input = draw.values(shape.len_in(spec.input, isa.lanes()));
    let residual = draw.values(out_shape.blocked_len(isa.lanes()));
    let residual = (draw.int(0..=2) == 0).then(|| Residual { data: &residual, after: draw.pick(&ACTIVATIONS) });
    let mut want = vec![0.0; out_shape.blocked_len(isa.lanes())];
    let mut got = vec![f32::NAN; want.len()];
    let zeros = vec![0.0; spec.out_channels];
    let bias = if bias.is_empty() { &zeros } else { &bias };
    reference::conv(
        isa.lanes(),
        &spec,
        (&weights, bias, activation),
        (&input, shape),
        residual,
        (&mut want, out_shape),
    );
    conv.run(&input, shape, residual, &mut got, draw.pick(&[1, 1, 2, 3])).unwrap();
    assert_close(&what, &channels(isa, &got, out_shape), &channels(isa, &want, out_shape), 1e-5);
}

fn window(draw: &mut Draw, kernels: &[usize], dilations: &[usize]) -> Window {
    let kernel = [draw.pick(kernels), draw.pick(kernels)];
    let kernel = if draw.int(0..=3) == 0 { kernel } else { [kernel[0]; 2] };
    let stride = draw.pick(&[1, 1, 2, 3]);
    let dilation = draw.pick(dilations);
    let padding = std::array::from_fn(|i| draw.int(0..=kernel[i % 2] / 2 + 1));
    Window { kernel, stride: [stride; 2], dilation: [dilation; 2], padding }
}

fn size(draw: &mut Draw) -> [usize; 3] {
    [draw.pick(&[1, 1, 1, 2]), draw.int(1..=15), draw.int(1..=21)]
}

#[test]
fn pointwise() {
    for isa in Isa::available() {
        let mut draw = Draw::new(1);
        for _ in 0..120 {
            let window = Window::square(1, draw.pick(&[1, 1, 2]), 0);
            let [in_channels, out_channels] = std::array::from_fn(|_| draw.pick(&[1, 7, 16, 24, 58, 64, 116, 200]));
            let spec = ConvSpec { in_channels, out_channels, groups: 1, window, input: Layout::Blocked };
            let size = size(&mut draw);
            check(isa, &mut draw, spec, size);
        }
    }
}

#[test]
fn windows() {
    for isa in Isa::available() {
        let mut draw = Draw::new(2);
        for _ in 0..120 {
            let groups = draw.pick(&[1, 1, 1, 2, 3]);
            let [in_channels, out_channels] = std::array::from_fn(|_| match groups {
                1 => draw.int(1..=70),
                _ => groups * draw.int(1..=3) * isa.lanes(),
            });
            let window = window(&mut draw, &[1, 2, 3, 3, 5], &[1, 1, 2]);
            let spec = ConvSpec { in_channels, out_channels, groups, window, input: Layout::Blocked };
            let size = size(&mut draw);
            check(isa, &mut draw, spec, size);
        }
    }
}

/// Weights and inputs of quantised models, in bytes where the machine multiplies those, else in floats.
#[test]
fn on_grids() {
    for isa in Isa::available() {
        let mut draw = Draw::new(6);
        for _ in 0..200 {
            let groups = draw.pick(&[1, 1, 1, 2]);
            let [in_channels, out_channels] = std::array::from_fn(|_| match groups {
                1 => draw.int(1..=150),
                _ => groups * draw.int(1..=3) * isa.lanes(),
            });
            let window = window(&mut draw, &[1, 1, 2, 3, 5], &[1, 1, 2]);
            let spec = ConvSpec { in_channels, out_channels, groups, window, input: Layout::Blocked };
            let row = in_channels / groups * window.taps();
            let most = draw.pick(&[1, 64, 127, 128]);
            // So that no sum is much larger than 1.
            let unit = 1e-3 / (most * row) as f32;
            let steps: Vec<f32> = (0..out_channels).map(|_| draw.int(1..=900) as f32 * unit).collect();
            let weights: Vec<f32> = (0..row * out_channels)
                .map(|i| (draw.int(0..=most + most.min(127)) as f32 - most as f32) * steps[i / row])
                .collect();
            let low = -(draw.int(0..=255) as f32);
            let grid = Grid { scale: draw.int(1..=900) as f32 * 4e-6, low, high: low + 255.0 };
            let [batch, height, width] = size(&mut draw);
            let shape = Shape::new(batch, in_channels, height, width);
            let input: Vec<f32> =
                (0..shape.blocked_len(isa.lanes())).map(|_| (draw.int(0..=255) as f32 + low) * grid.scale).collect();
            let bias = draw.values(out_channels);
            let activation = draw.pick(&[Activation::None, Activation::Relu, Activation::Silu]);
            let conv = Conv::new(isa, spec, &weights, &bias, activation, Some(grid)).unwrap();
            let Some(out_shape) = conv.output(shape) else { continue };
            let residual = draw.values(out_shape.blocked_len(isa.lanes()));
            let residual = (draw.int(0..=2) == 0).then(|| Residual { data: &residual, after: Activation::Relu });
            let mut want = vec![0.0; residual.map_or(out_shape.blocked_len(isa.lanes()), |r| r.data.len())];
            let mut got = vec![f32::NAN; want.len()];
            let numbers = (weights.as_slice(), bias.as_slice(), activation);
            reference::conv(isa.lanes(), &spec, numbers, (&input, shape), residual, (&mut want, out_shape));
            conv.run(&input, shape, residual, &mut got, draw.pick(&[1, 2, 3])).unwrap();
            let what = format!("{isa:?} {spec:?} {batch} x {height} x {width} {activation:?} {grid:?}");
            assert_close(&what, &channels(isa, &got, out_shape), &channels(isa, &want, out_shape), 1e-5);
        }
    }
}

#[test]
fn squares_of_stride_one() {
    for isa in Isa::available() {
        let mut draw = Draw::new(5);
        for _ in 0..40 {
            let [in_channels, out_channels] = std::array::from_fn(|_| draw.int(isa.lanes()..=70));
            let padding = std::array::from_fn(|_| draw.int(0..=2));
            let window = Window { padding, ..Window::square(3, 1, 0) };
            let spec = ConvSpec { in_channels, out_channels, groups: 1, window, input: Layout::Blocked };
            let [batch, height, width] = size(&mut draw);
            check(isa, &mut draw, spec, [batch, height + 2, width * 2]);
        }
    }
}

#[test]
fn first_layers() {
    for isa in Isa::available() {
        let mut draw = Draw::new(3);
        for _ in 0..100 {
            let (in_channels, out_channels) = (draw.pick(&[1, 3, 3, 4, 12]), draw.int(1..=50));
            let window = window(&mut draw, &[1, 3, 4, 7], &[1, 1, 2]);
            let spec = ConvSpec { in_channels, out_channels, groups: 1, window, input: Layout::Planar };
            let size = size(&mut draw);
            check(isa, &mut draw, spec, size);
        }
    }
}

#[test]
fn depthwise() {
    for isa in Isa::available() {
        let mut draw = Draw::new(4);
        for _ in 0..200 {
            let channels = draw.int(2..=40);
            let window = window(&mut draw, &[1, 3, 3, 3, 5, 5, 7], &[1, 1, 1, 2]);
            let spec = ConvSpec {
                in_channels: channels,
                out_channels: channels,
                groups: channels,
                window,
                input: Layout::Blocked,
            };
            let size = size(&mut draw);
            check(isa, &mut draw, spec, size);
        }
    }
}

#[test]
fn refuses_what_does_not_fit() {
    let isa = Isa::best();
    let spec = ConvSpec {
        in_channels: 6,
        out_channels: 6,
        groups: 3,
        window: Window::square(1, 1, 0),
        input: Layout::Blocked,
    };
    let refused = Conv::new(isa, spec, &[0.0; 12], &[], Activation::None, None);
    assert!(matches!(refused, Err(KernelError::Unsupported { .. })));
    let spec = ConvSpec { groups: 1, ..spec };
    let short = Conv::new(isa, spec, &[0.0; 35], &[], Activation::None, None);
    assert_eq!(short.unwrap_err(), KernelError::Length { what: "weights", expected: 36, got: 35 });
    let conv = Conv::new(isa, spec, &[0.0; 36], &[], Activation::None, None).unwrap();
    let shape = Shape::new(1, 6, 2, 2);
    let mut out = vec![0.0; shape.blocked_len(isa.lanes())];
    assert!(matches!(conv.run(&[0.0; 3], shape, None, &mut out, 1), Err(KernelError::Length { .. })));
}
