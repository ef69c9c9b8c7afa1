use super::*;
use crate::kernel::reference;

fn shape(draw: &mut Draw) -> Shape {
    Shape::new(draw.pick(&[1, 1, 2]), draw.int(1..=40), draw.int(1..=13), draw.int(1..=19))
}

#[test]
fn pools() {
    for isa in Isa::available() {
        let mut draw = Draw::new(11);
        for _ in 0..150 {
            let shape = shape(&mut draw);
            let kernel = [draw.int(1..=5), draw.int(1..=5)];
            let padding = std::array::from_fn(|i| draw.int(0..=kernel[i % 2] - 1));
            let window = Window { kernel, stride: [draw.int(1..=3), draw.int(1..=3)], dilation: [1; 2], padding };
            let kind = draw.pick(&[
                PoolKind::Max,
                PoolKind::Average { include_padding: true },
                PoolKind::Average { include_padding: false },
            ]);
            let pool = Pool::new(isa, kind, window).unwrap();
            let Some(out_shape) = pool.output(shape) else { continue };
            let input = draw.values(shape.blocked_len(isa.lanes()));
            let mut want = vec![0.0; out_shape.blocked_len(isa.lanes())];
            let mut got = vec![f32::NAN; want.len()];
            reference::pool(isa.lanes(), kind, &window, (&input, shape), (&mut want, out_shape));
            pool.run(&input, shape, &mut got, draw.int(1..=2)).unwrap();
            let what = format!("{isa:?} {kind:?} {window:?} {shape:?}");
            assert_close(&what, &channels(isa, &got, out_shape), &channels(isa, &want, out_shape), 1e-5);
        }
    }
}

#[test]
fn global_pools() {
    for isa in Isa::available() {
        let mut draw = Draw::new(12);
        for _ in 0..20 {
            let shape = shape(&mut draw);
            let input = draw.values(shape.blocked_len(isa.lanes()));
            let one = Shape { height: 1, width: 1, ..shape };
            let mut got = vec![f32::NAN; one.blocked_len(isa.lanes())];
            let planar = channels(isa, &input, shape);
            let planes = || planar.chunks(shape.pixels());
            global_average(isa, &input, shape, &mut got).unwrap();
            let want: Vec<f32> = planes().map(|p| p.iter().sum::<f32>() / p.len() as f32).collect();
            assert_close("mean", &channels(isa, &got, one), &want, 1e-5);
            global_max(isa, &input, shape, &mut got).unwrap();
            let want: Vec<f32> = planes().map(|p| p.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b))).collect();
            assert_eq!(channels(isa, &got, one), want);
        }
    }
}

#[test]
fn activations() {
    let all = [
        Activation::None,
        Activation::Relu,
        Activation::Clip { min: -1.5, max: 6.0 },
        Activation::LeakyRelu { slope: 0.1 },
        Activation::HardSigmoid { alpha: 0.2, beta: 0.5 },
        Activation::HardSwish,
        Activation::Sigmoid,
        Activation::Silu,
        Activation::Exp,
        Activation::Tanh,
        Activation::Mish,
        Activation::GeluTanh,
        Activation::Quantise(Grid { scale: 0.1, low: -100.0, high: 155.0 }),
        Activation::QuantisedSilu {
            x: Grid { scale: 0.1, low: -100.0, high: 155.0 },
            gate: Grid { scale: 0.007, low: 0.0, high: 255.0 },
            product: Grid { scale: 0.06, low: -5.0, high: 250.0 },
        },
    ];
    for isa in Isa::available() {
        for activation in all {
            let x: Vec<f32> = (-4001..4001).map(|i| i as f32 * 0.01).chain([0.0, -200.0, 200.0, 1e-3]).collect();
            let mut got = x.clone();
            activate(isa, activation, &mut got, 1);
            for (x, got) in x.iter().zip(got) {
                let want = exact(activation, f64::from(*x));
                let error = (f64::from(got) - want).abs() / want.abs().max(1e-12);
                let bound = if matches!(activation, Activation::GeluTanh) && *x < -1.0 { 2e-5 } else { 1e-6 };
                // Near the zero of a straight line the terms cancel.
                let line = matches!(activation, Activation::HardSigmoid { .. } | Activation::HardSwish);
                let tiny = if line { 1e-6 } else { 1e-30 };
                let small = (f64::from(got) - want).abs() < tiny || want.is_infinite() && got.is_infinite();
                let overflow = want > f64::from(f32::MAX) && got.is_infinite();
                assert!(error <= bound || small || overflow, "{isa:?} {activation:?} of {x}: {got}, should be {want}");
            }
            let mut nan = vec![f32::NAN; 20];
            activate(isa, activation, &mut nan, 1);
            assert!(nan.iter().all(|x| x.is_nan()), "{isa:?} {activation:?} of what is not a number: {nan:?}");
        }
    }
}

