//! Scores of many cases in one line.

use crate::Score;

/// Mean and spread of a metric over cases. Undefined scores are counted, not averaged.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Summary {
    /// Mean of the defined scores; none where there is no defined score.
    pub mean: Option<f64>,
    /// Sample standard deviation (divided by n - 1); none below two defined scores.
    pub sd: Option<f64>,
    /// How many scores are defined.
    pub n: usize,
    /// How many are not.
    pub undefined: usize,
}

impl Summary {
    /// The same in a smaller unit, such as per cent of a ratio.
    pub fn times(self, factor: f64) -> Self {
        let scaled = |value: Option<f64>| value.map(|value| value * factor);
        Summary { mean: scaled(self.mean), sd: scaled(self.sd), ..self }
    }
}

/// Summarises the scores of one metric over cases.
pub fn summarise(scores: impl IntoIterator<Item = Score>) -> Summary {
    let scores: Vec<Option<f64>> = scores.into_iter().map(Score::value).collect();
    let values: Vec<f64> = scores.iter().copied().flatten().collect();
    let n = values.len();
    let mean = (n > 0).then(|| values.iter().sum::<f64>() / n as f64);
    let sd = mean.filter(|_| n > 1).map(|mean| {
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (squares / (n - 1) as f64).sqrt()
    });
    Summary { mean, sd, n, undefined: scores.len() - n }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Undefined;

    #[test]
    fn undefined_scores_are_counted_and_not_averaged() {
        let gap = Score::Undefined(Undefined::EmptyPrediction);
        let summary = summarise([Score::Value(1.0), gap, Score::Value(2.0), Score::Value(6.0), gap]);
        assert_eq!(summary, Summary { mean: Some(3.0), sd: Some(7f64.sqrt()), n: 3, undefined: 2 });
    }

    #[test]
    fn too_few_scores_have_no_mean_or_spread() {
        let one = summarise([Score::Value(4.0)]);
        assert_eq!(one, Summary { mean: Some(4.0), sd: None, n: 1, undefined: 0 });
        let none = summarise([Score::Undefined(Undefined::BothEmpty)]);
        assert_eq!(none, Summary { mean: None, sd: None, n: 0, undefined: 1 });
    }
}
