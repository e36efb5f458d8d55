//! Scores pairs of masks for a comparison with other programs (`tests/peers/metrics.py`).
//!
//! ```text
//! score_pairs FILE REPEATS TOLERANCE...
//! ```
//!
//! FILE is a safetensors file with `NAME/pred` and `NAME/gt` (u8) and `NAME/spacing` (three f64, mm). Each line of the
//! output is name, metric and score, with a tab between them; two more give the least seconds in which the pair had all
//! metrics (`seconds_all`, the surface Dice at the first tolerance) and the four of the papers (`seconds_four`).

use ndarray::Array3;
use safetensors::SafeTensors;
use std::time::Instant;
use tandem_metrics::{Asd, Comparison, Dice, Hd95, Jaccard, Metric, Nsd, metrics};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Outcome<()> {
    // Inside the thread pool, as `tandem` runs: a call from outside waits for a thread to wake up.
    rayon::scope(|_| run())
}

fn run() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, repeats, tolerances @ ..] = arguments.as_slice() else {
        return Err("give FILE REPEATS TOLERANCE...".into());
    };
    let repeats: usize = repeats.parse()?;
    let surfaces = tolerances.iter().map(|tolerance| Ok(Nsd::new(tolerance.parse()?)?));
    let surfaces: Vec<Nsd> = surfaces.collect::<Outcome<_>>()?;
    let [first, more @ ..] = surfaces.as_slice() else { return Err("give a tolerance in mm".into()) };

    let bytes = std::fs::read(file)?;
    let pairs = SafeTensors::deserialize(&bytes)?;
    let mut names: Vec<&str> = pairs.names().iter().filter_map(|name| name.strip_suffix("/pred")).collect();
    names.sort_unstable();
    for name in names {
        let (prediction, reference) = (mask(&pairs, name, "pred")?, mask(&pairs, name, "gt")?);
        let spacing = spacing(&pairs, name)?;
        let compare = || Comparison::new(prediction.view(), reference.view(), spacing);
        let comparison = compare()?;
        for metric in metrics(first).into_iter().chain(more.iter().map(|nsd| nsd as &dyn Metric)) {
            println!("{name}\t{}\t{}", metric.name(), metric.measure(&comparison));
        }
        let four: [&dyn Metric; 4] = [&Dice, &Jaccard, &Hd95, &Asd];
        for (what, measured) in [("seconds_all", &metrics(first)[..]), ("seconds_four", &four)] {
            let mut least = f64::INFINITY;
            for _ in 0..repeats {
                let begin = Instant::now();
                let comparison = compare()?;
                for metric in measured {
                    std::hint::black_box(metric.measure(&comparison));
                }
                least = least.min(begin.elapsed().as_secs_f64());
            }
            println!("{name}\t{what}\t{least}");
        }
    }
    Ok(())
}

fn mask(pairs: &SafeTensors, name: &str, which: &str) -> Outcome<Array3<bool>> {
    let tensor = pairs.tensor(&format!("{name}/{which}"))?;
    let shape: [usize; 3] = tensor.shape().try_into()?;
    Ok(Array3::from_shape_vec(shape, tensor.data().iter().map(|voxel| *voxel != 0).collect())?)
}

fn spacing(pairs: &SafeTensors, name: &str) -> Outcome<[f64; 3]> {
    let tensor = pairs.tensor(&format!("{name}/spacing"))?;
    let values = tensor.data().chunks_exact(8).map(|bytes| Ok(f64::from_le_bytes(bytes.try_into()?)));
    Ok(<[f64; 3]>::try_from(values.collect::<Outcome<Vec<f64>>>()?)
        .map_err(|_| "a spacing has three numbers")?)
}
