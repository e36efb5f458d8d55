//! The CPU kernels: plain slices in, plain slices out.

pub(crate) mod simd;
pub(crate) mod scratch;
pub(crate) mod pad;
pub(crate) mod gather;
pub(crate) mod conv;
pub(crate) mod filter;
pub(crate) mod norm;
pub(crate) mod pointwise;
