//! `tandem export`: the networks of a run as a model folder.

use crate::evaluate::Weights;
use crate::output::say;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tandem_ops3d::Device;
use tandem_training::{Model, ModelRecord, Origin, Selection};

const EXAMPLES: &str = "Examples:
  tandem export runs/heart -o heart-model
  tandem export runs/heart -o heart-model --onnx";

/// Writes the networks of a run as a model folder: all that a new scan needs, which predict takes in place of the run folder.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The run folder, or a model folder.
    #[arg(value_name = "RUN")]
    model: PathBuf,
    /// The folder to be made.
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Whose weights: those of the last step, or those of the step that did best on the validation scans.
    #[arg(long, value_enum, default_value = "final")]
    weights: Weights,
    /// Writes each network as an ONNX file too.
    #[arg(long)]
    onnx: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let model = match arguments.weights {
        Weights::Final => Model::open(&arguments.model, &Device::Cpu)?,
        Weights::Best => Model::open_best(&arguments.model, &Device::Cpu)?,
    };
    if let Origin::Run(run) = &model.record().origin
        && run.weights == Selection::Unfinished
    {
        say(format!("training has not ended: these are the weights after {} steps", run.steps));
    }
    let record = model.write(&arguments.out, arguments.onnx)?;
    tell(&arguments.out, &record);
    Ok(ExitCode::SUCCESS)
}

/// Says what was written.
pub(crate) fn tell(folder: &Path, record: &ModelRecord) {
    let mut files = vec!["model.json"];
    for network in &record.networks {
        files.push(&network.file);
        files.extend(network.onnx.iter().map(|onnx| onnx.file.as_str()));
    }
    say(format!("{}: {}, README.md, LICENSE", folder.display(), files.join(", ")));
    say("README.md and LICENSE are for you to complete before you pass the folder on");
}
