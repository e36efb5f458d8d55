//! Tests of the training loop as a whole.

mod exact;
mod faults;
mod guards;
mod learning;
mod model;
mod reference;
mod resume;
mod run;
mod trajectory;
mod views;
