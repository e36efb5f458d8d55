//! `tandem experiment`: trains the networks of a definition and scores them.

pub(crate) mod same;

use crate::definition::{Changes, Definition};
use crate::device::{self, DeviceName};
use crate::grid::{self, Axes};
use crate::home::Home;
use crate::live::Live;
use crate::output::{self, say};
use crate::report::{self, InViewer};
use crate::{interrupt, needs, prepare_data, run_folder, table};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use tandem_training::{Config, Error, Kernels, Run, RunRecord, Scores, Setup};
use tandem_volume::prepared::{Manifest, PreparedSet};
use toml::Value;

const EXAMPLES: &str = "Examples:
  tandem experiment la-8pct
  tandem experiment la-8pct --method mean-teacher --seed 2 --set training.iterations=300
  tandem experiment la-8pct --methods supervised-ensemble,tandem --seeds 3
  tandem experiment --resume runs/heart";

/// Trains the networks of an experiment and scores them on its validation scans; or a grid of experiments, which ends in a
/// comparison of its methods.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The definition: a name from data/experiments, or the path of a .toml file.
    #[arg(required_unless_present = "resume")]
    pub(crate) definition: Option<String>,
    /// How much work [default: full where there is a GPU, else quick].
    #[arg(long, value_enum, requires = "definition")]
    profile: Option<Profile>,
    /// Another method, with its own default options; or a variant of the definition.
    #[arg(long, value_name = "NAME", requires = "definition")]
    method: Option<String>,
    /// Where the networks run.
    #[arg(long, value_enum, requires = "definition")]
    pub(crate) device: Option<DeviceName>,
    /// Another seed.
    #[arg(long, value_name = "N", requires = "definition")]
    seed: Option<u64>,
    /// Another value of a setting, such as training.iterations=30 or data.labelled=4.
    #[arg(long, value_name = "KEY=VALUE", requires = "definition")]
    pub(crate) set: Vec<String>,
    /// The run folder [default: runs/NAME-DATA-METHOD-PROFILE-sSEED], or that of a grid [default: runs/grids/NAME-DATA-PROFILE].
    #[arg(long, value_name = "DIR", requires = "definition")]
    pub(crate) out: Option<PathBuf>,
    /// Begins even where memory or disk seem not to suffice.
    #[arg(long, requires = "definition", conflicts_with = "resume")]
    pub(crate) anyway: bool,
    /// Goes on with a run that was stopped, as if it had not been: with RUN, or with the one that the same command without
    /// --resume has begun.
    #[arg(long, value_name = "RUN", num_args = 0..=1)]
    resume: Option<Option<PathBuf>>,
    #[command(flatten)]
    pub(crate) grid: grid::Arguments,
    /// Tells programs how far it is, in lines of JSON on standard output; what people are told goes to standard error.
    #[arg(long)]
    pub(crate) json: bool,
    /// Stops when standard input ends: when the grid that began the run stops, or is no more.
    #[arg(long, hide = true)]
    tied: bool,
}

/// How much work a run does.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// Half resolution, small networks, 1,000 iterations: minutes on a CPU.
    Quick,
    /// The paper's settings.
    Full,
}

impl Profile {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Profile::Quick => "quick",
            Profile::Full => "full",
        }
    }
}

