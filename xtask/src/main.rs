//! Every `cargo xtask VERB`.
fn main() {}
