//! Visual autoregressive image generation over plain slices.
//!
//! No standard library, no allocator unless asked for, no input or output, no threads of its own: the caller
//! lends memory ([`arena`], [`storage`]) and threads ([`cpu::workers`]). The model, number for number, is in
//! `MODEL.md` beside this crate.
//!
//! # An image from a model file in memory
//!
//! ```no_run
//! use std::mem::MaybeUninit;
//! use std::ops::ControlFlow;
//! use var_kernel::{Arena, Cpu, Inline, Isa, Model, ModelFile, Request, SCRATCH_FLOATS, Storage};
//! use var_kernel::{generate, workspace_len};
//!
//! let bytes = std::fs::read("d16.safetensors")?;
//! let file = ModelFile::new(&bytes)?;
//! let mut scratch = vec![0.0; SCRATCH_FLOATS];
//! let workers = Inline::new(&mut scratch);
//! let cpu = Cpu::new(Isa::best(), &workers);
//!
//! let mut layers = vec![MaybeUninit::uninit(); Model::<Cpu>::storage_len(&file.var, &file.vae)];
//! let mut storage = Storage::new(&mut layers);
//! let mut widened = vec![0.0; file.widened_len(&mut storage)?];
//! let request = Request::new(&[207], &[0], 1);
//! let mut tokens = vec![0; file.var.ladder.length()];
//! let floats = workspace_len(&cpu, file.var, file.vae, &request, &mut tokens, &mut storage);
//!
//! let model = file.bind(&mut widened, &mut storage)?;
//! let mut memory = vec![0.0; floats];
//! let mut image = vec![0_u8; file.vae.side() * file.vae.side() * 3];
//! let mut arena = Arena::new(&mut memory[..]);
//! let Ok(_) = generate(&cpu, &model, &request, &mut tokens, &mut image, &mut arena, &mut |step| {
//!     println!("scale {} of {}", step.scale + 1, step.scales);
//!     ControlFlow::Continue(())
//! });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | program | shows |
//! |---|---|
//! | `examples/model_file.rs` | the same: nothing is allocated by the kernel |
//! | `examples/heap.rs` | the same with the feature `alloc`: no length of layers to know |
//! | `examples/every_scale.rs` | images after every scale, and stopping |
//! | `tests/no_std` | an image without std, allocator or C library |
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | none | neither std nor an allocator |
//! | `alloc` | [`Storage::heap`](storage::Storage): lists of layers from the heap |
//! | `cuda` | NVIDIA GPUs; std |
//!
//! # Modules
//!
//! Read in this order; a module uses only modules above it.
//!
//! | module | holds |
//! |---|---|
//! | [`memory`] | runs of `f32` on some device |
//! | [`transfer`] | images and tokens to a device and back |
//! | [`capture`] | sequences of operations: graphs, segments of activation checkpointing |
//! | [`storage`] | memory lent by the caller for lists of layers |
//! | [`arena`] | memory lent by the caller for activations, handed out and taken back by scope |
//! | [`image`] | planes in [−1, 1] ↔ bytes |
//! | [`remote`] | slices in device memory that the host cannot read |
//! | [`dry`] | a backend that computes nothing: checks shapes, counts work, sizes arenas |
//! | [`cpu`] | instruction sets, vectors, polynomials, matrix products, lent threads |
//! | `cuda` | NVIDIA GPUs (feature `cuda`) |
//! | [`sample`] | one row of logits → one token: guidance, top-k, top-p, the random numbers |
//! | [`ops`] | the operations of every backend, one folder each |
//! | [`model`] | configuration, weights, model files, transformer, quantizer, VQVAE |
//! | [`edit`] | cells kept by an edit, scale by scale |
//! | [`score`] | log-likelihood of an image's tokens |
//! | [`codec`] | images ↔ tokens |
//! | [`mod@generate`] | the whole flow: class → tokens per scale → latent → image; a scale at a time by [`Steps`] |
//! | [`workspace`] | memory and arithmetic that a request needs |
//! | [`parts`] | parts to build further backends of: unstable |
//!
//! # Glossary
//!
//! | word | meaning |
//! |---|---|
//! | AdaLN | LayerNorm with scale, shift and gate projected from the class embedding |
//! | arena | memory for activations, lent by the caller |
//! | backend | an implementation of all operations: CPU, CUDA, dry, recording |
//! | batch | images computed together |
//! | bind | take a model's weights from a source by name and shape |
//! | block | attention and feed-forward network with AdaLN |
//! | capacity | rows of each sequence in the KV cache |
//! | capture | a sequence of operations recorded as a CUDA graph |
//! | cell | a position of a token map |
//! | cfg | classifier-free guidance, growing over the scales to its value at the last |
//! | class, label | the condition of an image, an index; the null class stands for none |
//! | code, codebook | a vector of the quantizer; all of them |
//! | decoder, encoder | the VQVAE's networks: latent → image, image → latent |
//! | device | memory of one kind, and its copies to and from the host |
//! | dry run | a run without values, for shapes and lengths |
//! | epilogue | bias, activation, gate or residual, fused with a matrix product or convolution |
//! | forced tokens | cells kept by an edit |
//! | gemm, gemv | products of matrices; of a matrix with few rows |
//! | head | one of attention's; or the last layer, which gives logits |
//! | ISA | instruction set chosen at run time |
//! | KV cache | keys and values of all scales so far |
//! | KC, MC, NC; MR, NR | blocks of a matrix product in the caches; tiles in registers (BLIS's letters) |
//! | ladder | sides of the token maps, coarsest first (`patch_nums` of the paper's code) |
//! | latent | the VQVAE's continuous map, `side × side × Z` |
//! | level | one resolution of the VQVAE; also the scale embedding `lvl_embed` |
//! | logits | one score per code before the softmax |
//! | nll | negative log-likelihood of a token, in nats |
//! | mixture | a sum of codes weighted by Gumbel softmax (`more_smooth`) |
//! | pass | the rows that go through the blocks together |
//! | φ | refinement convolution of the quantizer; a quantizer step adds one scale's codes after it |
//! | position | index of a token in the sequence of all scales |
//! | q8 | int8 weights with one scale for each block of 32; activations likewise in a linear layer on the CPU |
//! | request | labels, indices, seed and settings of a sampling run |
//! | residual | input of a block added to its output; in the quantizer, latent minus the sum so far |
//! | row | one token's channels |
//! | run | a contiguous range of values in some memory |
//! | sample | draw tokens; or a byte of an image |
//! | segment | operations with activations that are freed and recomputed in the backward pass |
//! | scale | one token map of the ladder; also a factor |
//! | scratch | memory of one operation or thread |
//! | sequence | all rows of one image with or without its class |
//! | stage | one step of the encoder or decoder |
//! | storage | memory for lists of layers, lent by the caller |
//! | teacher forcing | all scales in one pass, each given the true tokens before |
//! | token | index of a code |
//! | top-k, top-p | filters of the codes that may be drawn |
//! | widen | convert 16-bit or q8 weights to `f32` |
//! | worker | a lent thread |
#![no_std]
#![deny(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(test, feature = "cuda"))]
extern crate std;
// Test code that other crates share names this one as they do.
#[cfg(all(test, feature = "cuda"))]
extern crate self as var_kernel;

pub mod arena;
pub mod capture;
pub mod codec;
pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod dry;
pub mod edit;
pub mod generate;
pub mod image;
pub mod memory;
pub mod model;
pub mod ops;
pub mod parts;
pub mod remote;
pub mod sample;
pub mod score;
pub mod storage;
pub mod transfer;
pub mod workspace;

pub use arena::Arena;
pub use codec::{decode, encode};
pub use cpu::{Cpu, Inline, Isa, Matrix, SCRATCH_FLOATS, Workers};
pub use edit::{Painting, Region};
pub use generate::{ForcedTokens, Outcome, Progress, Request, Steps, generate};
pub use model::weights::Source;
pub use model::{Ladder, Model, ModelFile, ModelFileError, VarConfig, Vqvae, VqvaeConfig};
pub use sample::{Filter, UniformSource};
pub use score::nll;
pub use storage::Storage;
pub use workspace::{Cost, workspace_len};
