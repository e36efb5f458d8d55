//! Where networks run.

use crate::output::say;
use anyhow::{Context, Result};
use clap::ValueEnum;
use tandem_ops3d::Device;
use tandem_training::DeviceChoice;

/// `--device`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceName {
    /// A GPU where there is one, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The first CUDA device.
    Cuda,
}

impl DeviceName {
    /// As the option takes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            DeviceName::Auto => "auto",
            DeviceName::Cpu => "cpu",
            DeviceName::Cuda => "cuda",
        }
    }
}

impl From<DeviceName> for DeviceChoice {
    fn from(name: DeviceName) -> Self {
        match name {
            DeviceName::Auto => DeviceChoice::Auto,
            DeviceName::Cpu => DeviceChoice::Cpu,
            DeviceName::Cuda => DeviceChoice::Cuda,
        }
    }
}

/// Whether this build can use a GPU and there is one.
pub(crate) fn has_gpu() -> bool {
    Device::missing_for_cuda(0).is_none()
}

/// The device of a choice.
pub(crate) fn open(choice: DeviceChoice) -> Result<Device> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Cuda => Device::cuda(0).context("--device cuda"),
        DeviceChoice::Auto => match Device::missing_for_cuda(0) {
            None => Ok(Device::cuda(0)?),
            // Only a program that was made for GPUs is expected to use one.
            Some(missing) => {
                if cfg!(feature = "cuda") {
                    say(format!("no CUDA device: {missing}; computing on the CPU"));
                }
                Ok(Device::Cpu)
            }
        },
    }
}
