//! Files of weights, honest and hostile.
#![forbid(unsafe_code)]

mod archive;
mod pickle;

mod honest;
mod pickles;
mod zips;
