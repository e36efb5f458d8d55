//! The named parameters of a network, in two flat vectors.

use crate::initialise::Values;
use candle_core::{DType, Result, Tensor, bail};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;
use tandem_ops3d::Device;
use tandem_ops3d::program::{NormStatistics, WeightVector, Weights};

/// What a parameter is to the optimiser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Learnt by gradient.
    Weight,
    /// A running statistic of batch normalisation: saved with the weights, moved by training passes, never by the
    /// optimiser.
    Statistic,
}

/// Where one named parameter lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Learnt or counted: which of the two vectors it lies in.
    pub kind: Kind,
    /// Its elements in that vector.
    pub range: Range<usize>,
    /// Its shape.
    pub dims: Vec<usize>,
}

/// All parameters of one network, by name (the names are those of the released state dicts).
///
/// Their values lie one after the other in two vectors, so that a gradient, an optimiser's step and an average are one
/// operation each. Clones share the vectors: setting one changes the network.
#[derive(Clone, Debug)]
pub struct Parameters {
    weights: Weights,
    statistics: NormStatistics,
    by_name: BTreeMap<String, Parameter>,
}

/// Declares parameters one by one.
#[derive(Debug, Default)]
pub(crate) struct Declared {
    weights: Vector,
    statistics: Vector,
    by_name: BTreeMap<String, Parameter>,
}

/// A vector of parameters to be: how many values each has, and which.
#[derive(Debug, Default)]
struct Vector {
    len: usize,
    parts: Vec<(usize, Values)>,
}

impl Vector {
    /// Every value. Each parameter draws its own: the order of the work changes none.
    fn values(self) -> Vec<f32> {
        let mut all = vec![0.0; self.len];
        let mut rest = &mut all[..];
        let mut parts = Vec::with_capacity(self.parts.len());
        for (len, values) in self.parts {
            let (part, after) = rest.split_at_mut(len);
            rest = after;
            parts.push((part, values));
        }
        // One by one: a few parameters have most of the values.
        parts.into_par_iter().with_max_len(1).for_each(|(part, values)| values.write(part));
        all
    }
}

impl Declared {
    /// Adds a parameter; returns where it lies in the vector of its kind.
    pub(crate) fn add(
        &mut self,
        name: String,
        kind: Kind,
        dims: &[usize],
        values: Values,
    ) -> Result<Range<usize>> {
        let vector = match kind {
            Kind::Weight => &mut self.weights,
            Kind::Statistic => &mut self.statistics,
        };
        let len = dims.iter().product();
        let range = vector.len..vector.len + len;
        vector.len += len;
        vector.parts.push((len, values));
        let parameter = Parameter { kind, range: range.clone(), dims: dims.to_vec() };
        match self.by_name.insert(name.clone(), parameter) {
            None => Ok(range),
            Some(_) => bail!("parameter {name:?} is declared twice"),
        }
    }

    /// How many weights there are.
    pub(crate) fn count(&self) -> usize {
        self.weights.len
    }

    /// Name and shape of each.
    pub(crate) fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        self.by_name.iter().map(|(name, parameter)| (name.clone(), parameter.dims.clone())).collect()
    }

    pub(crate) fn finish(self, device: &Device) -> Result<Parameters> {
        Ok(Parameters {
            weights: Weights::new(&self.weights.values(), device)?,
            statistics: NormStatistics::new(&self.statistics.values(), device)?,
            by_name: self.by_name,
        })
    }
}

