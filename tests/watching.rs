//! A run as it is seen while it works: lines of JSON, TensorBoard's event file, and the lines of a terminal.

use crate::experiment::{arguments, definition, read};
use crate::program::{Ended, Program, signalled};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

fn run(program: &Program, out: &str, more: &[&str]) -> Ended {
    program.run(&arguments(&definition("la-8pct"), out, more))
}

/// The lines of standard output, each of which must be JSON.
fn messages(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line:?}"))).collect()
}

fn of_kind<'a>(messages: &'a [Value], kind: &str) -> Vec<&'a Value> {
    messages.iter().filter(|message| message["kind"] == kind).collect()
}

#[test]
fn json_tells_programs_all_that_the_log_says_and_people_elsewhere() {
    let program = Program::with_phantoms();
    let ended = run(&program, "run", &["--json", "--set", "training.validate_every=2"]).succeeded();
    for text in [
        "labelled: the first 2 scans",
        "after 2 steps: ensemble Dice",
        "on the scans' own grids",
        "run: report.html, report.md",
    ] {
        assert!(ended.stderr.contains(text), "no {text:?} in {}", ended.stderr);
    }
    let told = messages(&ended.stdout);
    let started = of_kind(&told, "started");
    assert_eq!(started.len(), 1);
    let of_start =
        ["iterations", "steps", "labelled", "validation", "seed"].map(|field| started[0][field].as_u64());
    assert_eq!(of_start, [5, 0, 2, 2, 1337].map(Some));
    assert_eq!((&started[0]["folder"], &started[0]["dataset"]), (&"run".into(), &"phantom".into()));

    let log = messages(&read(program.path("run/log.jsonl")));
    let steps = of_kind(&told, "step");
    let logged: Vec<&Value> = log.iter().filter(|line| line.get("losses").is_some()).collect();
    assert_eq!((steps.len(), logged.len()), (5, 5));
    for (step, logged) in steps.iter().zip(logged) {
        for (field, value) in logged.as_object().unwrap() {
            assert_eq!(&step[field], value, "{field}");
        }
        assert_eq!(step["iterations"], 5);
        assert!(step["rate"].as_f64().unwrap() > 0.0 && step["seconds"].as_f64().unwrap() > 0.0, "{step}");
        assert!(step["left"].is_number(), "{step}");
        if cfg!(target_os = "linux") {
            assert!(step["memory"].as_u64() <= step["peak_memory"].as_u64(), "{step}");
        }
    }
    let validations = of_kind(&told, "validation");
    let logged: Vec<&Value> = log.iter().filter(|line| line.get("validation").is_some()).collect();
    assert_eq!((validations.len(), logged.len()), (3, 3));
    for (validation, logged) in validations.iter().zip(logged) {
        assert_eq!((&validation["steps"], &validation["scores"]), (&logged["steps"], &logged["validation"]));
    }
    assert_eq!(of_kind(&told, "validating").len(), 3 * 2);
    let last = of_kind(&told, "checkpoint").last().map(|message| message["file"].clone());
    assert_eq!(last, Some("run/checkpoints/final.safetensors".into()));
    let finished = told.last().unwrap();
    assert_eq!((&finished["kind"], &finished["steps"]), (&"finished".into(), &5.into()));
    assert_eq!(finished["dice"], validations[2]["dice"]);
    assert_eq!(of_kind(&told, "finished").len(), 1);
}

#[test]
fn json_ends_with_how_a_run_ended() {
    let program = Program::with_phantoms();
    let ended = run(&program, "run", &["--json", "--set", "data.labelled=99"]);
    let told = messages(&ended.stdout);
    assert_eq!(told.last().unwrap()["kind"], "failed");
    let error = format!("error: {}\n", told.last().unwrap()["error"].as_str().unwrap());
    assert!(ended.stderr.ends_with(&error), "{ended:#?}");
    ended.refused(&["data.labelled"]);

    let long = ["--json", "--set", "training.iterations=60"];
    let mut child = program
        .command(&arguments(&definition("la-8pct"), "run", &long))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tandem starts");
    let mut begun = String::new();
    let mut output = std::io::BufReader::new(child.stdout.take().expect("a pipe"));
    while !begun.contains("\"step\"") {
        assert!(std::io::BufRead::read_line(&mut output, &mut begun).expect("text") > 0, "{begun}");
    }
    let rest = std::thread::spawn(move || {
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut output, &mut rest).map(|_| rest)
    });
    assert_eq!(signalled(child, "INT").status.code(), Some(130));
    let rest = rest.join().expect("no panic").expect("text");
    let told = messages(&(begun + &rest));
    let stopped = told.last().unwrap();
    let steps = of_kind(&told, "step").len() as u64;
    assert_eq!((&stopped["kind"], stopped["steps"].as_u64()), (&"stopped".into(), Some(steps)));
    assert!(program.path(stopped["checkpoint"].as_str().unwrap()).exists());

    let resumed = program.run(&["experiment", "--resume", "run", "--json"]).succeeded();
    let told = messages(&resumed.stdout);
    assert_eq!(told[0]["steps"].as_u64(), Some(steps));
    assert_eq!(of_kind(&told, "step").len() as u64, 60 - steps);
}

