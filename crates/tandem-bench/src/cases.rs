//! What is measured: the one list that both sides take their cases from.

use crate::layers::{Layer, distinct};
use crate::reading;
use anyhow::{Result, bail};
use serde::Serialize;
use std::path::PathBuf;
use tandem_networks::{NetworkConfig, layers};
use tandem_ops3d::Device;
use tandem_reference::reference;

/// The networks that are measured: those of `dual-networks`.
pub(crate) const NETWORKS: [&str; 2] = ["vnet", "resnet34"];

/// Something to measure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Case {
    /// Its name in tables; a case of several results adds what each is.
    #[serde(rename = "case")]
    pub(crate) name: String,
    pub(crate) precision: Precision,
    /// Where it runs.
    pub(crate) device: &'static str,
    /// Threads, where not all.
    pub(crate) threads: Option<usize>,
    /// Whether PyTorch is measured too.
    pub(crate) peer: bool,
    /// Floating-point operations in 10^9, where they are known from shapes.
    pub(crate) gflop: Option<f64>,
    #[serde(flatten)]
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Precision {
    F32,
    Bf16,
}

impl Precision {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
        }
    }

    pub(crate) fn of_networks(self) -> tandem_networks::Precision {
        match self {
            Precision::F32 => tandem_networks::Precision::F32,
            Precision::Bf16 => tandem_networks::Precision::Bf16,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A network's forward pass in evaluation mode.
    Forward {
        network: &'static str,
        #[serde(flatten)]
        size: Size,
    },
    /// One network learning from labels alone: forward, cross-entropy and Dice, backward, SGD.
    Step {
        network: &'static str,
        #[serde(flatten)]
        size: Size,
    },
    /// A step of the method `dual-networks`, half of the batch labelled.
    Dual {
        #[serde(flatten)]
        size: Size,
    },
    /// Both networks' sliding window over a whole scan.
    Inference(Scan),
    /// All scans of a folder, opened, decoded and z-scored.
    Scans { folder: PathBuf },
    /// A random patch of a prepared scan.
    Crops { patch: [usize; 3] },
    /// All metrics of a pair of masks of a scan's size.
    Metrics { sides: [usize; 3] },
    /// The largest connected component of such a mask.
    Component { sides: [usize; 3] },
    /// One convolution, forward, and forward and backward.
    Layer(Layer),
    /// What the machine can do at most.
    Limits,
}

/// Size of a network and its batch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Size {
    /// Sides of a patch in voxels.
    pub(crate) sides: [usize; 3],
    pub(crate) filters: usize,
    pub(crate) batch: usize,
}

/// A scan and the window that slides over it, in voxels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Scan {
    pub(crate) scan: [usize; 3],
    pub(crate) patch: [usize; 3],
    pub(crate) stride: [usize; 3],
    pub(crate) filters: usize,
    /// Windows that pass a network at once.
    pub(crate) batch: usize,
}

/// The paper's patch.
const FULL: [usize; 3] = [112, 112, 80];

/// Patches over which the cost of a voxel is compared.
const SIZES: [[usize; 3]; 6] = [[16, 16, 16], [48, 48, 32], [64, 64, 48], [96, 96, 64], FULL, [128, 128, 96]];

/// Batch of the layers.
const LAYER_BATCH: usize = 2;

/// All cases of a device, those of networks and layers in f32 and in bf16. Scans are only there with the reference data.
pub(crate) fn all(device: &Device) -> Result<Vec<Case>> {
    let mut found = vec![Case::new("limits".to_owned(), Kind::Limits)];
    let (one, four) = (Size::new(FULL, 16, 1), Size::new(FULL, 16, 4));
    let forward = |network, size| (Kind::Forward { network, size }, format!("{network}-forward"));
    let step = |network, size| (Kind::Step { network, size }, format!("{network}-step"));
    let dual = |size| (Kind::Dual { size }, "dual".to_owned());
    let table = [
        forward("vnet", one),
        step("vnet", four.clone()),
        step("resnet34", four.clone()),
        dual(four),
        dual(Size::new([48, 48, 32], 8, 4)),
    ];
    for (kind, prefix) in table {
        found.push(Case { peer: true, ..Case::of_network(&prefix, kind)? });
    }
    let scan = [200, 200, 88];
    let kind = Kind::Inference(Scan { scan, patch: FULL, stride: [18, 18, 4], filters: 16, batch: 4 });
    found.push(Case { peer: true, ..Case::new(format!("inference-{}-f16", sides_name(scan)), kind) });
    for threads in [1, 2] {
        let case =
            Case::of_network(&format!("threads{threads}-dual"), dual(Size::new([64, 64, 48], 16, 4)).0)?;
        // The machine's limits are those of all its threads.
        found.push(Case { threads: Some(threads), peer: true, gflop: None, ..case });
    }
    for sides in SIZES {
        found.push(Case::of_network("size-dual", dual(Size::new(sides, 16, 4)).0)?);
    }
    for layer in distinct(FULL, 16, LAYER_BATCH)? {
        let name = format!("layer-{}", layer.name);
        found.push(Case { peer: true, ..Case::new(name, Kind::Layer(layer)) });
    }
    if let Some(folder) = reference("la/images") {
        found.push(Case::new("read-la80".to_owned(), Kind::Scans { folder }));
    }
    found.push(Case::new(format!("crop-{}", sides_name(FULL)), Kind::Crops { patch: FULL }));
    let sides = reading::SCAN;
    found.push(Case::new(format!("metrics-{}", sides_name(sides)), Kind::Metrics { sides }));
    found.push(Case::new(format!("metrics-component-{}", sides_name(sides)), Kind::Component { sides }));
    let both = |case: Case| {
        let narrow = Case { precision: Precision::Bf16, ..case.clone() };
        let measured_once = matches!(
            case.kind,
            Kind::Limits
                | Kind::Scans { .. }
                | Kind::Crops { .. }
                | Kind::Metrics { .. }
                | Kind::Component { .. }
        );
        std::iter::once(case).chain((!measured_once).then_some(narrow))
    };
    let found = found.into_iter().flat_map(both);
    Ok(match device {
        Device::Cpu => found.collect(),
        Device::Cuda(_) => {
            let on_gpu = found.filter(Case::can_run_on_gpu);
            on_gpu.map(|case| Case { device: "cuda", ..case }).collect()
        }
    })
}

