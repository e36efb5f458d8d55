//! The checkpoints that a run folder keeps.

use crate::{Checkpoint, Error, Result};
use candle_core::Device;
use std::fs;
use std::path::{Path, PathBuf};
use tandem_volume::link_whole;

/// How many checkpoints of steps are kept.
pub(crate) const KEPT: usize = 2;

/// The name of the folder in a run folder.
pub(crate) const CHECKPOINTS: &str = "checkpoints";

/// The folder `checkpoints` of a run: `step-NNNNNNNN.safetensors`, the last two; `best.safetensors`, the one that did best
/// on the validation cases, where a run validates before its end; `final.safetensors`, that of the last step.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// Those of a run folder.
    pub fn of(run: &Path) -> Self {
        Checkpoints { folder: run.join(CHECKPOINTS) }
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file of the state after so many steps.
    pub fn after(&self, steps: u64) -> PathBuf {
        // Fixed width, so that the order of names is that of steps.
        self.folder.join(format!("step-{steps:08}.safetensors"))
    }

    /// The file of the state after the last step.
    pub fn last(&self) -> PathBuf {
        self.folder.join("final.safetensors")
    }

    /// The file of the state that did best on the validation cases.
    pub fn best(&self) -> PathBuf {
        self.folder.join("best.safetensors")
    }

    /// The file that a trained run is used by: the last step's, or the newest where training has not ended.
    ///
    /// # Errors
    /// Where the folder cannot be read or holds none.
    pub fn trained(&self) -> Result<PathBuf> {
        let problem = "holds no checkpoint; the run was stopped before its first one: resume it";
        self.newest_first()?.into_iter().next().ok_or_else(|| Error::run_file(&self.folder, problem))
    }

    /// Reads the newest checkpoint that is whole; none where there are none at all. `damaged` is told of newer ones that
    /// are not.
    ///
    /// # Errors
    /// Where the folder cannot be read, or no checkpoint of it is whole; the message names all of them.
    pub fn newest(
        &self,
        device: &Device,
        damaged: &mut dyn FnMut(&Error),
    ) -> Result<Option<(PathBuf, Checkpoint)>> {
        let mut problems = Vec::new();
        for path in self.newest_first()? {
            match Checkpoint::load(&path, device) {
                Ok(checkpoint) => {
                    problems.iter().for_each(damaged);
                    return Ok(Some((path, checkpoint)));
                }
                Err(error) => problems.push(error),
            }
        }
        if problems.is_empty() {
            return Ok(None);
        }
        let all: Vec<String> = problems.iter().map(Error::to_string).collect();
        let problem = format!(
            "holds no checkpoint that can be used ({}); restore one of them, or start the run anew in another folder",
            all.join("; ")
        );
        Err(Error::run_file(&self.folder, problem))
    }

    /// Keeps a checkpoint of this folder as the best one.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn keep_best(&self, checkpoint: &Path) -> Result<()> {
        Ok(link_whole(checkpoint, self.best())?)
    }

    /// Removes all checkpoints of steps but the last two up to `steps`. Later ones are damaged: a run goes on from the newest
    /// that is whole.
    ///
    /// # Errors
    /// Where the folder cannot be read or a file cannot be removed.
    pub fn keep_last(&self, steps: u64) -> Result<()> {
        let newest = self.after(steps);
        let (later, mut paths): (Vec<_>, Vec<_>) = self.steps()?.into_iter().partition(|path| *path > newest);
        paths.truncate(paths.len().saturating_sub(KEPT));
        later.iter().chain(&paths).try_for_each(|path| fs::remove_file(path).map_err(Error::io(path)))
    }

    /// The files that a run can go on from.
    fn newest_first(&self) -> Result<Vec<PathBuf>> {
        let steps = self.steps()?.into_iter().rev();
        Ok(Some(self.last()).filter(|path| path.exists()).into_iter().chain(steps).collect())
    }

    /// The checkpoints of steps, oldest first.
    fn steps(&self) -> Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(Error::io(&self.folder))? {
            let path = entry.map_err(Error::io(&self.folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("step-") && name.ends_with(".safetensors") {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::tests::sample;

    /// A run folder with checkpoints after so many steps.
    fn run(steps: &[u64]) -> (tempfile::TempDir, Checkpoints) {
        let run = tempfile::tempdir().unwrap();
        let kept = Checkpoints::of(run.path());
        fs::create_dir(kept.folder()).unwrap();
        steps.iter().for_each(|&steps| sample(steps).save(&kept.after(steps)).unwrap());
        (run, kept)
    }

    /// Steps of the checkpoint that is used, and what is said of newer ones.
    fn newest(kept: &Checkpoints) -> (Option<u64>, Vec<String>) {
        let mut damaged = Vec::new();
        let found = kept.newest(&Device::Cpu, &mut |error| damaged.push(error.to_string())).unwrap();
        (found.map(|(_, checkpoint)| checkpoint.header.steps), damaged)
    }

    #[test]
    fn the_last_two_are_kept_and_later_ones_go() {
        let (_run, kept) = run(&[5, 10, 100, 1000]);
        kept.keep_last(100).unwrap();
        assert_eq!(kept.steps().unwrap(), [kept.after(10), kept.after(100)]);
    }

    #[test]
    fn the_newest_whole_one_is_used_and_damaged_ones_are_named() {
        let (_run, kept) = run(&[]);
        assert_eq!(newest(&kept), (None, Vec::new()));
        let none = kept.trained().unwrap_err().to_string();
        let problem = "holds no checkpoint; the run was stopped before its first one: resume it";
        assert_eq!(none, format!("{}: {problem}", kept.folder().display()));

        let (_run, kept) = run(&[5, 10]);
        sample(12).save(&kept.last()).unwrap();
        assert_eq!(newest(&kept), (Some(12), Vec::new()));
        assert_eq!(kept.trained().unwrap(), kept.last());
        let damage = |path: &Path| fs::write(path, "half").unwrap();
        damage(&kept.last());
        damage(&kept.after(10));
        let (steps, damaged) = newest(&kept);
        assert_eq!(steps, Some(5));
        let is_damaged =
            |path: &Path| format!("{}: is not a whole checkpoint: header too small", path.display());
        assert_eq!(damaged, [is_damaged(&kept.last()), is_damaged(&kept.after(10))]);
    }

    #[test]
    fn where_none_is_whole_all_are_named() {
        let (_run, kept) = run(&[5, 10]);
        for steps in [5, 10] {
            fs::write(kept.after(steps), "half").unwrap();
        }
        let message = kept.newest(&Device::Cpu, &mut |_| {}).unwrap_err().to_string();
        let is_damaged =
            |path: PathBuf| format!("{}: is not a whole checkpoint: header too small", path.display());
        let expected = format!(
            "{}: holds no checkpoint that can be used ({}; {}); restore one of them, or start the run anew in another folder",
            kept.folder().display(),
            is_damaged(kept.after(10)),
            is_damaged(kept.after(5))
        );
        assert_eq!(message, expected);
    }
}
