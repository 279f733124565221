//! Classes → images, with a callback after every scale.
#![allow(unsafe_code)]

use core::ops::ControlFlow;

use var_host::{Image, SampleOptions, Step};

use crate::model::{VarModel, failure};
use varimage_abi::options::{VarSampling, read};
use varimage_abi::pointers::{room, unique, values};
use varimage_abi::{Failure, Status};

use crate::status::enter;

/// `var_progress` of the header: state after a scale, for the time of the callback.
pub struct VarProgress {
    scale: u32,
    scales: u32,
    images: Vec<u32>,
    image_len: usize,
    /// The library's own state, whose lifetimes end with the callback.
    step: *mut Step<'static, 'static>,
}

/// Settings of a run, checked.
pub(crate) fn settings(sampling: &VarSampling) -> Result<SampleOptions, Failure> {
    sampling.check()?;
    let VarSampling { seed, cfg, temperature, top_p, top_k, first_index, batch, .. } = *sampling;
    Ok(SampleOptions {
        seed,
        cfg,
        temperature,
        top_p,
        top_k: top_k as usize,
        first_index,
        batch: batch as usize,
        more_smooth: sampling.more_smooth == 1,
    })
}

/// Writes an image and its tokens where the caller has room for them.
pub(crate) fn put(image: &Image, rgb: &mut [u8], tokens: Option<&mut [u32]>) {
    rgb.copy_from_slice(image.picture.rgb());
    if let Some(tokens) = tokens {
        tokens.copy_from_slice(&image.tokens);
    }
}

/// Writes the bytes to lend by `var_lend_memory`.
///
/// # Safety
///
/// Pointers must be null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_workspace(
    model: *mut VarModel,
    sampling: *const VarSampling,
    classes: *const u32,
    count: usize,
    bytes: *mut usize,
) -> Status {
    enter(|| {
        // SAFETY: as the caller promises.
        let VarModel { model, .. } = unsafe { unique("model", model)? };
        // SAFETY: as the caller promises.
        let sampling = unsafe { read(sampling)? };
        let options = settings(&sampling)?;
        // SAFETY: as the caller promises.
        let (classes, bytes) =
            unsafe { (values("classes", classes, count)?, unique("bytes", bytes)?) };
        sampling.check_count(count)?;
        let floats = model.workspace_len(classes, &options).map_err(|error| failure(&error))?;
        *bytes = size_of::<f32>() * floats;
        Ok(Status::Ok)
    })
}

/// Draws an image of each class.
///
/// # Safety
///
/// Pointers must be null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_sample(
    model: *mut VarModel,
    sampling: *const VarSampling,
    classes: *const u32,
    count: usize,
    rgb: *mut u8,
    rgb_length: usize,
    tokens: *mut u32,
    tokens_length: usize,
) -> Status {
    enter(|| {
        // SAFETY: as the caller promises.
        let VarModel { model, sizes } = unsafe { unique("model", model)? };
        // SAFETY: as the caller promises.
        let sampling = unsafe { read(sampling)? };
        let options = settings(&sampling)?;
        // SAFETY: as the caller promises.
        let classes = unsafe { values("classes", classes, count)? };
        if count == 0 {
            return Ok(Status::Ok);
        }
        sampling.check_count(count)?;
        let length = |each: usize| {
            let text = || Failure::argument(format!("count is {count}: too many images"));
            each.checked_mul(count).ok_or_else(text)
        };
        let (image_len, token_len) = (sizes.image_len(), sizes.tokens);
        // SAFETY: as the caller promises.
        let rgb = unsafe { room("rgb", rgb, rgb_length, length(image_len)?)? };
        let mut tokens = match tokens.is_null() {
            true => None,
            // SAFETY: as the caller promises.
            false => Some(unsafe { room("tokens", tokens, tokens_length, length(token_len)?)? }),
        };
        let mut stopped = false;
        let images = model.sample_with(classes, &options, |step| {
            let Some(on_scale) = sampling.on_scale else { return ControlFlow::Continue(()) };
            let mut progress = VarProgress {
                scale: step.scale as u32,
                scales: step.scales as u32,
                images: step.indices().collect(),
                image_len,
                step: (&raw mut *step).cast(),
            };
            // SAFETY: the header says what the function may do; `step` outlives the call.
            stopped = unsafe { on_scale(sampling.user, (&raw mut progress).cast()) } != 0;
            if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let images = images.map_err(|error| failure(&error))?;
        for (n, image) in images.iter().enumerate() {
            let own = tokens.as_deref_mut().map(|all| &mut all[n * token_len..][..token_len]);
            put(image, &mut rgb[n * image_len..][..image_len], own);
        }
        Ok(if stopped { Status::Stopped } else { Status::Ok })
    })
}

/// The scale just drawn, from 0; 0 for null.
///
/// # Safety
///
/// It must be null or the callback's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_progress_scale(progress: *const VarProgress) -> u32 {
    // SAFETY: as the caller promises.
    unsafe { progress.as_ref() }.map_or(0, |progress| progress.scale)
}

/// How many scales there are; 0 for null.
///
/// # Safety
///
/// It must be null or the callback's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_progress_scales(progress: *const VarProgress) -> u32 {
    // SAFETY: as the caller promises.
    unsafe { progress.as_ref() }.map_or(0, |progress| progress.scales)
}