fn exact(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Exp => x.exp(),
        Activation::Tanh => x.tanh(),
        Activation::Mish => x * x.exp().ln_1p().tanh(),
        Activation::GeluTanh => {
            x / (1.0 + (-2.0 * (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).exp())
        }
        other => f64::from(other.apply(x as f32)),
    }
}

#[test]
fn pairs() {
    let ops = [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Max, Binary::Min];
    for isa in Isa::available() {
        let mut draw = Draw::new(13);
        for op in ops {
            let (a, b) = (draw.values(9001), draw.values(9001));
            let mut got = vec![f32::NAN; a.len()];
            binary(isa, op, &a, &b, Activation::Relu, &mut got, 2).unwrap();
            let want: Vec<f32> = a.iter().zip(&b).map(|(a, b)| op.apply(*a, *b).max(0.0)).collect();
            assert_close(&format!("{op:?}"), &got, &want, 1e-6);
            binary_scalar(isa, op, &a, 0.7, Activation::None, &mut got, 1).unwrap();
            let want: Vec<f32> = a.iter().map(|a| op.apply(*a, 0.7)).collect();
            assert_close(&format!("{op:?} with a scalar"), &got, &want, 1e-6);
            let shape = shape(&mut draw);
            let lanes = isa.lanes();
            let (a, b) =
                (draw.values(shape.blocked_len(lanes)), draw.values(shape.batch * shape.blocks(lanes) * lanes));
            let mut got = vec![f32::NAN; a.len()];
            binary_channels(isa, op, (&a, shape), &b, Activation::None, &mut got, 2).unwrap();
            let plane = shape.pixels() * lanes;
            let want: Vec<f32> = (0..a.len()).map(|i| op.apply(a[i], b[i / plane * lanes + i % lanes])).collect();
            assert_close(&format!("{op:?} with channels"), &got, &want, 1e-6);
        }
    }
}

#[test]
fn layouts() {
    for isa in Isa::available() {
        let mut draw = Draw::new(14);
        for _ in 0..40 {
            let shape = shape(&mut draw);
            let (lanes, pixels) = (isa.lanes(), shape.pixels());
            let planar = draw.values(shape.planar_len());
            let mut blocked = vec![f32::NAN; shape.blocked_len(lanes)];
            to_blocked(isa, &planar, shape, &mut blocked, 2).unwrap();
            for (i, got) in blocked.iter().enumerate() {
                let (plane, pixel) = (i / lanes / pixels, i / lanes % pixels);
                let (image, channel) = (plane / shape.blocks(lanes), plane % shape.blocks(lanes) * lanes + i % lanes);
                let inside = channel < shape.channels;
                let want = if inside { planar[(image * shape.channels + channel) * pixels + pixel] } else { 0.0 };
                assert_eq!(*got, want);
            }
            assert_eq!(channels(isa, &blocked, shape), planar);
            let mut last = vec![f32::NAN; planar.len()];
            to_channels_last(isa, &blocked, shape, &mut last, 2).unwrap();
            for (i, got) in last.iter().enumerate() {
                let (channel, pixel) = (i % shape.channels, i / shape.channels % pixels);
                let image = i / shape.channels / pixels;
                assert_eq!(*got, planar[(image * shape.channels + channel) * pixels + pixel]);
            }
        }
    }
}

