//! Where the libraries of CUDA lie, and which of them are there.
//!
//! The loader of the system finds libraries in its own folders and those of `LD_LIBRARY_PATH`. Those of Python's wheels (`nvidia-*`)
//! lie elsewhere, so what is found there is opened by its full path first: a library that is open already is found by its name.

use cudarc::{cudnn, driver, nvrtc};
use libloading::Library;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Folders of libraries, one after the other, separated by colons.
const FOLDERS: &str = "TANDEM_CUDA_LIBRARIES";

/// What is opened by path, each before what needs it: the beginnings of their names.
const OPENED: [&str; 5] =
    ["libnvrtc-builtins.so.", "libnvrtc.so.", "libcublasLt.so.", "libcublas.so.", "libcudnn.so."];

/// The libraries that this process has.
#[derive(Debug)]
pub(crate) struct Libraries {
    driver: bool,
    compiler: bool,
    cudnn: bool,
}

impl Libraries {
    pub(crate) fn of_process() -> &'static Self {
        static FOUND: OnceLock<Libraries> = OnceLock::new();
        FOUND.get_or_init(|| {
            for start in OPENED {
                open_first(&folders(), start);
            }
            // SAFETY: they are libraries of CUDA, which may be opened at any time.
            unsafe {
                Libraries {
                    driver: driver::sys::is_culib_present(),
                    compiler: nvrtc::sys::is_culib_present(),
                    cudnn: cudnn::sys::is_culib_present(),
                }
            }
        })
    }

    /// What a GPU cannot do without.
    pub(crate) fn missing(&self) -> Option<String> {
        if !self.driver {
            return Some("libcuda.so.1, a part of NVIDIA's driver".to_owned());
        }
        self.missing_to_compile()
    }

    /// What kernels cannot be compiled without.
    pub(crate) fn missing_to_compile(&self) -> Option<String> {
        let remedy = format!("install the Python wheel nvidia-cuda-nvrtc, or name its folder in {FOLDERS}");
        (!self.compiler).then(|| format!("libnvrtc.so, the compiler of kernels; {remedy}"))
    }

    pub(crate) fn cudnn(&self) -> bool {
        self.cudnn
    }
}

/// What is found and where it is looked for, in lines for people.
pub(crate) fn report() -> Vec<String> {
    let found = Libraries::of_process();
    let line = |found: bool, name: &str, what: &str| {
        format!("{name:<14} {} ({what})", if found { "found" } else { "missing" })
    };
    let mut lines = vec![
        line(found.driver, "libcuda.so", "NVIDIA's driver, from CUDA 13.0 on; no GPU without it"),
        line(
            found.compiler,
            "libnvrtc.so",
            "the compiler of kernels, wheel nvidia-cuda-nvrtc; no GPU without it",
        ),
        line(found.cudnn, "libcudnn.so", "fast convolutions, wheel nvidia-cudnn-cu13; slower without it"),
        format!("looked for in the folders of {FOLDERS}, where it is set, then in:"),
    ];
    lines.extend(folders().iter().map(|folder| format!("  {}", folder.display())));
    lines.push("  and where the system's loader looks: LD_LIBRARY_PATH, /etc/ld.so.conf".to_owned());
    lines
}

/// Opens the first library whose name begins so.
fn open_first(folders: &[PathBuf], start: &str) {
    for folder in folders {
        // The alternative builds beside the compiler (`.alt.`) are not wanted.
        let wanted = |name: &str| name.starts_with(start) && !name.contains(".alt.");
        let Some(path) = entries(folder).into_iter().find(|path| name(path).is_some_and(wanted)) else {
            continue;
        };
        // SAFETY: a library of CUDA, which may be opened at any time.
        if let Ok(library) = unsafe { Library::new(&path) } {
            // It stays open.
            std::mem::forget(library);
            return;
        }
    }
}

/// The folders that are looked through before those of the system's loader.
fn folders() -> Vec<PathBuf> {
    let named = std::env::var_os(FOLDERS);
    let mut found: Vec<PathBuf> = named.iter().flat_map(std::env::split_paths).collect();
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    for root in pythons(&variable) {
        for python in entries(&root.join("lib")).iter().filter(|path| starts(path, "python3")) {
            for packages in ["site-packages", "dist-packages"] {
                let wheels = entries(&python.join(packages).join("nvidia"));
                found.extend(wheels.iter().map(|wheel| wheel.join("lib")).filter(|folder| folder.is_dir()));
            }
        }
    }
    for root in ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(variable).chain(["/usr/local/cuda".into()])
    {
        found.push(root.join("lib64"));
    }
    found
}

/// Where Pythons are installed: the active environment, those on the path, the user's packages, the system's.
fn pythons(variable: &dyn Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let mut roots: Vec<PathBuf> = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(variable).collect();
    for folder in variable("PATH").iter().flat_map(std::env::split_paths) {
        if folder.ends_with("bin") && folder.join("python3").exists() {
            roots.extend(folder.parent().map(Path::to_owned));
        }
    }
    roots.extend(variable("HOME").map(|home| home.join(".local")));
    roots.extend(["/usr/local", "/usr"].map(PathBuf::from));
    let mut seen = HashSet::new();
    roots.retain(|root| seen.insert(root.clone()));
    roots
}

fn name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

fn starts(path: &Path, start: &str) -> bool {
    name(path).is_some_and(|name| name.starts_with(start))
}

/// What lies in a folder, sorted; nothing where it cannot be read.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pythons_of_the_path_are_looked_through_once_each_and_after_the_active_one() {
        let place = std::env::temp_dir().join(format!("tandem-pythons-{}", std::process::id()));
        let [active, on_path, without] = ["active", "on-path", "without"].map(|name| place.join(name));
        for root in [&active, &on_path, &without] {
            std::fs::create_dir_all(root.join("bin")).unwrap();
        }
        for root in [&active, &on_path] {
            std::fs::write(root.join("bin/python3"), "").unwrap();
        }
        let folders = [&without, &on_path, &active].map(|root| root.join("bin"));
        let path = std::env::join_paths(folders).unwrap();
        let variable = |name: &str| match name {
            "VIRTUAL_ENV" => Some(active.clone()),
            "PATH" => Some(path.clone().into()),
            _ => None,
        };
        let expected = [active.clone(), on_path.clone(), "/usr/local".into(), "/usr".into()];
        assert_eq!(pythons(&variable), expected);
        std::fs::remove_dir_all(place).unwrap();
    }
}
