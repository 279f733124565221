//! Properties of ranks of every kind, run on each rank of a group.

use core::time::Duration;
use std::thread;
use std::time::Instant;

use var_host::parallel::{ProcessGroup, ProcessGroupError, gather};

/// Everything but errors, which end a group.
pub(crate) fn all(ranks: &dyn ProcessGroup) {
    assert!(ranks.rank() < ranks.size());
    sums_have_the_order_of_ranks(ranks);
    what_is_no_number_is_the_same_everywhere(ranks);
    broadcasts_are_rank_0s(ranks);
    barriers_wait_for_all(ranks);
    calls_may_be_mixed(ranks);
    bytes_are_gathered_in_order(ranks);
    ranks.check().unwrap();
}

/// Lengths near the number of ranks, one message, a chunk, several chunks.
fn lengths(size: usize) -> Vec<usize> {
    let mut lengths = vec![0, 1, 2, 3, size - 1, size, size + 1, 1000, 2048, 2049, 4097];
    lengths.extend([65_536 * size, 65_536 * size + 1, 200_003]);
    lengths
}

/// Values with a sum that depends on the order: of many magnitudes, of both signs, and zeros of both.
fn value(rank: usize, index: usize) -> f64 {
    let bits = ((index as u64) << 8 | rank as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ bits >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = bits ^ bits >> 32;
    let sign = if bits & 1 == 0 { 1.0 } else { -1.0 };
    if bits & 14 == 0 {
        return -0.0;
    }
    let mantissa = 1.0 + ((bits >> 12) as f64) / (1_u64 << 52) as f64;
    sign * mantissa * 2_f64.powi((bits >> 4 & 63) as i32 - 32)
}

fn sums_have_the_order_of_ranks(ranks: &dyn ProcessGroup) {
    let (own, size) = (ranks.rank(), ranks.size());
    let mut depends_on_order = size < 3;
    for length in lengths(size) {
        let mut sum = Vec::from_iter((0..length).map(|index| value(own, index) as f32));
        ranks.sum(&mut sum).unwrap();
        for (index, sum) in sum.iter().enumerate() {
            let values = (0..size).map(|rank| value(rank, index) as f32);
            let expected = values.clone().reduce(|sum, value| sum + value).unwrap();
            assert_eq!(sum.to_bits(), expected.to_bits(), "rank {own}: {index} of {length}");
            let backwards = values.rev().reduce(|sum, value| sum + value).unwrap();
            depends_on_order |= backwards.to_bits() != expected.to_bits();
        }
        let mut sum = Vec::from_iter((0..length).map(|index| value(own, index)));
        ranks.sum_f64(&mut sum).unwrap();
        for (index, sum) in sum.iter().enumerate() {
            let values = (0..size).map(|rank| value(rank, index));
            let expected = values.reduce(|sum, value| sum + value).unwrap();
            assert_eq!(sum.to_bits(), expected.to_bits(), "rank {own}: {index} of {length}");
        }
    }
    assert!(depends_on_order, "the values cannot show a wrong order");
}

fn what_is_no_number_is_the_same_everywhere(ranks: &dyn ProcessGroup) {
    let sign = if ranks.rank().is_multiple_of(2) { 1.0 } else { -1.0 };
    let mut sum = [sign * f32::INFINITY, f32::NAN, sign * f32::MAX];
    ranks.sum(&mut sum).unwrap();
    assert!(sum[1].is_nan() && sum[0].is_nan() == (ranks.size() > 1), "{sum:?}");
    let own = sum.map(f32::to_bits);
    let mut of_rank_0 = Vec::from_iter(own.iter().flat_map(|bits| bits.to_le_bytes()));
    let copy = of_rank_0.clone();
    ranks.broadcast(&mut of_rank_0).unwrap();
    assert_eq!(copy, of_rank_0);
}

fn broadcasts_are_rank_0s(ranks: &dyn ProcessGroup) {
    for length in [0, 1, 8191, 8192, 8193, 3_000_001] {
        let expected = Vec::from_iter((0..length).map(|index| (index % 251) as u8));
        let own = vec![7; 10 * ranks.rank()];
        let mut bytes = if ranks.rank() == 0 { expected.clone() } else { own };
        ranks.broadcast(&mut bytes).unwrap();
        assert!(bytes == expected, "rank {}: {length} bytes", ranks.rank());
    }
}

fn barriers_wait_for_all(ranks: &dyn ProcessGroup) {
    const STEP: Duration = Duration::from_millis(40);
    for late in 0..ranks.size() {
        ranks.barrier().unwrap();
        let start = Instant::now();
        if ranks.rank() == late {
            thread::sleep(2 * STEP);
        }
        ranks.barrier().unwrap();
        // The barrier before may have ended a little later elsewhere.
        assert!(start.elapsed() >= STEP, "rank {late} was not waited for: {:?}", start.elapsed());
    }
}

fn calls_may_be_mixed(ranks: &dyn ProcessGroup) {
    let mut state = 1_u64;
    for call in 0..200_usize {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if (state >> 40) as usize % (3 * ranks.size()) == ranks.rank() {
            thread::sleep(Duration::from_micros(300));
        }
        let length = (state >> 48) as usize % 5000;
        match (state >> 33) % 4 {
            0 => ranks.barrier().unwrap(),
            1 => {
                let mut bytes = vec![if ranks.rank() == 0 { call as u8 } else { 0 }; length];
                ranks.broadcast(&mut bytes).unwrap();
                assert!(bytes == vec![call as u8; length]);
            }
            2 => {
                let mut values = vec![(ranks.rank() + call) as f32; length];
                ranks.sum(&mut values).unwrap();
                assert!(values == vec![sum_of_numbers(ranks.size(), call) as f32; length]);
            }
            _ => {
                let mut values = vec![(ranks.rank() + call) as f64; length];
                ranks.sum_f64(&mut values).unwrap();
                assert!(values == vec![sum_of_numbers(ranks.size(), call) as f64; length]);
            }
        }
    }
}

fn bytes_are_gathered_in_order(ranks: &dyn ProcessGroup) {
    let bytes = |rank: usize| vec![(250 + rank) as u8; 3 * rank];
    let gathered = gather(ranks, &bytes(ranks.rank())).unwrap();
    assert_eq!(gathered, Vec::from_iter((0..ranks.size()).map(bytes)));
}

fn sum_of_numbers(size: usize, call: usize) -> usize {
    (0..size).map(|rank| rank + call).sum()
}

/// A rank that brings another number of values is named, and the group is of no more use.
pub(crate) fn lengths_must_agree(ranks: &dyn ProcessGroup) {
    let odd = ranks.size() - 1;
    let own = ranks.rank();
    let error = ranks.sum(&mut vec![1.0; if own == odd { 5 } else { 4 }]).unwrap_err();
    let text = error.to_string();
    match error {
        ProcessGroupError::Mismatch { rank, theirs, own: mine } => {
            assert!(own == odd || rank == odd, "rank {own}: {text}");
            assert_eq!((theirs.length, mine.length), if own == odd { (4, 5) } else { (5, 4) });
        }
        // Between more than two, one that has noticed may leave before another has.
        ProcessGroupError::Lost { .. } if ranks.size() > 2 => {}
        _ => panic!("rank {own}: {text}"),
    }
    assert!(ranks.barrier().is_err());
    assert!(ranks.sum_f64(&mut [1.0]).is_err());
}

/// A rank that makes another call is named.
pub(crate) fn calls_must_agree(ranks: &dyn ProcessGroup) {
    let odd = ranks.size() - 1;
    let error = if ranks.rank() == odd {
        ranks.barrier().unwrap_err()
    } else {
        ranks.sum_f64(&mut [1.0; 3]).unwrap_err()
    };
    let text = error.to_string();
    match error {
        ProcessGroupError::Mismatch { .. } => {
            let [sum, barrier] = ["a sum of 3 f64 (call 1)", "a barrier (call 1)"];
            let (theirs, mine) = if ranks.rank() == odd { (sum, barrier) } else { (barrier, sum) };
            assert!(text.ends_with(&format!("is at {theirs}, this rank at {mine}")), "{text}");
        }
        ProcessGroupError::Lost { .. } if ranks.size() > 2 => {}
        _ => panic!("rank {}: {text}", ranks.rank()),
    }
}

/// A rank that waits for one that has left is told so. The last rank leaves after the first call. A
/// third may hear of it first from the second, or that the second has left over it: they all end.
pub(crate) fn leaving_is_noticed(ranks: Box<dyn ProcessGroup>) {
    ranks.barrier().unwrap();
    let last = ranks.size() - 1;
    if ranks.rank() == last {
        return;
    }
    let start = Instant::now();
    let error = ranks.sum(&mut vec![1.0; 100_000]).unwrap_err();
    let others = (0..last).filter(|other| *other != ranks.rank());
    let mut told = vec![format!("rank {last} has left the run")];
    for other in others {
        told.push(format!("rank {last} is gone, as rank {other} reports"));
        told.push(format!("rank {other} has left the run"));
    }
    assert!(told.contains(&error.to_string()), "{error}");
    assert!(ranks.barrier().is_err());
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}
