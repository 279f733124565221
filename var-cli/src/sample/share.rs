//! Work shared out between processes that a launcher started and numbered.

use var_host::engine::ImageSpec;
use var_host::parallel::Launch;
use var_host::plural::count;

/// This process's share: number `rank` of `of`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) rank: usize,
    pub(super) of: usize,
}

impl Share {
    /// The jobs of this process: every `of`th.
    pub(super) fn part(self, jobs: Vec<ImageSpec>) -> Vec<ImageSpec> {
        jobs.into_iter().skip(self.rank).step_by(self.of).collect()
    }
}

impl From<&Launch> for Share {
    fn from(launch: &Launch) -> Self {
        Self { rank: launch.rank, of: launch.size }
    }
}

/// Says which part of the work this process does, whatever is asked to be quiet: a part of the images
/// is no whole set of samples.
pub(super) fn announce(launch: &Launch, own: usize, all: usize) {
    if let Some(share) = launch.share() {
        eprintln!("{share}: makes {own} of {}", count(all, "image"));
    } else if let Some(line) = launch.forgotten_srun() {
        eprintln!("{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_make_up_the_whole() {
        let jobs: Vec<ImageSpec> = (0..10).map(|index| ImageSpec { index, label: 0 }).collect();
        let parts = (0..3).flat_map(|rank| Share { rank, of: 3 }.part(jobs.clone()));
        let mut indices: Vec<u32> = parts.map(|job| job.index).collect();
        assert_eq!(indices, [0, 3, 6, 9, 1, 4, 7, 2, 5, 8]);
        indices.sort_unstable();
        assert_eq!(indices, Vec::from_iter(0..10));
    }
}
