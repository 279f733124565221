//! A run drawn one scale at a call, in the caller's memory.
#![allow(unsafe_code)]

use core::mem::MaybeUninit;
use core::ptr;

use var_kernel::generate::Progress;
use var_kernel::ops::sample_tokens::NO_TOKEN;
use var_kernel::{Arena, Cost, Cpu, Filter, Request, Steps, Storage, UniformSource};
use varimage_abi::options::{VarSampling, read};
use varimage_abi::pointers::{room, shared, unique, values};
use varimage_abi::{Failure, Status};

use crate::block::{Block, Bytes};
use crate::entry::{VarCoreError, enter};
use crate::finite::{self, Sample};
use crate::model::{LAYERS, VarCoreModel};

/// The most tokens of all images of a run.
const MOST_TOKENS: usize = 1 << 13;

/// `var_core_run` of the header, in the caller's memory.
pub struct VarCoreRun {
    /// None after `var_core_finish`.
    steps: Option<Steps<'static, 'static, 'static, Cpu<'static>>>,
    model: &'static VarCoreModel,
    images: usize,
    /// Room for all images.
    samples: &'static mut [Sample],
}

/// Refuses what a run cannot be made of.
fn check(model: &VarCoreModel, sampling: &VarSampling, labels: &[u32]) -> Result<(), Failure> {
    sampling.check()?;
    sampling.check_count(labels.len())?;
    if sampling.on_scale.is_some() {
        return Err(Failure::argument("on_scale is NULL here: each step returns"));
    }
    let null = model.model.transformer.config.null_class();
    if labels.is_empty() {
        return Err(Failure::argument("count is 0, at least one image wanted"));
    }
    if let Some(label) = labels.iter().find(|label| **label > null) {
        let text = format_args!("class {label}: the model has {null}, and {null} for none");
        return Err(Failure::argument(text));
    }
    let nulls = labels.iter().filter(|label| **label == null).count();
    if sampling.cfg != 0.0 && nulls != 0 && nulls != labels.len() {
        let text = format_args!(
            "{nulls} of {} images are of no class: with guidance, all or none may be",
            labels.len()
        );
        return Err(Failure::argument(text));
    }
    Ok(())
}

/// The request of `sampling`.
fn request<'a>(sampling: &VarSampling, labels: &'a [u32], indices: &'a [u32]) -> Request<'a> {
    Request {
        labels,
        indices,
        cfg: sampling.cfg,
        temperature: sampling.temperature,
        filter: Filter { top_k: sampling.top_k as usize, top_p: sampling.top_p },
        more_smooth: sampling.more_smooth == 1,
        source: UniformSource::Seed(sampling.seed),
        keep: None,
    }
}

/// Memory of a run: in all, and of these the arena's floats.
fn measure(
    model: &VarCoreModel,
    sampling: &VarSampling,
    labels: &[u32],
) -> Result<(Bytes, usize), Failure> {
    let (var, vae) = (model.model.transformer.config, model.model.vqvae.config);
    let mut layers = [MaybeUninit::uninit(); LAYERS];
    let mut tokens = [0; MOST_TOKENS];
    let length = labels.len() * var.ladder.length();
    let Some(tokens) = tokens.get_mut(..length) else {
        let text = format_args!("{length} tokens in all images, at most {MOST_TOKENS} here");
        return Err(Failure::argument(text));
    };
    // Their number alone counts.
    let indices = &[0; MOST_TOKENS][..labels.len()];
    let request = request(sampling, labels, indices);
    let storage = &mut Storage::new(&mut layers);
    let Cost { floats, scratch, .. } =
        Cost::of_generate(&model.cpu, var, vae, &request, tokens, storage, &mut |_, _| ());
    if scratch > model.scratch_len {
        let kib = |floats: usize| (floats * size_of::<f32>()).div_ceil(1024);
        let (wanted, lent) = (kib(scratch), kib(model.scratch_len));
        let text = format_args!("scratch_kib is {lent}, at least {wanted} wanted by this run");
        return Err(Failure::new(Status::Memory, text));
    }
    let bytes = Bytes::default()
        .and::<VarCoreRun>(1)
        .and::<Request<'_>>(1)
        .and::<Arena<'_, [f32]>>(1)
        .and::<u32>(labels.len())
        .and::<u32>(labels.len())
        .and::<Sample>(labels.len() * model.sizes.image_len())
        .and::<f32>(floats);
    Ok((bytes, floats))
}

