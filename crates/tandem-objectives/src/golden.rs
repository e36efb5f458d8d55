//! Reference numbers for the tests: a subset in `tests/golden/`, all of them beside the workspace where there are any.

use candle_core::{DType, Device, Tensor, Var};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

/// Values and gradients must agree within this, relative to the largest number of the tensor.
pub(crate) const TOLERANCE: f64 = 1e-5;

/// One file of reference tensors, named `CASE/TENSOR`.
pub(crate) struct Vectors {
    tensors: HashMap<String, Tensor>,
}

impl Vectors {
    /// The committed subset, then the full file where it is at hand.
    pub(crate) fn open(file: &str) -> Vec<Self> {
        let mut files = vec![Self::committed(file)];
        files.extend(tandem_reference::reference(&format!("golden/{file}")).map(|full| Self::read(&full)));
        files
    }

    /// A file that is committed whole.
    pub(crate) fn committed(file: &str) -> Self {
        Self::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file))
    }

    fn read(path: &Path) -> Self {
        let tensors = candle_core::safetensors::load(path, &Device::Cpu);
        Vectors { tensors: tensors.unwrap_or_else(|error| panic!("{}: {error}", path.display())) }
    }

    pub(crate) fn cases(&self) -> BTreeSet<&str> {
        self.tensors.keys().filter_map(|name| name.rsplit_once('/')).map(|(case, _)| case).collect()
    }

    pub(crate) fn has(&self, case: &str, name: &str) -> bool {
        self.tensors.contains_key(&format!("{case}/{name}"))
    }

    pub(crate) fn tensor(&self, case: &str, name: &str) -> &Tensor {
        self.tensors.get(&format!("{case}/{name}")).unwrap_or_else(|| panic!("{case}/{name} is missing"))
    }

    pub(crate) fn var(&self, case: &str, name: &str) -> Var {
        Var::from_tensor(self.tensor(case, name)).unwrap()
    }

    pub(crate) fn numbers(&self, case: &str, name: &str) -> Vec<f64> {
        numbers(self.tensor(case, name))
    }

    pub(crate) fn scalar(&self, case: &str, name: &str) -> f64 {
        self.numbers(case, name)[0]
    }

    pub(crate) fn labels(&self, case: &str, name: &str) -> Vec<u8> {
        self.numbers(case, name).into_iter().map(|v| v as u8).collect()
    }

    pub(crate) fn indices(&self, case: &str, name: &str) -> Vec<usize> {
        self.numbers(case, name).into_iter().map(|v| v as usize).collect()
    }
}

pub(crate) fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// `max|got - want| / max|want|` is below the tolerance. What is below 1e-9 is rounding noise of the reference.
pub(crate) fn assert_close(what: &str, got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{what}");
    let largest = want.iter().fold(1e-9, |m: f64, v| m.max(v.abs()));
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (got - want).abs() / largest;
        // Written so that NaN fails.
        assert!(error < TOLERANCE, "{what}[{i}]: {got} instead of {want}, relative error {error:e}");
    }
}
