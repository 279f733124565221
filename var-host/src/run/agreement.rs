//! That ranks which train one model were given the same options.

use serde_json::{Map, Value};

use super::RunError;
use super::settings::{RunConfig, differences};
use crate::parallel::{ProcessGroup, gather};

/// Refuses options that differ between ranks and are not a rank's own. All ranks refuse alike: each
/// knows the options of all. An option that is null is as good as none.
///
/// # Errors
/// [`RunError::RankOptions`] with all options of the first rank that differs from rank 0; those of the
/// ranks.
pub fn check_ranks_agree(ranks: &dyn ProcessGroup, config: &RunConfig) -> Result<(), RunError> {
    if ranks.size() == 1 {
        return Ok(());
    }
    let own = serde_json::to_vec(&config.of_all_ranks()).expect("a map of plain values");
    let all = gather(ranks, &own)?;
    let of_rank = |rank: usize| -> Map<String, Value> {
        // Ranks of one version write alike; of another the differences tell.
        serde_json::from_slice(&all[rank]).unwrap_or_default()
    };
    let first = of_rank(0);
    for rank in 1..ranks.size() {
        let differences = differences(&first, &of_rank(rank), &|_| false);
        if !differences.is_empty() {
            return Err(RunError::RankOptions { rank, differences });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use serde_json::json;

    use super::*;
    use crate::parallel::ThreadGroup;

    /// Each rank's result for these options.
    fn outcomes(options: &[Value]) -> Vec<Result<(), String>> {
        thread::scope(|scope| {
            let threads =
                ThreadGroup::new(options.len()).into_iter().zip(options).map(|(ranks, own)| {
                    let mut learned = own.as_object().unwrap().clone();
                    let local = learned.remove_entry("data").into_iter().collect();
                    let config = RunConfig { learned, local, ..RunConfig::default() };
                    scope.spawn(move || check_ranks_agree(&ranks, &config))
                });
            let threads = Vec::from_iter(threads);
            let results = threads.into_iter().map(|thread| thread.join().unwrap());
            results.map(|result| result.map_err(|error| error.to_string())).collect()
        })
    }

    /// R02.
    #[test]
    fn ranks_with_other_options_are_refused_by_all() {
        let own = json!({"seed": 0, "tblr": 1e-4, "data": "/a", "ls": null});
        let moved = json!({"seed": 0.0, "tblr": 1e-4, "data": "/b"});
        assert_eq!(outcomes(&[own.clone(), moved.clone(), own.clone()]), vec![Ok(()); 3]);
        let other = json!({"seed": 5, "tblr": 1.0, "data": "/a", "ls": 0.1});
        let text = "--ls: rank 0 is without, rank 2 has 0.1; --seed: rank 0 has 0, rank 2 has 5; \
                    --tblr: rank 0 has 0.0001, rank 2 has 1.0: ranks of one run want the same";
        assert_eq!(outcomes(&[own, moved, other]), vec![Err(text.to_owned()); 3]);
        // One rank has the files, another has not.
        let with = json!({"lpips-digest": "0123"});
        let text =
            "--lpips: rank 0 has files of digest none, rank 1 0123: ranks of one run want the same";
        assert_eq!(outcomes(&[json!({}), with]), vec![Err(text.to_owned()); 2]);
    }
}