/// A run that is not finished, and its sizes.
///
/// # Safety
/// As [`unique`].
unsafe fn going<'a>(run: *mut VarCoreRun) -> Result<&'a mut VarCoreRun, Failure> {
    // SAFETY: as the caller promises.
    let run = unsafe { unique("run", run)? };
    if run.steps.is_none() {
        return Err(Failure::argument("the run is finished"));
    }
    Ok(run)
}

/// State after the last step, for image `n`.
fn progress<'r>(
    steps: &'r mut Option<Steps<'static, 'static, 'static, Cpu<'static>>>,
    images: usize,
    n: u32,
) -> Result<Progress<'r, 'static, 'static, Cpu<'static>>, Failure> {
    if n as usize >= images {
        return Err(Failure::argument(format_args!("image {n} of {images}")));
    }
    let progress = steps.as_mut().and_then(Steps::progress);
    progress.ok_or_else(|| Failure::argument("no scale is drawn yet"))
}

/// Writes the bytes of memory that `var_core_begin` takes.
///
/// # Safety
/// Pointers must be null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_core_run_memory(
    model: *const VarCoreModel,
    sampling: *const VarSampling,
    classes: *const u32,
    count: usize,
    bytes: *mut usize,
    error: *mut VarCoreError,
) -> Status {
    let body = || {
        // SAFETY: as the caller promises.
        let (model, sampling, labels, bytes) = unsafe {
            (
                shared("model", model)?,
                read(sampling)?,
                values("classes", classes, count)?,
                unique("bytes", bytes)?,
            )
        };
        check(model, &sampling, labels)?;
        *bytes = measure(model, &sampling, labels)?.0.total();
        Ok(Status::Ok)
    };
    // SAFETY: as the caller promises.
    unsafe { enter(error, body) }
}

/// Begins a run in the caller's memory.
///
/// # Safety
/// Pointers must be null or what the header says; the memory stays while the run is used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_core_begin(
    model: *const VarCoreModel,
    sampling: *const VarSampling,
    classes: *const u32,
    count: usize,
    memory: *mut u8,
    bytes: usize,
    out: *mut *mut VarCoreRun,
    error: *mut VarCoreError,
) -> Status {
    let body = || {
        // SAFETY: as the caller promises.
        let out = unsafe { unique("run", out)? };
        *out = ptr::null_mut();
        // SAFETY: the header says that the model stays while the run is used.
        let (model, sampling, labels): (&'static VarCoreModel, _, _) = unsafe {
            (shared("model", model)?, read(sampling)?, values("classes", classes, count)?)
        };
        check(model, &sampling, labels)?;
        let (wanted, floats) = measure(model, &sampling, labels)?;
        // SAFETY: as the caller promises.
        let mut block = unsafe { Block::new(memory, bytes, wanted)? };
        let own = block.filled(count, 0);
        own.copy_from_slice(labels);
        let indices = block.filled(count, 0);
        for (index, n) in indices.iter_mut().zip(0..) {
            *index = sampling.first_index + n;
        }
        let request = block.value(request(&sampling, own, indices));
        let samples = block.filled(count * model.sizes.image_len(), Sample(None));
        let arena = block.filled(floats, 0.0);
        let arena = block.value(Arena::new(arena));
        let Ok(steps) = Steps::new(&model.cpu, &model.model, request, arena);
        let run = VarCoreRun { steps: Some(steps), model, images: count, samples };
        *out = block.value(run);
        Ok(Status::Ok)
    };
    // SAFETY: as the caller promises.
    unsafe { enter(error, body) }
}

