use super::*;

fn control(id: Cid, name: &str, kind: Kind, range: (i64, i64)) -> Control {
    Control { id, name: plain(name), kind, least: range.0, most: range.1, default: range.0, fixed: false }
}

/// Controls as a common USB camera has them.
fn webcam() -> Vec<Control> {
    let menu = |choices: &[(i64, &str)]| Kind::Menu(choices.iter().map(|(n, c)| (*n, (*c).to_owned())).collect());
    let mut temperature = control(Cid::HUE_AUTO, "Sensor Temperature", Kind::Number, (0, 100));
    temperature.fixed = true;
    vec![
        control(Cid::BRIGHTNESS, "Brightness", Kind::Number, (-64, 64)),
        control(Cid::AUTO_WHITE_BALANCE, "White Balance, Automatic", Kind::Flag, (0, 1)),
        control(
            Cid::POWER_LINE_FREQUENCY,
            "Power Line Frequency",
            menu(&[(0, "Disabled"), (1, "50 Hz"), (2, "60 Hz")]),
            (0, 2),
        ),
        control(Cid::WHITE_BALANCE_TEMPERATURE, "White Balance Temperature", Kind::Number, (2800, 6500)),
        control(Cid::GAIN, "Gain", Kind::Number, (0, 255)),
        control(
            Cid::EXPOSURE_AUTO,
            "Auto Exposure",
            menu(&[(1, "Manual Mode"), (3, "Aperture Priority Mode")]),
            (0, 3),
        ),
        control(Cid::EXPOSURE_ABSOLUTE, "Exposure Time, Absolute", Kind::Number, (3, 2047)),
        control(Cid::FOCUS_ABSOLUTE, "Focus, Absolute", Kind::Number, (0, 250)),
        control(Cid::FOCUS_AUTO, "Focus, Automatic Continuous", Kind::Flag, (0, 1)),
        temperature,
    ]
}

fn number(n: f64) -> ControlValue {
    ControlValue::Number(n)
}

fn text(t: &str) -> ControlValue {
    ControlValue::Text(t.to_owned())
}

fn planned(wanted: &[(&str, ControlValue)]) -> Result<Vec<(String, i64)>, String> {
    let wanted = wanted.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let known = webcam();
    let settings = plan(&known, &wanted)?;
    Ok(settings.into_iter().map(|setting| (setting.control.name.clone(), setting.value)).collect())
}

fn pairs(wanted: &[(&str, i64)]) -> Vec<(String, i64)> {
    wanted.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
}

#[test]
fn names_are_those_that_v4l2_ctl_shows() {
    assert_eq!(plain("Exposure Time, Absolute"), "exposure_time_absolute");
    assert_eq!(plain("  LED1 (Mode) "), "led1_mode");
}

#[test]
fn a_number_switches_the_automatism_off_first() {
    let wanted = [("exposure", number(5000.0)), ("focus", number(30.0)), ("gain", number(20.0))];
    let set = [
        ("auto_exposure", 1),
        ("focus_automatic_continuous", 0),
        ("exposure_time_absolute", 50),
        ("focus_absolute", 30),
        ("gain", 20),
    ];
    assert_eq!(planned(&wanted), Ok(pairs(&set)));
}

#[test]
fn auto_switches_it_on() {
    let wanted = [("exposure", text("auto")), ("focus", text("auto"))];
    assert_eq!(planned(&wanted), Ok(pairs(&[("auto_exposure", 3), ("focus_automatic_continuous", 1)])));
    assert_eq!(planned(&[("gain", text("auto"))]), Err("it has no automatic gain".to_owned()));
}

#[test]
fn any_control_goes_by_its_name_and_choices_by_theirs() {
    let wanted = [
        ("brightness", number(-10.0)),
        ("power_line_frequency", text("50 hz")),
        ("white_balance_automatic", ControlValue::Flag(false)),
        ("white_balance_temperature", number(4000.0)),
    ];
    let set = [
        ("power_line_frequency", 1),
        ("white_balance_automatic", 0),
        ("brightness", -10),
        ("white_balance_temperature", 4000),
    ];
    assert_eq!(planned(&wanted), Ok(pairs(&set)));
    assert_eq!(planned(&[("power_line_frequency", number(2.0))]), Ok(pairs(&[("power_line_frequency", 2)])));
}

/// One control is not described by the crate: its driver says what it takes when it is set.
#[test]
fn a_number_without_known_limits_is_the_driver_s_to_refuse() {
    let limits = (i64::from(i32::MIN), i64::from(i32::MAX));
    let known = [control(Cid::BRIGHTNESS, "Brightness", Kind::Unlimited, limits)];
    let planned = |value| plan(&known, &[("brightness".to_owned(), value)].into()).map(|set| set[0].value);
    assert_eq!(planned(number(300.0)), Ok(300));
    for (value, shown) in [(number(0.5), "0.5"), (number(1e10), "10000000000"), (text("auto"), "\"auto\"")] {
        let wanted = format!("its control `brightness` can't be {shown}: it is a whole number");
        assert_eq!(planned(value), Err(wanted));
    }
}

#[test]
fn what_does_not_fit_is_said_with_what_does() {
    for (name, value, wanted) in [
        ("brightness", number(65.0), "its control `brightness` can't be 65: it is -64 to 64"),
        ("brightness", number(0.5), "its control `brightness` can't be 0.5: it is -64 to 64"),
        ("brightness", number(f64::NAN), "its control `brightness` can't be NaN: it is -64 to 64"),
        ("brightness", text("auto"), "its control `brightness` can't be \"auto\": it is -64 to 64"),
        (
            "power_line_frequency",
            number(7.0),
            "its control `power_line_frequency` can't be 7: it is \"Disabled\", \"50 Hz\", \"60 Hz\"",
        ),
        (
            "white_balance_automatic",
            number(2.0),
            "its control `white_balance_automatic` can't be 2: it is true or false",
        ),
        ("exposure", number(1e9), "its exposure is from 300 to 204700 µs, not 1000000000"),
        ("exposure", text("bright"), "its control `exposure_time_absolute` can't be \"bright\": it is 3 to 2047"),
        ("sensor_temperature", number(1.0), "its control `sensor_temperature` can't be set"),
        ("brightnes", number(1.0), "it has no control `brightnes`: did you mean `brightness`?"),
    ] {
        assert_eq!(planned(&[(name, value)]), Err(wanted.to_owned()));
    }
    let unlike = planned(&[("zoom", number(1.0))]).unwrap_err();
    assert!(unlike.starts_with("it has no control `zoom` (it has brightness, "), "{unlike}");
    assert!(!unlike.contains("temperature)"), "{unlike}");
    let none = plan(&[], &[("gain".to_owned(), number(1.0))].into()).unwrap_err();
    assert_eq!(none, "it has no control `gain`, nor any other");
}
