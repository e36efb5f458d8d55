//! The smallest method there is: one network, learning from labels alone.

use candle_core::Result;
use tandem_objectives::losses::{cross_entropy, dice};
use tandem_objectives::{Batch, Forward, Method, Network, Objective, Role, Step, Term, loss_of};

/// Cross-entropy and Dice of one network, by its architecture.
pub(crate) struct Supervised(pub(crate) &'static str);

impl Method for Supervised {
    fn networks(&self) -> Vec<Network> {
        vec![Network { name: self.0, architecture: self.0, role: Role::Trained }]
    }

    fn predictors(&self) -> Vec<&'static str> {
        vec![self.0]
    }

    fn objective(&mut self, batch: &Batch, _: Step, networks: &dyn Forward) -> Result<Objective> {
        let prediction = networks.train(self.0, &batch.images, 0)?;
        let labels = batch.classes()?;
        let loss = loss_of(&prediction.logits, |scores| {
            Ok(cross_entropy(scores, &labels, 1.0)? + dice(scores, &labels, 1.0)?)
        })?;
        let terms = vec![("ce and dice".to_owned(), Term::Value(f64::from(loss.to_scalar::<f32>()?)))];
        Ok(Objective { losses: vec![(self.0, loss)], terms })
    }
}
