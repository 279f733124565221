use core::ops::Range;

use var_kernel::cpu::{Cpu, Isa, SCRATCH_FLOATS};
use var_kernel::model::Ladder;

use super::*;
use crate::pool::Threads;

#[test]
fn gradients_of_weights_are_complete_block_by_block() {
    let config = VarConfig {
        depth: 4,
        width: 16,
        heads: 2,
        hidden: 32,
        classes: 3,
        codes: 8,
        latent: 4,
        ladder: Ladder::new(&[1, 2]).expect("a ladder"),
        unit_length: true,
        shared_modulation: false,
    };
    let layout = ParameterLayout::new(transformer_tensors(config));
    let threads = Threads::new(1, SCRATCH_FLOATS).unwrap();
    let cpu = Cpu::new(Isa::best(), &threads);
    for recomputes in [false, true] {
        let shape = BatchShape { images: 3, scales: 2, factors: true, recomputes };
        let [weights, values] = dry_memory(&layout);
        let input = DryAddresses::new(ALIGNMENT, usize::MAX >> 8);
        let Ok(passed) = of_nothing(config, shape, input, |batch| {
            record(&Dry::with_addresses(&cpu), config, &layout, weights, values, batch)
        });
        let reads: Vec<_> = passed.tape.reads_of_weights().collect();
        // The operations that read weights of a block.
        let of_block = |number: usize| {
            let prefix = format!("blocks.{number}.");
            let tensors = layout.tensors().iter();
            let of_block = tensors.filter(move |tensor| tensor.name.starts_with(&prefix));
            of_block.flat_map(|tensor| {
                let inside = |range: &Range<usize>| tensor.range.contains(&range.start);
                reads.iter().filter(move |(range, _)| inside(range)).map(|(_, number)| *number)
            })
        };
        for number in 1..config.depth {
            let last = of_block(number - 1).max().expect("it has weights");
            let first = of_block(number).min().expect("it has weights");
            assert!(last < first, "block {number}: {first}, the one before: {last}");
        }
    }
}
