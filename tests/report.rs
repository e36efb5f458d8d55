//! `tandem report`, and the report that every run ends with.

use crate::experiment::{read, run};
use crate::program::Program;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is not allowed to happen in a report that opens from a disk: that it asks somebody for something.
fn asks_nobody(html: &str) {
    for attribute in [" src=\"", " href=\"", "url("] {
        let asks = html.split(attribute).skip(1).find(|rest| {
            !rest.starts_with("data:") && !rest.starts_with('#') && !rest.starts_with("http://www.w3.org")
        });
        assert!(
            asks.is_none(),
            "{attribute}{}",
            &asks.unwrap_or_default()[..60.min(asks.unwrap_or_default().len())]
        );
    }
    assert!(html.contains("default-src 'none'"));
}

#[test]
fn a_run_ends_with_a_report_of_all_that_it_did() {
    let program = Program::with_phantoms();
    let ended = run(&program, "run", &["--set", "training.validate_every=2"]).succeeded();
    assert!(ended.stdout.contains("run: report.html, "), "{ended:#?}");
    let html = read(program.path("run/report.html"));
    asks_nobody(&html);
    assert!(html.len() < 15_000_000, "{}", html.len());
    // Every term of the loss, and the validations.
    let log = read(program.path("run/log.jsonl"));
    let step: serde_json::Value = serde_json::from_str(log.lines().nth(1).unwrap()).unwrap();
    let terms = step["terms"].as_object().unwrap();
    assert!(terms.len() > 5, "{step}");
    for term in terms.keys() {
        let last = term.split_once('/').map_or(term.as_str(), |(network, last)| {
            if ["vnet", "resnet34"].contains(&network) { last } else { term }
        });
        let shown = [
            format!("Loss term {last}"),
            format!("Term {last}"),
            format!(">{last}<"),
            "Reliable voxels".to_owned(),
        ];
        assert!(shown.iter().any(|shown| html.contains(shown)), "no curve of {term}");
    }
    assert!(html.contains("Validation Dice (%) by steps. vnet: at last"), "no curve of validations");
    // Both cases, each with three slices, and both in the viewer with their uncertainty.
    for (at, case) in ["phantom-005", "phantom-006"].into_iter().enumerate() {
        assert!(html.contains(&format!("{case}: axial slice ")), "{case}");
        assert!(html.contains(&format!("id=\"viewer-case-{at}\"")), "{case}");
    }
    assert_eq!(html.matches("<figure class=\"slice\">").count(), 6);
    assert_eq!(html.matches("\"kind\":\"uncertainty\"").count(), 2);
    assert!(html.contains("expected calibration error"));
    // It says the same again, but for its time, and the folder is still as a run leaves it.
    program.run(&["report", "run", "-o", "again.html"]).succeeded();
    let body = |html: &str| html.split("<footer>").next().unwrap().to_owned();
    assert!(body(&read(program.path("again.html"))) == body(&html));
    program.run(&["verify", "run"]).succeeded();

    let small = program.run(&["report", "run", "--viewer", "none", "-o", "small.html"]).succeeded();
    assert!(small.stdout.contains("small.html: "), "{small:#?}");
    let small = read(program.path("small.html"));
    assert!(!small.contains("viewer-canvas\"") && small.len() < 700_000, "{}", small.len());
    program
        .run(&["report", "run", "--viewer", "phantom-000", "-o", "none.html"])
        .refused(&["--viewer: phantom-000 is none of the scored cases (phantom-00"]);
    program.run(&["report", "data"]).refused(&["data is no run folder", "run.json"]);
    opens_in_a_browser(&program.path("run/report.html"));
}

#[test]
fn what_is_missing_or_cut_is_said_and_the_rest_is_shown() {
    let program = Program::with_phantoms();
    run(&program, "run", &[]).succeeded();
    let path = |file: &str| program.path("run").join(file);
    let report = || {
        program.run(&["report", "run"]).succeeded();
        read(path("report.html"))
    };
    let whole = report();
    assert!(
        whole.contains("validated at its end only") && !whole.contains("class=\"warning\""),
        "{}",
        warnings(&whole)
    );

    // A prediction and the maps of uncertainty of a version that wrote none.
    fs::remove_file(path("predictions/phantom-005.nii.gz")).unwrap();
    fs::remove_dir_all(path("uncertainty")).unwrap();
    let html = report();
    assert!(html.contains("predictions/phantom-005.nii.gz is not there"), "{}", warnings(&html));
    assert_eq!(html.matches("<figure class=\"slice\">").count(), 3);
    assert!(!html.contains("\"kind\":\"uncertainty\""));

    // A log that ends in the middle of a line, before its validation.
    let log = read(path("log.jsonl"));
    let cut = log.find("{\"step\":3").unwrap() + 20;
    fs::write(path("log.jsonl"), &log[..cut]).unwrap();
    let html = report();
    assert!(html.contains("1 of its lines cannot be read, the first is line 5"), "{}", warnings(&html));
    assert!(html.contains("log.jsonl has 3 of 5 steps"), "{}", warnings(&html));
    assert!(html.contains("no validation") && html.contains("Loss term ce"));

    // Other scans in the place of the run's.
    let manifest = program.path("data/prepared/phantom/manifest.json");
    fs::write(&manifest, read(manifest.clone()) + "\n").unwrap();
    assert!(report().contains("There are no pictures: other scans were prepared in "));
    fs::rename(program.path("data"), program.path("gone")).unwrap();
    assert!(report().contains("There are no pictures: the scans are not at "));

    for file in ["metrics.csv", "config.json", "provenance.json", "log.jsonl"] {
        fs::remove_file(path(file)).unwrap();
    }
    let html = report();
    for file in ["metrics.csv", "config.json", "provenance.json", "log.jsonl"] {
        assert!(html.contains(&format!("run/{file} is not there")), "{}", warnings(&html));
    }
    asks_nobody(&html);
}

