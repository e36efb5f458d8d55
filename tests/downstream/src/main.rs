//! Scores a predicted label map against a reference: Dice and HD95 in mm, class by class, as CSV.
#![forbid(unsafe_code)]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use tandem_metrics::{Comparison, Dice, Hd95, Metric};
use tandem_volume::{Volume, read_label};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let files: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [prediction, reference] = files.as_slice() else {
        return Err("give two label maps: PREDICTION REFERENCE".into());
    };
    let (prediction, reference) = (read_label(prediction)?, read_label(reference)?);
    let (shape, grid) = (reference.shape(), reference.geometry());
    if prediction.shape() != shape || !prediction.geometry().same_grid(grid, shape) {
        return Err("the two lie on different grids; resample one of them".into());
    }
    let classes = prediction.array().iter().chain(reference.array()).copied().max().unwrap_or(0);
    println!("class,metric,value,unit");
    for class in 1..=classes {
        let mask = |label: &Volume<u8>| label.array().mapv(|value| value == class);
        let (prediction, reference) = (mask(&prediction), mask(&reference));
        let comparison = Comparison::new(prediction.view(), reference.view(), grid.spacing())?;
        for metric in [&Dice as &dyn Metric, &Hd95] {
            println!("{class},{},{},{}", metric.name(), metric.measure(&comparison), metric.unit());
        }
    }
    Ok(())
}
