//! Grids of experiments and the comparison of their methods, on phantoms of 4 mm with networks of 2 filters.

use crate::experiment::{arguments, definition, read};
use crate::program::{Ended, Program, signalled};
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Longest time until something happens that must.
const PATIENCE: Duration = Duration::from_secs(120);

const METHODS: [&str; 2] = ["supervised-ensemble", "dual-networks"];

/// A grid of two methods and two seeds, of runs long enough to be stopped.
const GRID: [&str; 10] = [
    "--methods",
    "supervised-ensemble,dual-networks",
    "--seeds",
    "2",
    "--jobs",
    "2",
    "--set",
    "training.iterations=40",
    "--set",
    "training.checkpoint_every=5",
];

fn grid(program: &Program, more: &[&str]) -> Ended {
    program.run(&arguments(&definition("la-8pct"), "grid", &[&GRID[..], more].concat()))
}

fn wait_until(happens: impl Fn() -> bool) {
    let started = Instant::now();
    while !happens() {
        assert!(started.elapsed() < PATIENCE, "nothing happens");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Starts the grid, and gives it back once the run `of` has logged so many lines.
fn working(program: &Program, of: &str, lines: usize) -> Child {
    let child = program
        .command(&arguments(&definition("la-8pct"), "grid", &GRID))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tandem starts");
    let log = program.path("grid").join(of).join("log.jsonl");
    wait_until(|| std::fs::read_to_string(&log).is_ok_and(|text| text.lines().count() >= lines));
    child
}

#[test]
fn a_grid_that_is_killed_and_stopped_goes_on_and_its_comparison_is_that_of_its_scores() {
    let program = Program::with_phantoms();
    let mut killed = working(&program, "dual-networks-s1", 8);
    grid(&program, &[]).refused(&["grid: is in use by process"]);
    killed.kill().expect("a process");
    killed.wait().expect("a process");
    // Its runs notice, and stop after a checkpoint.
    let log = program.path("grid/logs/dual-networks-s1.txt");
    wait_until(|| read(log.clone()).contains("to go on: experiment --resume"));

    let stopped = Ended::from(signalled(working(&program, "dual-networks-s2", 4), "INT"));
    assert_eq!(stopped.code, Some(130), "{stopped:#?}");
    assert!(stopped.stdout.contains("To go on, give the same command again"), "{stopped:#?}");
    assert!(!program.path("grid/comparison.md").exists());

    let ended = grid(&program, &[]).succeeded();
    assert!(ended.stdout.contains("goes on      dual-networks-s2"), "{ended:#?}");
    assert!(ended.stdout.contains("dual-networks-s2 is done in "), "{ended:#?}");
    let whole = ["--method", "dual-networks", "--seed", "2"];
    let whole = [&whole[..], &GRID[6..]].concat();
    program.run(&arguments(&definition("la-8pct"), "whole", &whole)).succeeded();
    for file in ["metrics.csv", "log.jsonl"] {
        assert_eq!(
            read(program.path("grid/dual-networks-s2").join(file)),
            read(program.path("whole").join(file))
        );
    }

    let began = read(log.clone());
    let again = grid(&program, &[]).succeeded();
    assert!(again.stdout.contains("4 runs: 4 are done, 0 go on, 0 begin"), "{again:#?}");
    assert_eq!(read(log), began);
    grid(&program, &["--set", "training.learning_rate=0.02"])
        .refused(&["grid/supervised-ensemble-s1: training.learning_rate is 0.02 here and 0.01 in the run"]);
    grid(&program, &["--set", "training.seed=3"]).refused(&["in a grid training.seed is given by --seeds"]);
    program.run(&["compare", "grid", "--control", "mcf"]).refused(&["the control mcf is none of the grid's"]);
    program.run(&["compare", "whole"]).refused(&["whole is no grid"]);
    program
        .run(&["experiment", "--resume", "grid"])
        .refused(&["grid is no run folder (it is a grid, which goes on by"]);

    let before = read(program.path("grid/comparison.json"));
    program.run(&["compare", "grid"]).succeeded();
    assert_eq!(read(program.path("grid/comparison.json")), before);
    check_comparison(&program.path("grid"));
}

/// The values of a column of `metrics.csv` on the scans' own grids, by case.
fn values(run: &Path, component: &str, predictor: &str, column: &str) -> Vec<(String, Option<f64>)> {
    let text = read(run.join("metrics.csv"));
    let headings: Vec<&str> = text.lines().next().expect("headings").split(',').collect();
    let cell = |line: &str, heading: &str| {
        let at = headings.iter().position(|known| *known == heading).expect("a column");
        line.split(',').nth(at).expect("a cell").to_owned()
    };
    let wanted = |line: &&str| {
        cell(line, "component") == component
            && cell(line, "predictor") == predictor
            && cell(line, "grid") == "own"
    };
    let value = |line: &str| (cell(line, "case"), cell(line, column).parse().ok());
    text.lines().skip(1).filter(wanted).map(value).collect()
}

fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.into_iter().collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn assert_same(found: &Value, expected: Option<f64>, what: &str) {
    let near = match (found.as_f64(), expected) {
        (None, None) => true,
        (Some(found), Some(expected)) => (found - expected).abs() < 1e-12,
        _ => false,
    };
    assert!(near, "{what}: {found} in the comparison, {expected:?} by hand");
}

/// Means, SDs and differences of a grid by hand, from its runs' scores.
fn check_comparison(grid: &Path) {
    let comparison: Value = serde_json::from_str(&read(grid.join("comparison.json"))).expect("JSON");
    let lines = comparison["lines"].as_array().expect("lines");
    let mut checked = 0;
    for (component, predictor, metric, unit) in [
        ("all", "ensemble", "dice", ""),
        ("largest", "ensemble", "dice", ""),
        ("all", "vnet", "hd95", "mm"),
        ("all", "ensemble", "hd95", "voxels"),
    ] {
        let column = if unit.is_empty() { metric.to_owned() } else { format!("{metric}_{unit}") };
        let of = |method: &str| {
            [1, 2].map(|seed| values(&grid.join(format!("{method}-s{seed}")), component, predictor, &column))
        };
        let [control, other] = METHODS.map(of);
        for (method, runs) in METHODS.iter().zip([&control, &other]) {
            let line = lines.iter().find(|line| {
                let is = |field: &str, value: &str| line[field] == value;
                is("grid", "own")
                    && is("component", component)
                    && is("predictor", predictor)
                    && is("method", method)
                    && is("metric", metric)
                    && is("unit", unit)
            });
            let line = line.unwrap_or_else(|| panic!("no line of {method} {component} {predictor} {column}"));
            let of_runs: Vec<f64> =
                runs.iter().filter_map(|run| mean(run.iter().filter_map(|(_, value)| *value))).collect();
            assert_same(&line["mean"], mean(of_runs.iter().copied()), "mean");
            let sd = (of_runs.len() == 2).then(|| (of_runs[0] - of_runs[1]).abs() / 2f64.sqrt());
            assert_same(&line["sd"], sd, "sd");
            let undefined = runs.iter().flatten().filter(|(_, value)| value.is_none()).count();
            assert_eq!(line["undefined"], undefined);
            checked += 1;
            let found = &line["against"];
            if *method == METHODS[0] {
                assert!(found.is_null());
                continue;
            }
            // Of each case the mean over seeds of what the method has more than the control.
            let cases = control[0].iter().map(|(case, _)| case);
            let differences: Vec<f64> = cases
                .filter_map(|case| {
                    let of = |run: &[(String, Option<f64>)]| {
                        run.iter().find(|(id, _)| id == case).and_then(|(_, v)| *v)
                    };
                    mean([0, 1].into_iter().filter_map(|seed| Some(of(&other[seed])? - of(&control[seed])?)))
                })
                .collect();
            assert_same(&found["difference"], mean(differences.iter().copied()), "difference");
            assert_eq!(found["cases"], differences.len());
            assert_eq!(found["cases"].as_u64().unwrap() + found["cases_left_out"].as_u64().unwrap(), 2);
            // Two cases: one half where both differ to one side, else nothing.
            let signs: Vec<f64> = differences.iter().filter(|d| **d != 0.0).map(|d| d.signum()).collect();
            let p = match signs.as_slice() {
                [] => None,
                [a, b] if a == b => Some(0.5),
                _ => Some(1.0),
            };
            assert_same(&found["p"], p, "p");
            assert_same(&found["p_holm"], p, "p (Holm)");
        }
    }
    assert_eq!(checked, 8);
    let csv = read(grid.join("comparison.csv"));
    assert_eq!(csv.lines().count(), 1 + lines.len());
    for (file, words) in [
        (
            "comparison.md",
            ["## 2 labelled scans, on the scans' own grids", "ensemble (largest) | dual-networks"],
        ),
        ("comparison.tex", ["\\toprule", "Dice (\\%)"]),
    ] {
        let text = read(grid.join(file));
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    }
}

#[test]
fn a_run_that_fails_is_shown_with_its_reason_and_the_grid_goes_on() {
    let program = Program::with_phantoms();
    std::fs::copy(definition("la-8pct"), program.path("la-8pct.toml")).unwrap();
    let text = "extends = \"la-8pct\"\nname = \"small\"\n[grid]\nmethods = [\"broken\", \"supervised-ensemble\"]\n\
                [variants.broken]\nmethod = { name = \"dual-networks\", options = { conflict_weight = 1e300 } }\n";
    std::fs::write(program.path("small.toml"), text).unwrap();
    let run = || program.run(&arguments("small.toml", "grid", &[]));
    for left in ["0 are done", "1 are done"] {
        let ended = run();
        assert_eq!(ended.code, Some(1), "{ended:#?}");
        assert!(ended.stdout.contains(left), "{ended:#?}");
        assert!(ended.stdout.contains("broken-s1337 FAILED: "), "{ended:#?}");
        assert!(ended.stderr.contains("error: 1 of 2 runs failed (see grid/logs)"), "{ended:#?}");
    }
    let log = read(program.path("grid/logs/broken-s1337.txt"));
    let reason = log.lines().last().unwrap().strip_prefix("error: ").unwrap();
    let page = read(program.path("grid/comparison.md"));
    assert!(page.contains(&format!("**broken-s1337 failed**: {reason}")), "{page}");
    assert!(reason.contains("not finite"), "{reason}");
    // A variant is run alone like a method.
    let ended = program.run(&arguments("small.toml", "alone", &["--method", "broken"]));
    assert_eq!(ended.code, Some(1));
    assert!(program.path("alone/config.json").exists());
}

#[test]
fn the_labelling_effort_ends_in_a_picture_and_methods_without_unlabelled_scans_are_left_out() {
    let program = Program::with_phantoms();
    let set = ["--set", "training.iterations=1"];
    let more = [
        &["--methods", "supervised-ensemble,dual-networks", "--labelled", "2,5", "--labelled-sets", "1"],
        &set[..],
    ];
    let definition = definition("la-8pct");
    let mut arguments = arguments(&definition, "grid", &[]);
    // The axis takes the place of the setting.
    let at = arguments.iter().position(|argument| *argument == "data.labelled=2").unwrap();
    arguments.drain(at - 1..=at);
    arguments.extend(more.concat());
    let ended = program.run(&arguments).succeeded();
    let left_out = "dual-networks-s1337-set1-k5 is left out: 0 scans are unlabelled, and its batches need 2";
    assert!(ended.stdout.contains(left_out), "{ended:#?}");
    assert!(program.path("grid/supervised-ensemble-s1337-set1-k5/summary.json").exists());
    let picture = read(program.path("grid/effort.svg"));
    assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"), "{picture}");
    assert!(
        picture.contains(">labelled scans</text>") && picture.matches("<polyline").count() == 4,
        "{picture}"
    );
    assert!(read(program.path("grid/comparison.md")).contains("## Labelling effort"));
}
