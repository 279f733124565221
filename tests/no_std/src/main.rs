//! A program without std, allocator or C library: it generates two pictures with a small model in
//! memory of its own, checks that every instruction set of the machine gives the same bytes, and
//! prints their checksum. Linux on x86-64.
#![no_std]
#![no_main]

mod runtime;
mod weights;

use core::cell::Cell;
use core::ops::ControlFlow;

use arrayvec::ArrayVec;
use var_kernel::arena::Arena;
use var_kernel::cpu::{Cpu, Inline, Isa, SCRATCH_FLOATS};
use var_kernel::dry::{Dry, Lengths};
use var_kernel::generate::{Request, generate};
use var_kernel::memory::Device;
use var_kernel::model::config::{Levels, Refinement};
use var_kernel::model::quantizer::bind_refinement;
use var_kernel::model::transformer::Block;
use var_kernel::model::vqvae::{Half, Stage, Which};
use var_kernel::model::weights::Source;
use var_kernel::model::{Ladder, Model, Quantizer, Transformer, VarConfig, Vqvae, VqvaeConfig};
use var_kernel::ops::Backend;
use var_kernel::ops::nearest_code::Distance;
use var_kernel::sample::{Filter, Source as Random};

const IMAGES: usize = 2;
const SIDE: usize = 16;
/// Floats lent to the model; `main` asks for the exact number first.
const MEMORY: usize = 1 << 21;

struct Memory {
    arena: [f32; MEMORY],
    scratch: [f32; SCRATCH_FLOATS],
    weights: [f32; 1 << 20],
}

/// What the system runs.
pub(crate) fn main(print: impl Fn(&str)) -> Result<(), &'static str> {
    let memory = runtime::memory();
    let workers = Inline::new(&mut memory.scratch);
    let (var, vae) = configs();

    let wanted = floats_wanted(&Cpu::new(Isa::portable(), &workers), var, vae);
    if wanted > MEMORY {
        return Err("the memory lent is too small");
    }
    let mut weights = weights::Weights::new(&mut memory.weights);
    let mut first = None;
    for isa in Isa::all() {
        weights.reset();
        let cpu = Cpu::new(isa, &workers);
        let mut arena = Arena::new(&mut memory.arena[..wanted]);
        let checksum = with_model(&mut weights, var, vae, |model| draw(&cpu, model, &mut arena));
        print(isa.name());
        print(" ");
        print_hex(checksum, &print);
        if *first.get_or_insert(checksum) != checksum {
            return Err("two instruction sets give different bytes");
        }
    }
    Ok(())
}

/// Two pictures' checksum.
fn draw<B: Backend>(b: &B, model: &Model<'_, '_, B>, arena: &mut Arena<'_, B::Slice>) -> u64 {
    let request = Request {
        labels: &[1, 2],
        indices: &[0, 1],
        cfg: 2.0,
        filter: Filter { top_k: 20, top_p: 0.9 },
        more_smooth: false,
        source: Random::Seed(7),
        keep: None,
    };
    let mut tokens = [0; IMAGES * 21];
    let mut pictures = [0.0_f32; IMAGES * SIDE * SIDE * 3];
    let _ = generate(b, model, &request, &mut tokens, &mut pictures, arena, &mut |_| {
        ControlFlow::Continue(())
    });
    let words = tokens.iter().copied().chain(pictures.iter().map(|x| x.to_bits()));
    words.fold(0xcbf2_9ce4_8422_2325, |hash: u64, word| {
        (hash ^ u64::from(word)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The kernel's own answer to how much memory the run takes.
fn floats_wanted(cpu: &Cpu<'_>, var: VarConfig, vae: VqvaeConfig) -> usize {
    let (mut lengths, peak): (Lengths, _) = ([(); usize::MAX], Cell::new(0));
    let dry = Dry::new(cpu);
    let mut arena = Arena::measured(&mut lengths[..], &peak);
    with_model(&mut weights::Lengths, var, vae, |model| draw(&dry, model, &mut arena));
    peak.get()
}

/// Binds the model to `source`, the layers in arrays on the stack.
fn with_model<'w, B: Device, W: Source<'w, B, Error = core::convert::Infallible>, R>(
    source: &mut W,
    var: VarConfig,
    vae: VqvaeConfig,
    work: impl FnOnce(&Model<'_, 'w, B>) -> R,
) -> R {
    let mut blocks = ArrayVec::<_, 4>::new();
    for number in 0..var.depth {
        let Ok(block) = Block::bind(source, &var, number);
        blocks.push(block);
    }
    let Ok(transformer) = Transformer::bind(source, var, &blocks);
    let mut refinements = ArrayVec::<_, 4>::new();
    for number in 0..vae.refinements() {
        let Ok(refinement) = bind_refinement(source, &vae, number);
        refinements.push(refinement);
    }
    let Ok(quantizer) = Quantizer::bind(source, vae, &refinements);
    let (mut down, mut up) = (ArrayVec::<_, 16>::new(), ArrayVec::<_, 16>::new());
    let Ok(()) = Stage::bind_all(source, &vae, Which::Encoder, &mut |stage| down.push(stage));
    let Ok(()) = Stage::bind_all(source, &vae, Which::Decoder, &mut |stage| up.push(stage));
    let Ok(encoder) = Half::bind(source, &vae, Which::Encoder, &down);
    let Ok(decoder) = Half::bind(source, &vae, Which::Decoder, &up);
    work(&Model { transformer, vqvae: Vqvae::new(vae, quantizer, encoder, decoder) })
}

fn configs() -> (VarConfig, VqvaeConfig) {
    let (Ok(ladder), Ok(multipliers)) = (Ladder::new(&[1, 2, 4]), Levels::new(&[1, 1, 2])) else {
        unreachable!("both are well formed");
    };
    let var = VarConfig {
        depth: 2,
        width: 64,
        heads: 2,
        hidden: 256,
        classes: 10,
        codes: 64,
        latent: 8,
        ladder,
        unit_length: true,
        shared_modulation: false,
    };
    let vae = VqvaeConfig {
        codes: 64,
        latent: 8,
        channels: 32,
        multipliers,
        encoder_blocks: 1,
        decoder_blocks: 2,
        ladder,
        refinement: Refinement::Partial(4),
        refinement_ratio: 0.5,
        distance: Distance::Euclidean,
    };
    (var, vae)
}

fn print_hex(number: u64, print: &impl Fn(&str)) {
    for digit in (0..16).rev() {
        let digit = (number >> (4 * digit)) as usize & 15;
        print(&"0123456789abcdef"[digit..=digit]);
    }
    print("\n");
}
