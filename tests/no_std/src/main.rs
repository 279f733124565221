//! A program without std, allocator or C library: it generates two images with a small model in
//! memory of its own, checks that every instruction set of the machine gives the same bytes, and
//! prints their checksum. Linux on x86-64 and aarch64, a Cortex-M, WebAssembly.
#![no_std]
#![no_main]

mod model;
mod runtime;

use core::mem::MaybeUninit;
use core::ops::ControlFlow;

use var_kernel::arena::Arena;
use var_kernel::cpu::{Cpu, Inline, Isa};
use var_kernel::generate::{Request, generate};
use var_kernel::model::Model;
use var_kernel::sample::{Filter, UniformSource as Random};
use var_kernel::storage::Storage;
use var_kernel::workspace::Cost;

const IMAGES: usize = 2;
const SIDE: usize = 16;
/// Floats lent to the model; `main` asks for the exact number first.
const MEMORY: usize = 1 << 17;
/// Floats of scratch memory; likewise.
const SCRATCH: usize = 1 << 15;

struct Memory {
    arena: [f32; MEMORY],
    scratch: [f32; SCRATCH],
    weights: [f32; 1 << 20],
    layers: [MaybeUninit<u8>; 1 << 14],
}

/// The program without its runtime.
pub(crate) fn main(print: impl Fn(&str)) -> Result<(), &'static str> {
    let memory = runtime::memory();
    let (var, vae) = model::configs();
    let request = Request {
        labels: &[1, 2],
        indices: &[0, 1],
        cfg: 2.0,
        temperature: 1.0,
        filter: Filter { top_k: 20, top_p: 0.9 },
        more_smooth: false,
        source: Random::Seed(7),
        keep: None,
    };
    let mut tokens = [0; IMAGES * 21];
    let mut images = [0.0_f32; IMAGES * SIDE * SIDE * 3];
    let mut weights = model::Weights::new(&mut memory.weights);
    let mut storage = Storage::new(&mut memory.layers);
    let mut first = None;
    for isa in Isa::all() {
        let cost = {
            let workers = Inline::new(&mut memory.scratch);
            let cpu = &Cpu::new(isa, &workers);
            Cost::of_generate(cpu, var, vae, &request, &mut tokens, &mut storage, &mut |_, _| ())
        };
        if cost.floats > MEMORY || cost.scratch > SCRATCH {
            return Err("the memory lent is too small");
        }
        // The least.
        let workers = Inline::new(&mut memory.scratch[..cost.scratch]);
        let cpu = Cpu::new(isa, &workers);
        weights.reset();
        let mut storage = storage.scope();
        let Ok(model) = Model::bind(&mut weights, var, vae, &mut storage);
        let arena = &mut Arena::new(&mut memory.arena[..cost.floats]);
        let Ok(_) = generate(&cpu, &model, &request, &mut tokens, &mut images, arena, &mut |_| {
            ControlFlow::Continue(())
        });
        let words = tokens.iter().copied().chain(images.iter().map(|x| x.to_bits()));
        let checksum = words.fold(0xcbf2_9ce4_8422_2325, |hash: u64, word| {
            (hash ^ u64::from(word)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        print(isa.name());
        print(" ");
        runtime::print_hex(checksum, &print);
        if *first.get_or_insert(checksum) != checksum {
            return Err("two instruction sets give different bytes");
        }
    }
    Ok(())
}