pub(crate) fn run(arguments: &Arguments, home: &Home) -> Result<ExitCode> {
    if arguments.json {
        output::is_for_programs();
    }
    if let Some((definition, axes)) = arguments.grid(home)? {
        return grid::run(arguments, &definition, axes, home);
    }
    let stop = interrupt::watch()?;
    if arguments.tied {
        interrupt::watch_standard_input();
    }
    let mut live = Live::new(arguments.json);
    let ended = train(arguments, home, stop, &mut live);
    live.end(&ended);
    match ended {
        Ok(scores) => {
            say(table::scores(&scores.summary()));
            // A grid has many runs: without the viewer their reports take a tenth of the disk, and it can be asked for.
            let in_viewer = if arguments.tied { InViewer::None } else { InViewer::Typical };
            report::write_of_run(live.folder(), &in_viewer);
            say(live.files());
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => match error.downcast_ref() {
            Some(Error::Interrupted { steps, checkpoint }) => {
                say(format!("stopped after {steps} steps; the state is in {}", checkpoint.display()));
                say(format!("to go on: experiment --resume {}", live.folder().display()));
                Ok(interrupt::exit_code())
            }
            Some(Error::Stopped) => Ok(interrupt::exit_code()),
            _ => Err(error),
        },
    }
}

/// Opens a run and trains it.
fn train(arguments: &Arguments, home: &Home, stop: &AtomicBool, live: &mut Live) -> Result<Scores> {
    let (mut run, folder) = match &arguments.resume {
        Some(run) => resume(run.as_deref(), arguments, home, stop, live)?,
        None => start(arguments, home, stop, live)?,
    };
    live.begin(&run, &folder);
    Ok(run.train(stop, &mut |event| live.show(event))?)
}

/// Resolves the definition, finds or makes its data, and makes the run folder.
fn start(arguments: &Arguments, home: &Home, stop: &AtomicBool, live: &mut Live) -> Result<(Run, PathBuf)> {
    let Asked { mut config, profile, data, folder } = Asked::of(arguments, home)?;
    let device = device::open(config.device)?;
    config.precision = config.precision.decided(&device);
    say(format!("{} on {}", config.name, data.describe()));
    if profile == Profile::Quick {
        let why = if arguments.profile.is_none() { "no GPU here, so " } else { "" };
        say(format!(
            "{why}profile quick: small and at low resolution; its numbers do not compare with papers"
        ));
    }
    say(describe_kernels(&Kernels::on(config.precision, &device)));
    if folder.exists() {
        let resume = if folder.join("run.json").exists() { ", or go on with --resume" } else { "" };
        bail!("{} exists already; choose another folder with --out{resume}", folder.display());
    }
    if !data.is_prepared() {
        needs::check(&config, None, &folder, &device, arguments.anyway)?;
    }
    if !data.is_prepared() && prepare_data::phantoms(&data.name, home, stop)?.is_none() {
        return Err(Error::Stopped.into());
    }
    let scans = PreparedSet::open(&data.folder)?;
    needs::check(&config, Some(scans.manifest()), &folder, &device, arguments.anyway)?;
    let setup = Setup { config, prepared: &data.folder, folder: &folder, device };
    let run = Run::create(setup, stop, &mut |event| live.show(event))?;
    say(describe_lists(run.config(), run.record()));
    if let Some(message) = unlearnable(&run, scans.manifest()) {
        live.warn(message);
    }
    Ok((run, folder))
}

/// Checks the settings of every run that is asked for, as far as they can be without data.
pub(crate) fn check(arguments: &Arguments, home: &Home) -> Result<()> {
    match arguments.grid(home)? {
        Some((definition, axes)) => grid::cells(arguments, &definition, &axes).map(drop),
        None if arguments.definition.is_some() => arguments.config(home).map(drop),
        None => Ok(()),
    }
}

impl Arguments {
    /// The grid that is asked for: by the command line, or by the definition where the command line names no single run.
    fn grid(&self, home: &Home) -> Result<Option<(Definition, Axes)>> {
        let Some(name) = self.definition.as_deref().filter(|_| self.resume.is_none()) else {
            return Ok(None);
        };
        let single = self.method.is_some() || self.seed.is_some();
        if single && !self.grid.is_asked() {
            return Ok(None);
        }
        let definition = Definition::open(name, &home.experiments())?;
        let axes = self.grid.axes(&definition)?;
        Ok(axes.map(|axes| (definition, axes)))
    }

    /// The settings of the single run that is asked for.
    fn config(&self, home: &Home) -> Result<Config> {
        let definition =
            Definition::open(self.definition.as_deref().unwrap_or_default(), &home.experiments())?;
        let changes = Changes {
            profile: self.profile().name(),
            method: self.method.as_deref(),
            seed: self.seed,
            set: &self.set,
        };
        resolve(&definition, &changes, self.device)
    }

    /// The profile that is asked for, else the one that suits the machine.
    pub(crate) fn profile(&self) -> Profile {
        self.profile.unwrap_or(if device::has_gpu() { Profile::Full } else { Profile::Quick })
    }
}

/// What the command line asks for.
struct Asked {
    config: Config,
    profile: Profile,
    data: Data,
    folder: PathBuf,
}

impl Asked {
    fn of(arguments: &Arguments, home: &Home) -> Result<Self> {
        let profile = arguments.profile();
        let config = arguments.config(home)?;
        let data = choose_data(&config, home)?;
        let folder = arguments.out.clone().unwrap_or_else(|| {
            let (name, seed) = (&config.name, config.training.seed);
            let method = arguments.method.as_ref().unwrap_or(&config.method.name);
            home.runs().join(format!("{name}-{}-{method}-{}-s{seed}", data.name, profile.name()))
        });
        Ok(Asked { config, profile, data, folder })
    }
}

/// Goes on with a run: the one that is named, or that which the same definition and settings have begun.
fn resume(
    run: Option<&Path>,
    arguments: &Arguments,
    home: &Home,
    stop: &AtomicBool,
    live: &mut Live,
) -> Result<(Run, PathBuf)> {
    if let (Some(run), Some(out)) = (run, &arguments.out) {
        bail!("--resume {} and --out {} name two run folders; give one", run.display(), out.display());
    }
    let asked = arguments.definition.is_some().then(|| Asked::of(arguments, home)).transpose()?;
    let Some(folder) = run.or(asked.as_ref().map(|asked| asked.folder.as_path())) else {
        bail!("say which run goes on: experiment --resume RUN, or experiment NAME --resume");
    };
    if asked.is_some() && !folder.exists() {
        bail!("there is no run {}; begin it without --resume", folder.display());
    }
    let record = run_folder::record(folder)?;
    say(format!("going on with {} on {}", folder.display(), describe_data(&record.dataset)));
    let config = run_folder::config(folder)?;
    if let Some(asked) = &asked {
        same::check(&asked.config, &config, folder)?;
    }
    let device = device::open(config.device)?;
    let run = Run::resume(folder, &record.prepared, device, stop, &mut |event| live.show(event))?;
    let now = &run.record().kernels;
    say(describe_kernels(now));
    if *now != record.kernels {
        say(format!(
            "it began with {}: from here on its bits are not those of an unbroken run",
            record.kernels
        ));
    }
    Ok((run, folder.to_owned()))
}

/// The settings of a definition with changes, checked as far as they can be without data.
pub(crate) fn resolve(
    definition: &Definition,
    changes: &Changes,
    device: Option<DeviceName>,
) -> Result<Config> {
    let table = definition.resolve(changes)?;
    let read = |table: &toml::Table| Value::Table(table.clone()).try_into::<Config>();
    let mut config = read(&table).map_err(|error| {
        // Errors of the reader span lines of the text that it was given; on one line they read as a sentence.
        let problem = in_words(&one_line(&error.to_string()));
        // The first setting with which it cannot be read, or the definition without any.
        let upto = |count: usize| Changes { set: &changes.set[..count], ..*changes };
        let wrong =
            |count: &usize| !definition.resolve(&upto(*count)).is_ok_and(|table| read(&table).is_ok());
        let place = match (0..=changes.set.len()).find(wrong) {
            None | Some(0) => definition.described(),
            Some(count) => format!("--set {}", changes.set[count - 1]),
        };
        anyhow::anyhow!("{place}: {problem}")
    })?;
    config.device = device.map_or(config.device, Into::into);
    // What can be wrong without data is said before data are made.
    config.check().map_err(|error| match error {
        Error::Config { field, problem } => {
            let value = value_at(&table, &field).map(|value| format!(" = {value}")).unwrap_or_default();
            let sets = |setting: &&String| setting.split('=').next().map(str::trim) == Some(field.as_str());
            let place = match changes.set.iter().rfind(sets) {
                Some(_) => "--set".to_owned(),
                None => definition.described(),
            };
            anyhow::anyhow!("{place}: {field}{value} {problem}")
        }
        other => other.into(),
    })?;
    tandem_objectives::build(&config.method.name, &config.method.options.clone().into())?;
    Ok(config)
}

/// The value of a dotted field.
fn value_at<'t>(table: &'t toml::Table, field: &str) -> Option<&'t Value> {
    match field.split_once('.') {
        None => table.get(field),
        Some((first, rest)) => value_at(table.get(first)?.as_table()?, rest),
    }
}