#[test]
fn gathers() {
    for isa in Isa::available() {
        let mut draw = Draw::new(15);
        for round in 0..60 {
            let shape = shape(&mut draw);
            let counts: Vec<usize> = (0..draw.int(1..=3)).map(|_| draw.int(1..=40)).collect();
            let of = |channels: usize| Shape { channels, ..shape };
            let data: Vec<Vec<f32>> =
                counts.iter().map(|count| draw.values(of(*count).blocked_len(isa.lanes()))).collect();
            let sources: Vec<_> = data.iter().map(Vec::as_slice).zip(counts.iter().copied()).collect();
            // Concatenations every other time, else any channels.
            let wanted: Vec<Channel> = if round % 2 == 0 {
                let all = |(source, count)| (0..count).map(move |channel| Channel { source, channel });
                counts.iter().copied().enumerate().flat_map(all).collect()
            } else {
                let any = |draw: &mut Draw| draw.int(0..=counts.len() - 1);
                (0..draw.int(1..=50))
                    .map(|_| any(&mut draw))
                    .collect::<Vec<_>>()
                    .into_iter()
                    .map(|source| Channel { source, channel: draw.int(0..=counts[source] - 1) })
                    .collect()
            };
            let out_shape = of(wanted.len());
            let mut got = vec![f32::NAN; out_shape.blocked_len(isa.lanes())];
            let size = (shape.batch, shape.height, shape.width);
            gather_channels(isa, &sources, &wanted, size, &mut got, 2).unwrap();
            let planar: Vec<_> = sources.iter().map(|(data, count)| channels(isa, data, of(*count))).collect();
            let pixels = shape.pixels();
            let got = channels(isa, &got, out_shape);
            for (i, got) in got.iter().enumerate() {
                let (image, channel, pixel) = (i / pixels / wanted.len(), i / pixels % wanted.len(), i % pixels);
                let from = wanted[channel];
                let plane = image * counts[from.source] + from.channel;
                assert_eq!(*got, planar[from.source][plane * pixels + pixel]);
            }
        }
    }
}

#[test]
fn resizes() {
    for isa in Isa::available() {
        let mut draw = Draw::new(16);
        for round in 0..40 {
            let shape = shape(&mut draw);
            let mut taps = |size: usize| -> Vec<Tap> {
                (0..draw.int(1..=20))
                    .map(|_| match round % 2 {
                        0 => Tap::nearest(draw.int(0..=size - 1)),
                        _ => Tap {
                            low: draw.int(0..=size - 1),
                            high: draw.int(0..=size - 1),
                            weight: draw.int(0..=4) as f32 / 4.0,
                        },
                    })
                    .collect()
            };
            let (rows, columns) = (taps(shape.height), taps(shape.width));
            let out_shape = Shape { height: rows.len(), width: columns.len(), ..shape };
            let input = draw.values(shape.blocked_len(isa.lanes()));
            let mut got = vec![f32::NAN; out_shape.blocked_len(isa.lanes())];
            Resize::new(isa, rows.clone(), columns.clone()).run(&input, shape, &mut got, 2).unwrap();
            let (got, from) = (channels(isa, &got, out_shape), channels(isa, &input, shape));
            for (i, got) in got.iter().enumerate() {
                let (x, y) = (i % out_shape.width, i / out_shape.width % out_shape.height);
                let at = |y: usize, x: usize| from[(i / out_shape.pixels() * shape.height + y) * shape.width + x];
                let (row, column) = (rows[y], columns[x]);
                let across = |y| at(y, column.low) * (1.0 - column.weight) + at(y, column.high) * column.weight;
                let want = across(row.low) * (1.0 - row.weight) + across(row.high) * row.weight;
                assert!((got - want).abs() < 1e-5, "{got} should be {want}");
            }
        }
    }
}

#[test]
fn products() {
    for isa in Isa::available() {
        let mut draw = Draw::new(17);
        for _ in 0..60 {
            let (m, k, n) = (draw.int(1..=9), draw.int(1..=300), draw.int(1..=150));
            let (a, b, bias) = (draw.values(m * k), draw.values(k * n), draw.values(n));
            let transposed = draw.int(0..=1) == 1;
            let gemm = Gemm::new(isa, (k, n), &b, transposed, &bias, Activation::Relu).unwrap();
            let mut got = vec![f32::NAN; m * n];
            gemm.run(&a, m, &mut got, draw.int(1..=3)).unwrap();
            let at = |i: usize, column: usize| if transposed { b[column * k + i] } else { b[i * n + column] };
            let want: Vec<f32> = (0..m * n)
                .map(|o| {
                    let terms = (0..k).map(|i| f64::from(a[o / n * k + i]) * f64::from(at(i, o % n)));
                    (terms.sum::<f64>() as f32 + bias[o % n]).max(0.0)
                })
                .collect();
            assert_close(&format!("{isa:?} {m} x {k} x {n}"), &got, &want, 1e-5);
        }
    }
}
