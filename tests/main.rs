//! Integration tests: the library and the binary against golden numbers and against themselves.

/// Where the golden files are.
mod fixture;

/// Golden files, weights by formula, tolerances.
mod support;

/// Single operations = golden files.
mod fixtures_ops;

/// Small whole models, every stage = golden files.
mod fixtures_model;

/// Gradients and steps of the trainer = golden files.
mod fixtures_training;

/// Gradients of the quantizer and the whole VQVAE = golden files.
mod fixtures_vqvae_training;

/// Zero-shot edits = golden files.
mod fixtures_edit;

/// VAR-d16 and its VQVAE at full size = golden files (ignored by default: 3 GB of memory).
mod full_size;

/// q8 = `f32` within the rounding of weights and activations.
mod q8_accuracy;

/// Scale by scale over a cache = one pass under a mask.
mod cached_equals_whole;

/// Whole models on GPUs = the same on the processor.
#[cfg(feature = "cuda")]
mod gpus;

/// Launches and memory of the published models on a GPU.
#[cfg(feature = "cuda")]
mod gpus_geometry;

/// Batches, threads and instruction sets do not change a byte; a run can be watched and stopped.
mod reproducible;

/// A model file read by the kernel alone = the same through var-host.
mod model_file;

/// Event files = the files that TensorBoard reads.
mod tensorboard;

/// Imports go one way.
mod layers;

/// Comments use nouns, type names stand for one thing.
mod words;

/// Programs started as ranks of one job.
mod launch;

/// The binary `var` as a user runs it: images, files, refusals.
mod cli;
