//! Tests of the training loop as a whole.

mod guards;
mod reference;
mod resume;
mod run;
mod trajectory;
