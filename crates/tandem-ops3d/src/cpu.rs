//! The CPU kernels: plain slices in, plain slices out.

#[cfg(target_arch = "x86_64")]
pub(crate) mod bf16;
pub(crate) mod conv;
pub(crate) mod element;
pub(crate) mod filter;
pub(crate) mod gather;
pub(crate) mod head;
pub(crate) mod kernels;
pub(crate) mod norm;
pub(crate) mod packed;
pub(crate) mod pad;
pub(crate) mod path;
pub(crate) mod pointwise;
pub(crate) mod rows;
pub(crate) mod scratch;
pub(crate) mod simd;
pub(crate) mod transpose;
mod window;
pub(crate) mod winograd;
