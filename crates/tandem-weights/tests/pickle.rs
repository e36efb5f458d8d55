//! Pickles byte by byte.

/// A text.
pub(crate) fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

/// A whole number.
pub(crate) fn int(value: i64) -> Vec<u8> {
    [&[0x8a, 8][..], &value.to_le_bytes()].concat()
}

/// A tuple.
pub(crate) fn tuple(parts: &[Vec<u8>]) -> Vec<u8> {
    [b"(", &parts.concat()[..], b"t"].concat()
}

/// A tuple of whole numbers.
pub(crate) fn ints(values: &[i64]) -> Vec<u8> {
    tuple(&values.iter().map(|value| int(*value)).collect::<Vec<_>>())
}

/// A dictionary.
pub(crate) fn dict(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let pairs: Vec<_> = pairs.iter().map(|(key, value)| [text(key), value.clone()].concat()).collect();
    [b"}(", &pairs.concat()[..], b"u"].concat()
}

/// A storage of f32 values.
pub(crate) fn storage(key: &str, values: i64) -> Vec<u8> {
    let class = b"ctorch\nFloatStorage\n".to_vec();
    [tuple(&[text("storage"), class, text(key), text("cpu"), int(values)]), b"Q".to_vec()].concat()
}

/// A tensor in a storage.
pub(crate) fn tensor(storage: Vec<u8>, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let arguments = [storage, int(offset), ints(shape), ints(strides), vec![0x89], ordered()];
    [b"ctorch._utils\n_rebuild_tensor_v2\n", &tuple(&arguments)[..], b"R"].concat()
}

/// An OrderedDict without anything in it.
pub(crate) fn ordered() -> Vec<u8> {
    b"ccollections\nOrderedDict\n)R".to_vec()
}

/// An honest tensor of the four values.
pub(crate) fn four() -> Vec<u8> {
    tensor(storage("0", 4), 0, &[2, 2], &[2, 1])
}

/// A whole pickle of a value.
pub(crate) fn whole(value: &[u8]) -> Vec<u8> {
    [&[0x80, 2][..], value, b"."].concat()
}