#[test]
fn a_grid_tells_programs_what_its_runs_tell_and_which_run_it_is() {
    let program = Program::with_phantoms();
    let methods = ["--methods", "supervised-ensemble,mcf", "--jobs", "2", "--json"];
    let ended =
        run(&program, "grid", &[&methods[..], &["--set", "training.iterations=2"]].concat()).succeeded();
    let told = messages(&ended.stdout);
    assert_eq!(
        (&told[0]["kind"], told[0]["runs"].as_array().map(Vec::len)),
        (&"grid_started".into(), Some(2))
    );
    for name in told[0]["runs"].as_array().unwrap() {
        let of_run =
            |kind| of_kind(&told, kind).into_iter().filter(|message| message["run"] == *name).count();
        assert_eq!(["started", "step", "validation", "finished"].map(of_run), [1, 2, 1, 1]);
        assert!(
            read(program.path("grid/logs").join(format!("{}.txt", name.as_str().unwrap()))).contains("Dice")
        );
    }
    let last = told.last().unwrap();
    assert_eq!(
        (&last["kind"], &last["done"], &last["failed"]),
        (&"grid_finished".into(), &2.into(), &0.into())
    );
}

#[test]
fn what_goes_wrong_in_a_run_is_said_by_its_grid_at_once() {
    let program = Program::with_phantoms();
    // After the first step no weight is a number that a loss can be made of.
    let settings = ["training.iterations=2", "training.learning_rate=1e30", "training.non_finite=skip"];
    let settings: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    let ended = run(&program, "grid", &[&["--methods", "mcf", "--seeds", "1"][..], &settings].concat());
    assert!(ended.stderr.contains("mcf-s1: SKIPPED: the "), "{} {}", ended.stdout, ended.stderr);
}

/// What a varint says, and what follows it.
fn varint(bytes: &[u8]) -> (u64, &[u8]) {
    let end = bytes.iter().position(|byte| byte >> 7 == 0).expect("its end");
    let value = bytes[..=end].iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f));
    (value, &bytes[end + 1..])
}

/// The fields of a protobuf message: number, and value as bytes (those of a varint: as a little-endian number).
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (key, rest) = varint(bytes);
        let (value, rest) = match key & 7 {
            0 => {
                let (value, rest) = varint(rest);
                (value.to_le_bytes().to_vec(), rest)
            }
            1 => (rest[..8].to_vec(), &rest[8..]),
            5 => (rest[..4].to_vec(), &rest[4..]),
            _ => {
                let (length, rest) = varint(rest);
                (rest[..length as usize].to_vec(), &rest[length as usize..])
            }
        };
        found.push((key >> 3, value));
        bytes = rest;
    }
    found
}

/// All values of a run's event file that are no times, in its order: step, tag, and the bits of a scalar or the bytes of a picture.
pub(crate) fn events(run: &Path) -> Vec<(u64, String, Vec<u8>)> {
    let bytes = std::fs::read(run.join("log.tfevents")).expect("an event file");
    let (mut rest, mut found) = (&bytes[..], Vec::new());
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        let event = fields(&rest[12..12 + length]);
        rest = &rest[16 + length..];
        let of = |number: u64| event.iter().find(|(field, _)| *field == number).map(|(_, value)| &value[..]);
        let step = of(2).map_or(0, |step| u64::from_le_bytes(step.try_into().unwrap()));
        for (_, value) in of(5).map(fields).unwrap_or_default() {
            let value = fields(&value);
            let tag = String::from_utf8(value[0].1.clone()).unwrap();
            if !tag.starts_with("_hparams_") {
                found.push((step, tag, value[1].1.clone()));
            }
        }
    }
    found
}