/// Draws the next scale.
///
/// # Safety
/// Pointers must be null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_core_step(
    run: *mut VarCoreRun,
    scale: *mut u32,
    error: *mut VarCoreError,
) -> Status {
    let body = || {
        // SAFETY: as the caller promises.
        let run = unsafe { going(run)? };
        let Ok(progress) = run.steps.as_mut().expect("the run is not finished").step();
        let Some(progress) = progress else { return Ok(Status::Done) };
        if !scale.is_null() {
            // SAFETY: the caller vouches for the place.
            unsafe { scale.write(progress.scale as u32) };
        }
        Ok(Status::Ok)
    };
    // SAFETY: as the caller promises.
    unsafe { enter(error, body) }
}

/// Writes the tokens of the last scale of image `n`.
///
/// # Safety
/// Pointers must be null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_core_tokens(
    run: *mut VarCoreRun,
    n: u32,
    tokens: *mut u32,
    length: usize,
    error: *mut VarCoreError,
) -> Status {
    let body = || {
        // SAFETY: as the caller promises.
        let run = unsafe { going(run)? };
        let images = run.images;
        let drawn = progress(&mut run.steps, images, n)?.tokens;
        let cells = drawn.len() / images;
        // SAFETY: as the caller promises.
        let to = unsafe { room("tokens", tokens, length, cells)? };
        to.copy_from_slice(&drawn[n as usize * cells..][..cells]);
        Ok(Status::Ok)
    };
    // SAFETY: as the caller promises.
    unsafe { enter(error, body) }
}

/// Writes image `n` as it would look if the run ended here.
///
/// # Safety
/// Pointers must be null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_core_image(
    run: *mut VarCoreRun,
    n: u32,
    rgb: *mut u8,
    length: usize,
    error: *mut VarCoreError,
) -> Status {
    let body = || {
        // SAFETY: as the caller promises.
        let run = unsafe { going(run)? };
        let image_len = run.model.sizes.image_len();
        // SAFETY: as the caller promises.
        let to = unsafe { room("rgb", rgb, length, image_len)? };
        let samples = &mut run.samples[..image_len];
        let mut progress = progress(&mut run.steps, run.images, n)?;
        let Ok(()) = progress.picture(samples, n as usize);
        written(finite::write(to, samples))
    };
    // SAFETY: as the caller promises.
    unsafe { enter(error, body) }
}

/// Ends a run after its last scale: images and, if asked, tokens.
///
/// # Safety
/// Pointers must be null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_core_finish(
    run: *mut VarCoreRun,
    rgb: *mut u8,
    rgb_length: usize,
    tokens: *mut u32,
    tokens_length: usize,
    error: *mut VarCoreError,
) -> Status {
    let body = || {
        // SAFETY: as the caller promises.
        let run = unsafe { going(run)? };
        let (images, sizes) = (run.images, run.model.sizes);
        // SAFETY: as the caller promises.
        let (rgb, tokens) = unsafe {
            (
                room("rgb", rgb, rgb_length, images * sizes.image_len())?,
                room("tokens", tokens, tokens_length, images * sizes.tokens)?,
            )
        };
        let drawn = run.steps.as_ref().map_or(0, Steps::scales_drawn);
        if drawn < sizes.scales {
            let scales = sizes.scales;
            let text = format_args!("{drawn} of {scales} scales are drawn: step on first");
            return Err(Failure::argument(text));
        }
        let steps = run.steps.take().expect("the run is not finished");
        let Ok(()) = steps.finish(tokens, run.samples);
        if tokens.contains(&NO_TOKEN) {
            return Err(Failure::new(Status::Model, "a logit is not finite: the weights overflow"));
        }
        written(finite::write(rgb, run.samples))
    };
    // SAFETY: as the caller promises.
    unsafe { enter(error, body) }
}

/// The outcome of writing an image, or that it is not finite.
fn written(finite: bool) -> Result<Status, Failure> {
    let text = "an image is not finite: the weights overflow";
    if finite { Ok(Status::Ok) } else { Err(Failure::new(Status::Model, text)) }
}