impl Parameters {
    /// Parameters of these names, kinds and f32 values, of a network that runs on that device.
    ///
    /// # Errors
    /// Where a name stands twice or a tensor is not f32.
    pub fn from_tensors<'a>(
        tensors: impl IntoIterator<Item = (&'a str, Kind, &'a Tensor)>,
        device: &Device,
    ) -> Result<Self> {
        let mut declared = Declared::default();
        for (name, kind, tensor) in tensors {
            let values = Values::Given(tensor.flatten_all()?.to_vec1()?);
            declared.add(name.to_owned(), kind, tensor.dims(), values)?;
        }
        declared.finish(device)
    }

    /// What the optimiser moves: one vector, with its gradient.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The running statistics: one vector.
    pub fn statistics(&self) -> &NormStatistics {
        &self.statistics
    }

    /// Name and place of each parameter, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Parameter)> {
        self.by_name.iter().map(|(name, parameter)| (name.as_str(), parameter))
    }

    /// A copy of the parameter of that name, where there is one.
    pub fn get(&self, name: &str) -> Option<Result<Tensor>> {
        let parameter = self.by_name.get(name)?;
        let range = parameter.range.clone();
        let part = match parameter.kind {
            Kind::Weight => self.weights.part(range),
            Kind::Statistic => self.statistics.part(range),
        };
        Some(part.and_then(|part| part.reshape(parameter.dims.clone())))
    }

    /// How many numbers the optimiser moves.
    pub fn count(&self) -> usize {
        self.weights.count()
    }

    /// A copy of every parameter, by name.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn tensors(&self) -> Result<BTreeMap<String, Tensor>> {
        let (weights, statistics) = (self.weights.values()?, self.statistics.values()?);
        let of = |parameter: &Parameter| match parameter.kind {
            Kind::Weight => parameter.of(&weights),
            Kind::Statistic => parameter.of(&statistics),
        };
        self.iter().map(|(name, parameter)| Ok((name.to_owned(), of(parameter)?))).collect()
    }

    /// The gradient that backward passes left for the weights, by their names; none where they reached none of them.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn take_gradient(&self) -> Result<Option<BTreeMap<String, Tensor>>> {
        self.weights.take_gradient().map(|gradient| self.split(&gradient)).transpose()
    }

    /// A vector like that of [`Self::weights`] (a gradient, a momentum), by the names of the weights.
    ///
    /// # Errors
    /// Where it has another length, or the device fails.
    pub fn split(&self, vector: &WeightVector) -> Result<BTreeMap<String, Tensor>> {
        let vector = Tensor::from_vec(vector.to_vec()?, vector.len(), &candle_core::Device::Cpu)?;
        let weights = self.iter().filter(|(_, p)| p.kind == Kind::Weight);
        weights.map(|(name, p)| Ok((name.to_owned(), p.of(&vector)?))).collect()
    }

    /// The vector that [`Self::split`] was given.
    ///
    /// # Errors
    /// Where a name is missing or left over, or a shape differs.
    pub fn join(&self, values: &BTreeMap<String, Tensor>) -> Result<WeightVector> {
        self.check(values, &|kind| kind == Kind::Weight)?;
        self.weights.vector(&self.vector_of(values, Kind::Weight)?)
    }

    /// Sets every parameter from tensors of the same names.
    ///
    /// # Errors
    /// Where a name is missing or left over, or a shape differs; nothing is changed then.
    pub fn load(&self, values: &BTreeMap<String, Tensor>) -> Result<()> {
        self.check(values, &|_| true)?;
        let statistics = self.vector_of(values, Kind::Statistic)?;
        self.weights.set(&self.vector_of(values, Kind::Weight)?)?;
        self.statistics.set(&statistics)
    }

    fn check(&self, values: &BTreeMap<String, Tensor>, wanted: &dyn Fn(Kind) -> bool) -> Result<()> {
        for (name, parameter) in self.iter().filter(|(_, p)| wanted(p.kind)) {
            match values.get(name) {
                None => bail!("parameter {name:?} is missing"),
                Some(value) if value.dims() != parameter.dims => bail!(
                    "parameter {name:?} has shape {:?}, the network needs {:?}",
                    value.dims(),
                    parameter.dims
                ),
                Some(_) => {}
            }
        }
        let known = |name: &String| self.by_name.get(name).is_some_and(|p| wanted(p.kind));
        match values.keys().find(|name| !known(name)) {
            Some(name) => bail!("parameter {name:?} is not one of this network"),
            None => Ok(()),
        }
    }

    /// One of the two vectors with these values.
    fn vector_of(&self, values: &BTreeMap<String, Tensor>, kind: Kind) -> Result<Vec<f32>> {
        let count = if kind == Kind::Weight { self.count() } else { self.statistics.count() };
        let mut all = vec![0.0f32; count];
        for (name, parameter) in self.iter().filter(|(_, p)| p.kind == kind) {
            let value = values[name].to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
            all[parameter.range.clone()].copy_from_slice(&value);
        }
        Ok(all)
    }
}

impl Parameter {
    fn of(&self, vector: &Tensor) -> Result<Tensor> {
        vector.detach().narrow(0, self.range.start, self.range.len())?.reshape(self.dims.clone())
    }
}