/// Every step of the log is in the event file once, with the log's values, and so is every validation.
#[test]
fn the_event_file_says_what_the_log_says() {
    let program = Program::with_phantoms();
    run(&program, "run", &["--set", "training.validate_every=2"]).succeeded();
    let events = events(&program.path("run"));
    let of = |tag: &str| -> Vec<(u64, f32)> {
        let value = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
        events
            .iter()
            .filter(|(_, known, _)| known == tag)
            .map(|(step, _, bytes)| (*step, value(bytes)))
            .collect()
    };
    let log = messages(&read(program.path("run/log.jsonl")));
    let mut compared = 0;
    for group in ["losses", "gradient_norms", "terms"] {
        let names = log[1][group].as_object().unwrap().keys();
        for name in names {
            let values = log
                .iter()
                .filter_map(|line| Some((line["step"].as_u64()?, line[group][name].as_f64()? as f32)));
            let values: Vec<(u64, f32)> = values.collect();
            assert_eq!(of(&format!("{group}/{name}")), values);
            compared += values.len();
        }
    }
    assert!(compared >= 5 * 6, "{compared}");
    assert_eq!(of("learning_rate").len(), 5);
    let dice = of("validation/dice/ensemble");
    assert_eq!(dice.iter().map(|(steps, _)| *steps).collect::<Vec<_>>(), [2, 4, 5]);
    let summary: Value = serde_json::from_str(&read(program.path("run/summary.json"))).unwrap();
    let is_dice =
        |row: &&Value| row["predictor"] == "ensemble" && row["metric"] == "dice" && row["grid"] == "own";
    let row = summary["scores"].as_array().unwrap().iter().find(is_dice).unwrap();
    assert_eq!(dice[2].1, row["mean"].as_f64().unwrap() as f32);

    let pictures: Vec<_> = events.iter().filter(|(_, tag, _)| tag.starts_with("slices/")).collect();
    assert_eq!(pictures.len(), 2, "of the two validation scans");
    let is_png = |bytes: &[u8]| bytes.windows(8).any(|bytes| bytes == b"\x89PNG\r\n\x1a\n");
    assert!(pictures.iter().all(|(step, _, bytes)| *step == 5 && is_png(bytes)));

    // Made anew from the log and the predictions, it says the same.
    std::fs::remove_file(program.path("run/log.tfevents")).unwrap();
    let said = program.run(&["tensorboard", "run"]).succeeded().stdout;
    assert_eq!(said.trim(), "run/log.tfevents");
    assert_eq!(self::events(&program.path("run")), events);
    program.run(&["tensorboard", "data"]).refused(&["data", "run"]);
}

/// What a run draws on a terminal of 60 columns.
fn on_a_terminal(program: &Program, out: &str, variables: &str) -> Option<String> {
    let there = Command::new("script").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !cfg!(target_os = "linux") || !there.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: there is no `script` (util-linux), which makes a terminal to draw on");
        return None;
    }
    let tandem = program.command(&[]);
    let definition = definition("la-8pct");
    let quoted = arguments(&definition, out, &["--set", "training.iterations=12"]);
    let quoted: Vec<String> = quoted.iter().map(|word| format!("'{word}'")).collect();
    let tandem = tandem.get_program().to_string_lossy().into_owned();
    let line = format!("stty cols 60 rows 20; {variables} '{tandem}' {}", quoted.join(" "));
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).stdin(Stdio::null());
    script.current_dir(program.path("")).env("TANDEM_HOME", program.path("")).env("TERM", "xterm-256color");
    let output = script.env_remove("NO_COLOR").env("LC_ALL", "C.UTF-8").output().expect("script starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    Some(text)
}

#[test]
fn a_terminal_shows_where_the_run_is_and_is_clean_afterwards() {
    let program = Program::with_phantoms();
    let Some(text) = on_a_terminal(&program, "run", "") else { return };
    let frames: Vec<&str> = text.split("\x1b[J").collect();
    let drawn = frames.iter().filter(|frame| frame.contains("/12") && frame.contains("training")).count();
    assert!(drawn >= 1, "{text:?}");
    assert!(text.contains("\x1b[2m"), "colours: {text:?}");
    assert!(frames.iter().any(|frame| frame.contains("loss") && frame.contains("vnet")), "{text:?}");
    // The last thing that is drawn is nothing; then come the scores.
    let (last, after) = (frames[frames.len() - 2], frames[frames.len() - 1]);
    assert!(!last.contains("training") && after.contains("own grids"), "{last:?} {after:?}");
    assert!(!after.contains('\x1b'), "{after:?}");

    let plain = on_a_terminal(&program, "plain", "NO_COLOR=1").expect("as before");
    assert!(
        plain.contains("training") && !plain.contains("\x1b[2m") && !plain.contains("\x1b[32m"),
        "{plain:?}"
    );
}
