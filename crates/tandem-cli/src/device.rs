//! Where networks run.

use anyhow::{Context, Result};
use candle_core::Device;
use candle_core::utils::cuda_is_available;
use clap::ValueEnum;
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
    cuda_is_available()
}

/// The device of a choice.
pub(crate) fn open(choice: DeviceChoice) -> Result<Device> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Auto if !has_gpu() => Ok(Device::Cpu),
        DeviceChoice::Auto | DeviceChoice::Cuda => {
            Device::new_cuda(0).context("this program has no CUDA device; use --device cpu")
        }
    }
}
