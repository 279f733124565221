//! Work shared out between processes that a launcher started and numbered.

use anyhow::Result;
use var_host::engine::Job;
use var_host::parallel::Launch;

use crate::args::Usage;

/// This process's share: number `rank` of `of`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) rank: usize,
    pub(super) of: usize,
}

impl Share {
    /// The jobs of this process: every `of`th.
    pub(super) fn part(self, jobs: Vec<Job>) -> Vec<Job> {
        jobs.into_iter().skip(self.rank).step_by(self.of).collect()
    }
}

/// The share the environment names; all of it where it names none.
pub(super) fn from_environment() -> Result<Share> {
    let launch = Launch::from_environment().map_err(|error| Usage(error.to_string()))?;
    Ok(Share { rank: launch.rank, of: launch.size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_make_up_the_whole() {
        let jobs: Vec<Job> = (0..10).map(|index| Job { index, label: 0 }).collect();
        let parts = (0..3).flat_map(|rank| Share { rank, of: 3 }.part(jobs.clone()));
        let mut indices: Vec<u32> = parts.map(|job| job.index).collect();
        assert_eq!(indices, [0, 3, 6, 9, 1, 4, 7, 2, 5, 8]);
        indices.sort_unstable();
        assert_eq!(indices, Vec::from_iter(0..10));
    }
}
