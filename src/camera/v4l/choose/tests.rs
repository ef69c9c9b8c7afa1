use super::*;
use crate::random::Random;

fn mode(code: &[u8; 4], size: [u32; 2], fps: &[u32]) -> Mode {
    let interval = |fps: &u32| Interval { numerator: 1, denominator: *fps };
    Mode { fourcc: *code, size, rates: Rates::Some(fps.iter().map(interval).collect()) }
}

/// What a common USB camera says of itself.
fn webcam() -> Vec<Mode> {
    vec![
        mode(b"YUYV", [640, 480], &[30, 15, 5]),
        mode(b"YUYV", [1280, 720], &[10, 5]),
        mode(b"YUYV", [1920, 1080], &[5]),
        mode(b"MJPG", [640, 480], &[30, 15]),
        mode(b"MJPG", [1280, 720], &[60, 30, 15]),
        mode(b"MJPG", [1920, 1080], &[30, 15]),
        mode(b"MJPG", [3840, 2160], &[30]),
        mode(b"H264", [1920, 1080], &[30]),
    ]
}

fn wish(format: Option<CaptureFormat>, size: Option<[u32; 2]>, fps: Option<f32>) -> Capture {
    Capture { format, size, fps, ..Capture::default() }
}

fn chosen(modes: &[Mode], wish: &Capture) -> (String, [u32; 2], f64) {
    let choice = choose(modes, wish).unwrap();
    let fps = choice.interval.map_or(0.0, Interval::fps);
    (String::from_utf8(choice.fourcc.to_vec()).unwrap(), choice.size, (fps * 100.0).round() / 100.0)
}

#[test]
fn left_open_it_is_the_most_that_comes_fluently() {
    let mjpg = |size, fps| ("MJPG".to_owned(), size, fps);
    let webcam = webcam();
    assert_eq!(chosen(&webcam, &wish(None, None, None)), mjpg([1920, 1080], 30.0));
    // Who needs 5 pictures a second can have them uncompressed.
    assert_eq!(chosen(&webcam, &wish(None, None, Some(5.0))), ("YUYV".to_owned(), [1920, 1080], 5.0));
    assert_eq!(chosen(&webcam, &wish(None, None, Some(10.0))), mjpg([1920, 1080], 15.0));
    assert_eq!(chosen(&webcam, &wish(None, None, Some(60.0))), mjpg([1280, 720], 60.0));
    // Nothing comes at that rate: what comes nearest.
    assert_eq!(chosen(&webcam, &wish(None, None, Some(200.0))), mjpg([1280, 720], 60.0));
}

#[test]
fn what_is_asked_for_is_taken() {
    let webcam = webcam();
    let yuyv = Some(CaptureFormat::Yuyv);
    assert_eq!(chosen(&webcam, &wish(yuyv, None, None)), ("YUYV".to_owned(), [640, 480], 30.0));
    assert_eq!(chosen(&webcam, &wish(yuyv, Some([1280, 720]), None)), ("YUYV".to_owned(), [1280, 720], 10.0));
    assert_eq!(chosen(&webcam, &wish(None, Some([640, 480]), Some(20.0))), ("YUYV".to_owned(), [640, 480], 30.0));
    assert_eq!(chosen(&webcam, &wish(None, Some([3840, 2160]), None)), ("MJPG".to_owned(), [3840, 2160], 30.0));
}

#[test]
fn what_a_device_has_not_is_said_with_what_it_has() {
    let webcam = webcam();
    let error = |modes: &[Mode], wish: &Capture| choose(modes, wish).unwrap_err();
    assert_eq!(
        error(&webcam, &wish(Some(CaptureFormat::Grey), None, None)),
        "it does not give the format grey (it has yuyv, mjpg)"
    );
    assert_eq!(
        error(&webcam, &wish(Some(CaptureFormat::Yuyv), Some([800, 600]), None)),
        "it does not give pictures of 800x600 pixels (it has 640x480, 1280x720, 1920x1080)"
    );
    let coded = [mode(b"H264", [640, 480], &[30]), mode(b"Y16\xa0", [640, 480], &[30])];
    assert_eq!(error(&coded, &Capture::default()), "it gives no format that is understood (it has H264, Y16-BE)");
    assert_eq!(error(&[], &Capture::default()), "it gives no format that is understood (it has none)");
}