fn warnings(html: &str) -> String {
    let warnings = html.split("<p class=\"warning\">").skip(1).filter_map(|rest| rest.split("</p>").next());
    warnings.collect::<Vec<_>>().join("\n")
}

#[test]
fn runs_are_compared_with_the_first() {
    let program = Program::with_phantoms();
    run(&program, "runs/one", &[]).succeeded();
    run(&program, "runs/two", &["--method", "mcf", "--seed", "7"]).succeeded();
    let ended = program.run(&["report", "runs/one", "runs/two"]).succeeded();
    assert!(ended.stdout.starts_with("runs/report.html: "), "{ended:#?}");
    let html = read(program.path("runs/report.html"));
    asks_nobody(&html);
    assert!(html.contains("two runs compared") && html.contains("Less the first"));
    // The difference of the means is that of the scores.
    let mean = |run: &str| -> f64 {
        let summary: serde_json::Value =
            serde_json::from_str(&read(program.path(run).join("summary.json"))).unwrap();
        let is = |row: &&serde_json::Value| {
            row["grid"] == "own"
                && row["component"] == "all"
                && row["predictor"] == "ensemble"
                && row["metric"] == "dice"
        };
        100.0 * summary["scores"].as_array().unwrap().iter().find(is).unwrap()["mean"].as_f64().unwrap()
    };
    let (one, two) = (mean("runs/one"), mean("runs/two"));
    for text in [format!(">{one:.2}<"), format!(">{two:.2}<"), format!(">{:+.2}<", two - one)] {
        assert!(html.contains(&text), "no {text}");
    }
    // Outlines of both in every slice; settings that differ.
    assert_eq!(html.matches("<figure class=\"slice\">").count(), 6);
    assert_eq!(html.matches("class=\"outline prediction further").count(), 6 + 1);
    assert!(html.contains("training.seed") && html.contains("method.name"));
    // The same folder twice is told apart.
    program.run(&["report", "runs/one", "runs/one", "-o", "twice.html"]).succeeded();
    assert!(read(program.path("twice.html")).contains("runs/one (2)"));
}

#[test]
fn names_from_data_are_text_and_nothing_else() {
    const HOSTILE: &str = "<img src=x onerror=alert(1)>";
    let program = Program::with_phantoms();
    run(&program, "run", &[]).succeeded();
    // A case, a dataset, a term and a setting of that name.
    for (file, from) in [
        ("metrics.csv", "phantom-005"),
        ("run.json", "phantom-005"),
        ("run.json", "\"dataset\": \"phantom"),
        ("log.jsonl", "l_reg"),
        ("config.json", "dual-networks"),
    ] {
        let path = program.path("run").join(file);
        let text = read(path.clone());
        assert!(text.contains(from), "{file} has no {from}");
        let to = from.strip_suffix("phantom").map_or(HOSTILE.to_owned(), |kept| format!("{kept}{HOSTILE}"));
        fs::write(&path, text.replace(from, &to)).unwrap();
    }
    program.run(&["report", "run"]).succeeded();
    let html = read(program.path("run/report.html"));
    assert!(html.matches("&lt;img src=x onerror=alert(1)&gt;").count() >= 5);
    assert!(!html.contains("<img"));
}

/// Where there is a Chromium: nothing goes wrong when the file is opened, its tables can be sorted, and the viewer shows the first
/// case.
fn opens_in_a_browser(html: &Path) {
    let Some(chromium) = chromium() else {
        let _ = writeln!(std::io::stderr(), "skipped: no chromium, so no report is opened in a browser");
        return;
    };
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(chromium)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--use-angle=swiftshader",
            "--enable-unsafe-swiftshader",
        ])
        // All of it is in sight, so that the viewer starts.
        .args([
            "--window-size=1200,20000",
            "--virtual-time-budget=60000",
            "--enable-logging=stderr",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", html.display()))
        .output()
        .expect("chromium starts");
    let (dom, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let console: Vec<&str> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(console.is_empty(), "{console:#?}");
    assert!(dom.contains("<button type=\"button\">Case</button>"), "the script did not run: {log}");
    assert!(dom.contains("data-case=\"0\""), "the viewer did not start: {log}");
    assert!(dom.contains("Voxel "), "the viewer says nothing of its place: {log}");
}

fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|path| path.is_file())
}
