//! Safetensors files.

use crate::dtype::Dtype;
use crate::{Array, Arrays, Parsed};
use safetensors::SafeTensors;

/// All arrays of a file.
pub(crate) fn arrays(bytes: &[u8]) -> Parsed<Arrays> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|error| format!("is no whole safetensors file ({error}); copy or save it anew"))?;
    let mut arrays = Arrays::new();
    for (name, view) in file.iter() {
        let kind = view.dtype();
        let Some(dtype) = Dtype::of_safetensors(kind) else {
            return Err(format!(
                "has values of type {kind:?} in {name:?}, which are not read; save them as F32"
            ));
        };
        let array = Array { shape: view.shape().to_vec(), values: dtype.values(view.data()) };
        arrays.insert(name.to_owned(), array);
    }
    Ok(arrays)
}