/// The reader's names for kinds of values in those of people.
fn in_words(problem: &str) -> String {
    const NAMES: [(&str, &str); 7] = [
        ("expected u64", "expected a whole number"),
        ("expected u32", "expected a whole number"),
        ("expected usize", "expected a whole number"),
        ("expected f64", "expected a number"),
        ("expected f32", "expected a number"),
        ("expected a sequence", "expected a list in brackets, such as [\"la\"]"),
        ("expected a boolean", "expected true or false"),
    ];
    NAMES.iter().fold(problem.to_owned(), |text, (kind, words)| text.replace(kind, words))
}

pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The prepared folder that a run reads.
pub(crate) struct Data {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
}

impl Data {
    pub(crate) fn is_prepared(&self) -> bool {
        self.folder.exists()
    }

    pub(crate) fn describe(&self) -> String {
        let made = if self.is_prepared() { "" } else { "; none are prepared, so they are made now" };
        format!("{}{made}", describe_data(&self.name))
    }
}

/// The first dataset of the definition that is prepared, else phantoms.
pub(crate) fn choose_data(config: &Config, home: &Home) -> Result<Data> {
    let named = |name: &String| Data { name: name.clone(), folder: home.prepared().join(name) };
    let names = &config.data.dataset;
    if let Some(data) = names.iter().map(named).find(Data::is_prepared) {
        return Ok(data);
    }
    let phantom = names.iter().find(|name| prepare_data::is_made(name)).map(named);
    phantom.with_context(|| {
        let (first, names, folder) = (&names[0], names.join(", "), home.prepared());
        let command = prepare_data::command(first);
        format!("{} holds none of {names}; prepare one: {command}", folder.display())
    })
}