impl Case {
    fn new(name: String, kind: Kind) -> Self {
        Case { name, precision: Precision::F32, device: "cpu", threads: None, peer: false, gflop: None, kind }
    }

    /// Whether its work is that of whole networks, on however many threads.
    fn can_run_on_gpu(&self) -> bool {
        let of_networks = matches!(
            self.kind,
            Kind::Forward { .. } | Kind::Step { .. } | Kind::Dual { .. } | Kind::Inference(_) | Kind::Limits
        );
        of_networks && self.threads.is_none()
    }

    /// A case named `PREFIX-SIZE`, with the operations of its convolutions.
    fn of_network(prefix: &str, kind: Kind) -> Result<Self> {
        let (networks, size, training) = match &kind {
            Kind::Forward { network, size } => (vec![*network], size, false),
            Kind::Step { network, size } => (vec![*network], size, true),
            Kind::Dual { size } => (NETWORKS.to_vec(), size, true),
            _ => bail!("{prefix} is no pass of a network"),
        };
        let config = NetworkConfig { filters: size.filters, ..Default::default() };
        let mut flop = 0;
        for network in networks {
            for layer in layers(network, &config, size.batch, size.sides)? {
                flop += if training { layer.training_flop()? } else { layer.forward_flop()? };
            }
        }
        let name = format!("{prefix}-{}", size.name());
        Ok(Case { gflop: Some(flop as f64 / 1e9), ..Case::new(name, kind) })
    }
}

impl Size {
    fn new(sides: [usize; 3], filters: usize, batch: usize) -> Self {
        Size { sides, filters, batch }
    }

    /// As in `112x112x80-f16-b4`.
    fn name(&self) -> String {
        format!("{}-f{}-b{}", sides_name(self.sides), self.filters, self.batch)
    }
}

/// As in `112x112x80`.
pub(crate) fn sides_name([d, h, w]: [usize; 3]) -> String {
    format!("{d}x{h}x{w}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_those_of_the_table_are_there() {
        let cases = all(&Device::Cpu).unwrap();
        let names: BTreeSet<_> = cases.iter().map(|case| (&case.name, case.precision.name())).collect();
        assert_eq!(names.len(), cases.len());
        for name in [
            "vnet-forward-112x112x80-f16-b1",
            "vnet-step-112x112x80-f16-b4",
            "resnet34-step-112x112x80-f16-b4",
            "dual-112x112x80-f16-b4",
            "dual-48x48x32-f8-b4",
            "inference-200x200x88-f16",
            "layer-conv3-16-16-112x112x80",
            "layer-conv7-1-16-112x112x80",
            "layer-conv3s2-16-32-112x112x80",
            "layer-up2-32-16-56x56x40",
            "layer-conv1-16-2-112x112x80",
        ] {
            for precision in ["f32", "bf16"] {
                assert!(names.contains(&(&name.to_owned(), precision)), "{name} {precision}");
            }
        }
    }

    #[test]
    fn a_gpu_runs_whole_networks_on_however_many_threads() {
        let cases = all(&Device::Cpu).unwrap();
        let found: Vec<_> =
            cases.iter().filter(|case| case.can_run_on_gpu()).map(|case| &case.name).collect();
        for name in ["limits", "vnet-forward-112x112x80-f16-b1", "dual-112x112x80-f16-b4"] {
            assert!(found.iter().any(|found| *found == name), "{name}");
        }
        let rest =
            |name: &str| ["layer", "threads", "crop", "metrics"].iter().any(|kind| name.starts_with(kind));
        assert!(!found.iter().any(|name| rest(name)), "{found:?}");
    }

    #[test]
    fn a_case_is_one_flat_object() {
        let cases = all(&Device::Cpu).unwrap();
        let case = cases.iter().find(|case| case.name.starts_with("vnet-step")).unwrap();
        let value = serde_json::to_value(case).unwrap();
        assert_eq!((&value["kind"], &value["network"]), (&"step".into(), &"vnet".into()));
        assert_eq!(
            (&value["sides"][2], &value["batch"], &value["precision"]),
            (&80.into(), &4.into(), &"f32".into())
        );
    }

    #[test]
    fn operations_are_those_that_pytorch_counts() {
        // By hooks on the convolutions of the same networks: a forward pass at 112 x 112 x 80 with 16 filters.
        for (network, expected) in [("vnet", 80.22), ("resnet34", 145.47)] {
            let kind = Kind::Forward { network, size: Size::new(FULL, 16, 1) };
            let gflop = Case::of_network("", kind).unwrap().gflop.unwrap();
            assert!((gflop - expected).abs() < 0.01, "{network}: {gflop}");
        }
    }
}
