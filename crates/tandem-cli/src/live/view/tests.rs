use super::*;
use std::time::{Duration, Instant};

fn status() -> Status {
    let start = Instant::now();
    let mut status = Status::new(start);
    status.iterations = 1000;
    status.done = 342;
    status.pace.stepped(start + Duration::from_millis(400));
    status.losses = vec![("vnet".to_owned(), 0.4123), ("resnet34".to_owned(), 0.398)];
    status.loss_course = (0..342).map(|step| 1.0 / f64::from(step + 1)).collect();
    let terms = [
        ("vnet/ce", Some(0.2)),
        ("vnet/dice", Some(0.35)),
        ("resnet34/ce", Some(0.21)),
        ("resnet34/dice", Some(0.3)),
        ("l_reg", Some(0.0002)),
        ("l_c/pull", None),
        ("l_c/push", Some(12.25)),
        ("lambda", Some(0.1)),
    ];
    status.terms = terms.map(|(name, value)| (name.to_owned(), value)).into();
    status.learning_rate = Some(0.01);
    status.validations = vec![(100, Some(0.5)), (200, Some(0.8502)), (300, Some(0.8421))];
    status
}

const MOMENT: Moment =
    Moment { elapsed: 150.0, left: Some(285.0), memory: [Some(6335076762), Some(6871947673)] };

fn drawn(status: &Status, width: usize, unicode: bool) -> String {
    let look = Look { width, height: 24, unicode, colours: false };
    let lines: Vec<String> = lines(status, MOMENT, look).iter().map(Line::text).collect();
    for line in &lines {
        assert!(line.chars().count() < width, "{line:?} is too long for {width}");
    }
    lines.join("\n")
}

#[test]
fn a_terminal_of_80_shows_everything() {
    let expected = "
training   ━━━━━━━━━━━━━────────────────────────  342/1000  4m 45s left  2.50/s
Dice       84.21 % at 300, best 85.02 % at 200  ▁██
loss       vnet 0.412  resnet34 0.398  █▂▂▂▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁
terms      vnet/ce 0.200  vnet/dice 0.350  resnet34/ce 0.210
           resnet34/dice 0.300  l_reg 2.0e-4  l_c/pull -  l_c/push 12.2  +1
memory     5.9 GiB, at most 6.4 GiB  2m 30s passed  learning rate 0.01";
    assert_eq!(drawn(&status(), 80, true), expected.trim_start());
}

#[test]
fn a_narrow_terminal_shows_what_matters_most() {
    let expected = "
training   ==---  342/1000  4m 45s left
Dice       84.21 % at 300
loss       vnet 0.412  resnet34 0.398
terms      vnet/ce 0.200
           vnet/dice 0.350  +6
memory     5.9 GiB, at most 6.4 GiB";
    assert_eq!(drawn(&status(), 40, false), expected.trim_start());
}

#[test]
fn a_wide_terminal_has_room_for_all_terms() {
    let wide = drawn(&status(), 120, true);
    assert!(wide.contains("lambda 0.100") && !wide.contains("+1"), "{wide}");
}

#[test]
fn a_validation_has_a_line_of_its_own_and_leaves_the_others_where_they_are() {
    let mut status = status();
    let before = drawn(&status, 80, false);
    let windows = [6, 12];
    status.doing = Doing::Validating { case: "scan-07".to_owned(), cases: [4, 16], windows };
    let lines: Vec<String> = drawn(&status, 80, false).lines().map(str::to_owned).collect();
    assert!(lines[1].starts_with("validating ===") && lines[1].ends_with("4/16 scans  scan-07"), "{lines:?}");
    let others: Vec<&str> =
        lines.iter().enumerate().filter(|(at, _)| *at != 1).map(|(_, line)| line.as_str()).collect();
    assert_eq!(others.join("\n"), before);
    assert_eq!(line(&status, MOMENT), "validating 4/16  scan-07: window 6 of 12");
}

#[test]
fn a_run_that_begins_says_what_is_not_known_yet() {
    let mut status = Status::new(Instant::now());
    status.iterations = 10;
    let moment = Moment { elapsed: 1.0, ..Moment::default() };
    let look = Look { width: 60, height: 24, unicode: false, colours: false };
    let text: Vec<String> = lines(&status, moment, look).iter().map(Line::text).collect();
    assert_eq!(
        text,
        [
            "training   ----------------------------------  0/10  ? left",
            "Dice       no validation yet",
            "time       1s passed"
        ]
    );
    status.doing = Doing::Resampling([3, 12]);
    status.skipped = 1;
    assert_eq!(line(&status, moment), "resampling 3/12");
    assert_eq!(lines(&status, moment, look).len(), 1);
}

#[test]
fn a_line_where_there_is_no_terminal_has_rate_rest_losses_and_memory() {
    let expected = "training 342/1000  2.50/s  4m 45s left  vnet 0.412  resnet34 0.398  5.9 GiB";
    assert_eq!(line(&status(), MOMENT), expected);
}

#[test]
fn no_width_is_too_small() {
    let mut status = status();
    status.skipped = 2;
    for width in 40..200 {
        drawn(&status, width, true);
    }
}