/// Classes that no labelled scan of a run bears, as far as a manifest says: it knows the highest label of each scan.
fn unlearnable(run: &Run, manifest: &Manifest) -> Option<String> {
    let data = &run.config().data;
    let highest = run.record().lists.highest_label(manifest)?;
    let missing: Vec<String> =
        (usize::from(highest) + 1..data.class_count()).map(|class| data.class_name(class)).collect();
    let remedy = "label more scans, or choose others by data.labelled and data.labelled_set";
    match highest {
        _ if missing.is_empty() => None,
        0 => Some(format!(
            "no labelled scan of this run has a label above 0, so the networks can learn nothing but background; {remedy}"
        )),
        _ => Some(format!(
            "no labelled scan of this run has a label above {highest}, so the networks cannot learn {}; {remedy}",
            missing.join(", ")
        )),
    }
}

fn describe_kernels(kernels: &Kernels) -> String {
    format!("{kernels}; threads: {}", rayon::current_num_threads())
}

fn describe_data(dataset: &str) -> String {
    match dataset {
        "la" => "la: left atrium, LGE-MRI of patients".to_owned(),
        "phantom" => {
            "phantom: synthetic scans, not of patients (for real ones: prepare-data la --source DIR)"
                .to_owned()
        }
        "pancreas" => "pancreas: CT of patients (NIH Pancreas-CT)".to_owned(),
        "pancreas-phantom" => {
            "pancreas-phantom: synthetic scans, not of patients (for real ones: prepare-data pancreas --source DIR)"
                .to_owned()
        }
        other => other.to_owned(),
    }
}

/// What "8 %" means here: of all scans of the benchmark, and of its training list.
fn describe_lists(config: &Config, record: &RunRecord) -> String {
    let lists = &record.lists;
    let labelled = lists.labelled.len();
    let percent = |of: usize| 100.0 * labelled as f64 / of.max(1) as f64;
    let all = record.all_scans;
    format!(
        "labelled: {}, {labelled}/{all} = {:.0} % of all {all}, {labelled}/{} = {:.0} % of the training list; {} \
         unlabelled, {} for validation",
        config.data.describe_labelled(),
        percent(all),
        record.training_scans,
        percent(record.training_scans),
        lists.unlabelled.len(),
        lists.validation.len()
    )
}
