//! `tandem import`: weights of another program as a model folder.

use crate::export::tell;
use crate::output::say;
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::process::ExitCode;
use tandem_ops3d::Device;
use tandem_training::{Import, Model};
use tandem_volume::prepared::Normalisation;

const EXAMPLES: &str = "Examples:
  tandem import vnet.pth --network vnet -o vnet-model";

/// Makes a model folder of a network that another program trained: a PyTorch state dict (.pth, .pt) or a safetensors file with
/// the parameter names of the public V-Nets. No code of the file is run.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The file with the weights.
    file: PathBuf,
    /// The network's architecture: vnet, resnet34, vnet-dtc, vnet-mcnet or vnet-urpc. Of MC-Net's V-Net, vnet takes the encoder
    /// and the first decoder.
    #[arg(long, value_name = "NAME")]
    network: String,
    /// The folder to be made.
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// What stands before the names of its parameters, where the file has several networks.
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// Names of the classes, background first.
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    classes: Option<Vec<String>>,
    /// Names of the channels.
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    channels: Option<Vec<String>>,
    /// The spacing in mm that it was trained at [default: each scan's own].
    #[arg(long, num_args = 3, value_names = ["X", "Y", "Z"])]
    spacing: Option<Vec<f64>>,
    /// Sides of the patches that it was trained on, in voxels.
    #[arg(long, num_args = 3, value_names = ["X", "Y", "Z"], default_values_t = [112, 112, 80])]
    patch: Vec<usize>,
    /// Steps of the sliding window in voxels [default: half a patch].
    #[arg(long, num_args = 3, value_names = ["X", "Y", "Z"])]
    stride: Option<Vec<usize>>,
    /// It was trained on intensities that are cut off at these two values and scaled to 0 to 1 [default: z-scores].
    #[arg(long, num_args = 2, value_names = ["LO", "HI"], allow_negative_numbers = true)]
    window: Option<Vec<f64>>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let patch = three(&arguments.patch)?;
    let stride = arguments.stride.as_deref().map_or(Ok(patch.map(|side| side.div_ceil(2))), three)?;
    let normalisation = match arguments.window.as_deref() {
        None => Normalisation::ZScore,
        Some(&[low, high]) => Normalisation::Window { low, high },
        Some(_) => bail!("--window takes two numbers"),
    };
    let settings = Import {
        name: arguments.out.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        architecture: arguments.network.clone(),
        prefix: arguments.prefix.clone(),
        channels: arguments.channels.clone(),
        classes: arguments.classes.clone(),
        spacing_mm: arguments.spacing.as_deref().map(three).transpose()?,
        normalisation,
        patch,
        stride,
    };
    let model = Model::import(&arguments.file, &settings, &Device::Cpu)?;
    let record = model.write(&arguments.out, false)?;
    say(format!(
        "{}: a {} of {} filters, {} channel(s), {} classes",
        arguments.file.display(),
        arguments.network,
        record.network.filters,
        record.channels.count(),
        record.classes.count()
    ));
    tell(&arguments.out, &record);
    Ok(ExitCode::SUCCESS)
}

/// Three numbers of the command line.
fn three<T: Copy>(numbers: &[T]) -> Result<[T; 3]> {
    match numbers {
        &[x, y, z] => Ok([x, y, z]),
        _ => bail!("three numbers are needed, one for each axis"),
    }
}
