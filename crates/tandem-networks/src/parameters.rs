//! The named parameters of a network.

use candle_core::{Device, Result, Tensor, Var, bail};
use std::collections::BTreeMap;

/// What a parameter is to the optimiser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Learnt by gradient.
    Weight,
    /// A running statistic of batch normalisation: saved with the weights, moved by training passes, never by the
    /// optimiser.
    Statistic,
}

/// One named tensor of a network.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its storage; networks hold clones of it, so setting it changes the network.
    pub var: Var,
    /// Learnt or counted.
    pub kind: Kind,
}

/// All parameters of one network, in the order of their names (which are those of the released state dicts).
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    by_name: BTreeMap<String, Parameter>,
}

impl Parameters {
    /// Adds a parameter.
    ///
    /// # Errors
    /// Where the name is taken.
    pub fn insert(&mut self, name: String, value: Tensor, kind: Kind) -> Result<Var> {
        let var = Var::from_tensor(&value)?;
        if self.by_name.contains_key(&name) {
            bail!("parameter {name:?} is declared twice");
        }
        self.by_name.insert(name, Parameter { var: var.clone(), kind });
        Ok(var)
    }

    /// Name and parameter, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Parameter)> {
        self.by_name.iter().map(|(name, parameter)| (name.as_str(), parameter))
    }

    /// Name and variable of what the optimiser moves, sorted by name.
    pub fn weights(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.iter().filter(|(_, p)| p.kind == Kind::Weight).map(|(name, p)| (name, &p.var))
    }

    /// The parameter of that name.
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.by_name.get(name)
    }

    /// How many numbers the optimiser moves.
    pub fn count(&self) -> usize {
        self.weights().map(|(_, var)| var.elem_count()).sum()
    }

    /// Sets every parameter from tensors of the same names.
    ///
    /// # Errors
    /// Where a name is missing or left over, or a shape differs; nothing is changed then.
    pub fn load(&self, values: &BTreeMap<String, Tensor>, device: &Device) -> Result<()> {
        for (name, parameter) in self.iter() {
            match values.get(name) {
                None => bail!("parameter {name:?} is missing"),
                Some(value) if value.shape() != parameter.var.shape() => bail!(
                    "parameter {name:?} has shape {:?}, the network needs {:?}",
                    value.dims(),
                    parameter.var.dims()
                ),
                Some(_) => {}
            }
        }
        if let Some(name) = values.keys().find(|name| !self.by_name.contains_key(*name)) {
            bail!("parameter {name:?} is not one of this network");
        }
        for (name, parameter) in self.iter() {
            parameter.var.set(&values[name].to_device(device)?)?;
        }
        Ok(())
    }
}
