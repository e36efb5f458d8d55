//! End-to-end tests: the program as its users run it, on tiny scans.
#![forbid(unsafe_code)]

mod program;
mod scans;

mod channels;
mod check_data;
mod custom;
mod experiment;
#[cfg(target_os = "linux")]
mod faults;
mod grid;
mod hostile_input;
mod inspect;
mod interrupt;
mod kill;
mod memory;
mod messages;
mod models;
mod pancreas;
mod precision;
mod predict;
mod prepare_data;
mod report;
mod settings;
mod steady;
mod verify;
mod watching;