/// How many images are drawn together; 0 for null.
///
/// # Safety
///
/// It must be null or the callback's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_progress_images(progress: *const VarProgress) -> u32 {
    // SAFETY: as the caller promises.
    unsafe { progress.as_ref() }.map_or(0, |progress| progress.images.len() as u32)
}

/// Index of image `n` of those drawn together: `first_index` and on; `UINT32_MAX` if there is none.
///
/// # Safety
///
/// It must be null or the callback's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_progress_index(progress: *const VarProgress, n: u32) -> u32 {
    // SAFETY: as the caller promises.
    let index = unsafe { progress.as_ref() }.and_then(|own| own.images.get(n as usize).copied());
    index.unwrap_or(u32::MAX)
}

/// The library's state of image `n`.
///
/// # Safety
///
/// It must be null or the callback's.
unsafe fn step<'a>(
    progress: *mut VarProgress,
    n: u32,
) -> Result<(&'a VarProgress, &'a mut Step<'static, 'static>), Failure> {
    // SAFETY: as the caller promises.
    let progress = unsafe { &*unique("progress", progress)? };
    let images = progress.images.len();
    if n as usize >= images {
        return Err(Failure::argument(format!("image {n} of {images}")));
    }
    // SAFETY: the state lives as long as the callback, and nothing else uses it meanwhile.
    Ok((progress, unsafe { &mut *progress.step }))
}

/// Writes the tokens of this scale of image `n`, row by row: side × side of the scale.
///
/// # Safety
///
/// Pointers must be null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_progress_tokens(
    progress: *mut VarProgress,
    n: u32,
    tokens: *mut u32,
    length: usize,
) -> Status {
    enter(|| {
        // SAFETY: as the caller promises.
        let (_, step) = unsafe { step(progress, n)? };
        let Some(own) = step.tokens(n as usize) else {
            return Err(Failure::new(Status::Model, "the device failed"));
        };
        // SAFETY: as the caller promises.
        unsafe { room("tokens", tokens, length, own.len())? }.copy_from_slice(&own);
        Ok(Status::Ok)
    })
}

/// Writes image `n` as it would look if the run ended here.
///
/// # Safety
///
/// Pointers must be null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_progress_image(
    progress: *mut VarProgress,
    n: u32,
    rgb: *mut u8,
    length: usize,
) -> Status {
    enter(|| {
        // SAFETY: as the caller promises.
        let (progress, step) = unsafe { step(progress, n)? };
        // SAFETY: as the caller promises.
        let to = unsafe { room("rgb", rgb, length, progress.image_len)? };
        let Some(image) = step.picture(n as usize) else {
            return Err(Failure::new(Status::Model, "the image so far is not finite"));
        };
        to.copy_from_slice(image.rgb());
        Ok(Status::Ok)
    })
}
