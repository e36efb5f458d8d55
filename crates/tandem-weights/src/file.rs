//! Which kind of file it is.

use crate::{Arrays, Error, Parsed, Result, safe, torch};
use std::fs;
use std::path::Path;

/// How to make a state dict that is read here.
pub(crate) const REMEDY: &str =
    "save the state dict alone with PyTorch 1.6 or later: torch.save(net.state_dict(), FILE)";

/// Reads all arrays of a PyTorch state dict (`.pth`, `.pt`) or of a safetensors file; which it is, its bytes say.
///
/// Takes the file's size in memory, and up to four times that for the arrays.
///
/// # Errors
/// Where the file cannot be read, and as [`of_bytes`].
pub fn read(path: &Path) -> Result<Arrays> {
    let bytes = fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    of_bytes(path, &bytes)
}

/// The arrays of a file that has these bytes; `path` is what messages call it.
///
/// # Errors
/// Where the bytes are neither format, are damaged, contradict themselves, or ask for anything but tensors and containers.
pub fn of_bytes(path: &Path, bytes: &[u8]) -> Result<Arrays> {
    arrays(bytes).map_err(|problem| refused(path, problem))
}

fn arrays(bytes: &[u8]) -> Parsed<Arrays> {
    let is_tar = bytes.get(257..262) == Some(&b"ustar"[..]);
    // A pickle's first opcode, with its version.
    let is_pickle = matches!(bytes, [0x80, 1..=5, ..]);
    // The length of a safetensors file's header, then the header, which is JSON.
    let is_safetensors = bytes.get(8) == Some(&b'{');
    match bytes {
        [b'P', b'K', ..] => torch::arrays(bytes),
        _ if is_tar || is_pickle => Err(format!(
            "is a file of PyTorch before 1.6 ({}), which is not read; {REMEDY}",
            if is_tar { "a tar archive" } else { "a bare pickle" }
        )),
        _ if is_safetensors => safe::arrays(bytes),
        _ => Err(format!("is neither a PyTorch state dict nor a safetensors file; {REMEDY}")),
    }
}

fn refused(path: &Path, problem: String) -> Error {
    Error::Refused { path: path.to_owned(), problem }
}
