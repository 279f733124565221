//! An end before the last iteration that a signal asks for: all ranks after the same iteration.

use crate::parallel::{ProcessGroup, ProcessGroupError};

/// Numbers of signals, from 0.
const SIGNALS: usize = 32;

/// The lowest number among the signals that the ranks have received, the same on all of them; `own` is
/// this rank's.
///
/// # Errors
/// If another rank cannot be reached.
///
/// # Panics
/// If `own` is 32 or more.
pub(super) fn of_any_rank(
    ranks: &dyn ProcessGroup,
    own: Option<u8>,
) -> Result<Option<u8>, ProcessGroupError> {
    if ranks.size() == 1 {
        return Ok(own);
    }
    let mut received = [0.0; SIGNALS];
    if let Some(signal) = own {
        received[usize::from(signal)] = 1.0;
    }
    ranks.sum_f64(&mut received)?;
    Ok((0..).zip(received).find_map(|(signal, ranks)| (ranks > 0.0).then_some(signal)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::{SingleProcess, ThreadGroup};

    #[test]
    fn signal_of_one_rank_is_that_of_all() {
        assert_eq!(of_any_rank(&SingleProcess, Some(15)).unwrap(), Some(15));
        for (own, want) in [
            ([None, None, None], None),
            ([None, Some(15), None], Some(15)),
            ([Some(15), None, Some(2)], Some(2)),
        ] {
            let agreed: Vec<_> = std::thread::scope(|scope| {
                let ranks = ThreadGroup::new(3).into_iter().zip(own);
                let threads: Vec<_> =
                    ranks.map(|(rank, own)| scope.spawn(move || of_any_rank(&rank, own))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect()
            });
            assert_eq!(agreed, [want; 3]);
        }
    }
}
