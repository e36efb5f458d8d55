//! What the machine and the operating system say of this process. Where they say nothing, there is no value.

use std::path::Path;

/// The processor's name.
pub fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let (_, name) =
        text.lines().find_map(|line| line.split_once(':').filter(|(key, _)| key.trim() == "model name"))?;
    Some(name.trim().to_owned())
}

/// The most memory that this process has held so far, in bytes.
pub fn peak_memory() -> Option<u64> {
    kib(&std::fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// The memory that this process holds now, in bytes.
pub fn resident_memory() -> Option<u64> {
    kib(&std::fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// The files, pipes and sockets that this process has open.
pub fn open_files() -> Option<usize> {
    // One of them is the folder that is read here.
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count() - 1)
}

/// The memory that a process could take without swapping, in bytes: what the system has, or what a container is allowed.
pub fn available_memory() -> Option<u64> {
    let of_system = kib(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?;
    Some(container_memory().map_or(of_system, |bytes| bytes.min(of_system)))
}

/// What the control group of this process may still take. The page cache counts as taken there, but gives way.
fn container_memory() -> Option<u64> {
    let read = |file: &str| std::fs::read_to_string(format!("/sys/fs/cgroup/{file}")).ok();
    let limit: u64 = read("memory.max")?.trim().parse().ok()?;
    let current: u64 = read("memory.current")?.trim().parse().ok()?;
    let cached =
        read("memory.stat")?.lines().find_map(|line| line.strip_prefix("inactive_file ")?.parse().ok());
    Some(limit.saturating_sub(current.saturating_sub(cached.unwrap_or(0))))
}

/// The bytes that may still be written to the file system of a folder, or of the first folder above it that is there.
pub fn free_disk(folder: &Path) -> Option<u64> {
    // `runs/x` has the parent `runs`, and that one the empty path, which is the current folder.
    let there =
        folder.ancestors().map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path });
    let there = { there }.find(|path| path.exists())?;
    #[cfg(unix)]
    {
        let found = rustix::fs::statvfs(there).ok()?;
        Some(found.f_bavail.saturating_mul(found.f_frsize))
    }
    #[cfg(not(unix))]
    {
        let _ = there;
        None
    }
}

/// A line `NAME   N kB` of a file of the system, in bytes.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_system_are_kibibytes() {
        let text = "Name:\ttandem\nVmHWM:\t  2048 kB\n";
        assert_eq!(kib(text, "VmHWM:"), Some(2 << 20));
        assert_eq!(kib(text, "VmRSS:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_says_what_it_has() {
        assert!(available_memory().unwrap() > 1 << 20);
        assert!(open_files().unwrap() >= 3);
        let block = std::hint::black_box(vec![1u8; 64 << 20]);
        assert!(resident_memory().unwrap() >= block.len() as u64);
        assert!(peak_memory().unwrap() >= resident_memory().unwrap() / 2);
    }

    #[cfg(unix)]
    #[test]
    fn the_disk_of_a_folder_that_is_not_made_yet_is_that_of_its_parent() {
        let folder = tempfile::tempdir().unwrap();
        let free = free_disk(&folder.path().join("runs/one")).unwrap();
        assert!(free > 0 && free_disk(Path::new("not/there")).is_some());
    }
}
