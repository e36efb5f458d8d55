//! Exponential moving averages of networks.

use candle_core::{Result, bail};
use tandem_networks::Parameters;

/// The decay of step `step`: `min(1 - 1 / (step + 2), largest)`, so that the first step (0) copies half.
///
/// # References
/// Tarvainen and Valpola, "Mean teachers are better role models", NIPS 2017; the growing decay is that of their code.
pub fn decay(step: u64, largest: f64) -> f64 {
    (1.0 - 1.0 / (step as f64 + 2.0)).min(largest)
}

/// Moves an average towards the network it follows: `theta' <- decay * theta' + (1 - decay) * theta`.
///
/// Weights only: the average keeps batch statistics of its own.
///
/// # Errors
/// Where the two do not have the same parameters.
pub fn follow(average: &Parameters, network: &Parameters, decay: f64) -> Result<()> {
    if !average.iter().eq(network.iter()) {
        bail!("an average does not have the parameters of the network it follows");
    }
    average.weights().follow(network.weights(), decay)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};
    use tandem_networks::Kind;

    #[test]
    fn the_decay_grows_to_its_largest() {
        assert_eq!(decay(0, 0.99), 0.5);
        assert_eq!(decay(8, 0.99), 0.9);
        assert_eq!(decay(10_000, 0.99), 0.99);
    }

    #[test]
    fn an_average_moves_its_weights_and_keeps_its_statistics() {
        let network = |value: f32| {
            let tensor = Tensor::new(&[value], &Device::Cpu).unwrap();
            let both = [("mean", Kind::Statistic, &tensor), ("weight", Kind::Weight, &tensor)];
            Parameters::from_tensors(both, &tandem_networks::Device::Cpu).unwrap()
        };
        let (average, trained) = (network(1.0), network(3.0));
        follow(&average, &trained, 0.75).unwrap();
        let value = |name: &str| average.get(name).unwrap().unwrap().to_vec1::<f32>().unwrap()[0];
        assert_eq!((value("weight"), value("mean")), (1.5, 1.0));
    }
}