#[test]
fn ntsc_is_thirty_and_pal_is_fluent() {
    let ntsc = |code: &[u8; 4]| Mode {
        fourcc: *code,
        size: [720, 480],
        rates: Rates::Some(vec![
            Interval { numerator: 1001, denominator: 30000 },
            Interval { numerator: 1, denominator: 60 },
        ]),
    };
    assert_eq!(chosen(&[ntsc(b"YUYV")], &wish(None, None, Some(30.0))).2, 29.97);
    assert_eq!(chosen(&[ntsc(b"YUYV")], &wish(None, None, None)).2, 29.97);
    let pal = mode(b"NV12", [720, 576], &[25]);
    assert_eq!(chosen(&[mode(b"NV12", [320, 240], &[30]), pal], &wish(None, None, None)).1, [720, 576]);
}

#[test]
fn a_device_that_can_be_set_to_anything_is_set_to_something_common() {
    let all = Sizes::Range { least: [16, 16], most: [4096, 4096], step: [2, 2] };
    assert_eq!(all.candidates(None)[0], [1920, 1080]);
    assert_eq!(all.candidates(Some([1000, 1000]))[0], [1000, 1000]);
    assert!(!all.has([1001, 1000]) && !all.has([8000, 1000]) && !all.has([0, 0]));
    let odd = Sizes::Range { least: [2448, 2048], most: [2448, 2048], step: [0, 0] };
    assert_eq!(odd.candidates(None), [[2448, 2048]; 2]);

    let free = |size| Mode { fourcc: *b"GREY", size, rates: Rates::Range(1.0, 60.0) };
    let modes: Vec<_> = all.candidates(None).into_iter().map(free).collect();
    assert_eq!(chosen(&modes, &wish(None, None, None)), ("GREY".to_owned(), [1920, 1080], 30.0));
    assert_eq!(chosen(&modes, &wish(None, None, Some(12.5))).2, 12.5);
    assert_eq!(chosen(&modes, &wish(None, None, Some(100.0))).2, 60.0);
}

#[test]
fn colour_is_preferred_to_grey_and_pixels_to_be_read_to_ones_to_be_decoded() {
    let all = [b"GREY", b"MJPG", b"RGGB", b"YUYV", b"NV12"].map(|code| mode(code, [640, 480], &[30]));
    let order: Vec<_> = (1..=5).rev().map(|n| chosen(&all[..n], &Capture::default()).0).collect();
    assert_eq!(order, ["NV12", "YUYV", "RGGB", "MJPG", "GREY"]);
}

/// Whatever a driver claims, something is chosen that it claimed, or refused in words; and never a panic.
#[test]
fn hostile_claims_never_panic() {
    let mut numbers = Random(5);
    let mut random = |below: usize| numbers.below(below);
    const NUMBERS: [u32; 9] = [0, 1, 2, 639, 640, 1080, 16_384, 65_536, u32::MAX];
    let mut taken = 0;
    for _ in 0..20_000 {
        let mut pick = || NUMBERS[random(NUMBERS.len())];
        let sizes = Sizes::Range { least: [pick(), pick()], most: [pick(), pick()], step: [pick(), pick()] };
        let rates = [
            Rates::Some(vec![Interval { numerator: pick(), denominator: pick() }]),
            Rates::Range(f64::from(pick()), f64::from(pick())),
            Rates::Unknown,
        ];
        let wanted = [None, Some([640, 480])][random(2)];
        let fourcc = [*b"YUYV", *b"GREY", *b"MJPG", [0xFF; 4]][random(4)];
        let modes: Vec<_> = sizes
            .candidates(wanted)
            .into_iter()
            .map(|size| Mode { fourcc, size, rates: rates[random(3)].clone() })
            .collect();
        let fps = [None, Some(0.1), Some(30.0), Some(1000.0)][random(4)];
        if let Ok(choice) = choose(&modes, &wish(None, wanted, fps)) {
            assert!(modes.iter().any(|mode| (mode.fourcc, mode.size) == (choice.fourcc, choice.size)));
            assert!(choice.interval.is_none_or(|interval| interval.fps() > 0.0), "{choice:?}");
            taken += 1;
        }
    }
    assert!(taken > 100, "{taken}");
}
