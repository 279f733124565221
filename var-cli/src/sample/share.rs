//! Work shared out between processes that `RANK` and `WORLD_SIZE` number, as launchers set them.

use std::env;

use anyhow::Result;
use var_host::engine::Job;

use crate::args::Usage;

/// This process's share: number `rank` of `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    let variable = |name| env::var(name).ok();
    parse(variable("RANK").as_deref(), variable("WORLD_SIZE").as_deref())
        .map_err(|text| Usage(text).into())
}

fn parse(rank: Option<&str>, world_size: Option<&str>) -> Result<Share, String> {
    let Some(world_size) = world_size else { return Ok(Share { rank: 0, of: 1 }) };
    let number = |name: &str, text: &str| {
        text.trim().parse().map_err(|_| format!("{name} in the environment: {text:?} is no number"))
    };
    let of = number("WORLD_SIZE", world_size)?;
    let rank = match rank {
        Some(rank) => number("RANK", rank)?,
        None if of == 1 => 0,
        None => return Err(format!("WORLD_SIZE is {of} in the environment, RANK is not set")),
    };
    if rank < of {
        Ok(Share { rank, of })
    } else {
        Err(format!("RANK is {rank} in the environment, WORLD_SIZE {of}"))
    }
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

    #[test]
    fn the_environment_must_make_sense() {
        assert_eq!(parse(None, None), Ok(Share { rank: 0, of: 1 }));
        assert_eq!(parse(Some("1"), Some("2")), Ok(Share { rank: 1, of: 2 }));
        assert_eq!(parse(None, Some("1")), Ok(Share { rank: 0, of: 1 }));
        for (rank, world_size) in
            [(Some("2"), "2"), (None, "2"), (Some("x"), "2"), (Some("0"), "0")]
        {
            assert!(parse(rank, Some(world_size)).is_err(), "{rank:?} {world_size}");
        }
    }
}
