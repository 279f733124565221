//! Encode, decode, reconstruct, score, logits, edit.
#![allow(unsafe_code)]

use var_host::Edit;
use var_host::images::RgbImage;
use var_kernel::{Painting, Region};

use crate::model::{VarModel, failure};
use varimage_abi::options::{VarSampling, read};
use varimage_abi::pointers::{room, shared, unique, values};
use varimage_abi::{Failure, Status};

use crate::sample::{put, settings};
use crate::status::enter;

/// The most pixels of an image.
const MOST_PIXELS: usize = 1 << 28;

/// `UINT32_MAX`: no class.
const NO_CLASS: u32 = u32::MAX;

/// An image of the caller's.
///
/// # Safety
///
/// `width · height · 3` bytes must lie at `rgb`.
unsafe fn image(rgb: *const u8, width: u32, height: u32) -> Result<RgbImage, Failure> {
    let (width, height) = (width as usize, height as usize);
    let pixels = width.checked_mul(height).filter(|pixels| (1..=MOST_PIXELS).contains(pixels));
    let Some(pixels) = pixels else {
        let text = format!("an image of {width} × {height}: 1 to {MOST_PIXELS} pixels wanted");
        return Err(Failure::argument(text));
    };
    // SAFETY: as the caller promises.
    let rgb = unsafe { values("rgb", rgb, 3 * pixels)? };
    Ok(RgbImage::new(width, height, rgb.to_vec()))
}

/// Writes the tokens of an image.
///
/// # Safety
///
/// Pointers must be null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_encode(
    model: *mut VarModel,
    rgb: *const u8,
    width: u32,
    height: u32,
    tokens: *mut u32,
    length: usize,
) -> Status {
    enter(|| {
        // SAFETY: as the caller promises.
        let VarModel { model, sizes } = unsafe { unique("model", model)? };
        // SAFETY: as the caller promises.
        let (image, to) =
            unsafe { (image(rgb, width, height)?, room("tokens", tokens, length, sizes.tokens)?) };
        to.copy_from_slice(&model.encode(&image).map_err(|error| failure(&error))?);
        Ok(Status::Ok)
    })
}

/// Writes the image of tokens.
///
/// # Safety
///
/// Pointers must be null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_decode(
    model: *mut VarModel,
    tokens: *const u32,
    tokens_length: usize,
    rgb: *mut u8,
    rgb_length: usize,
) -> Status {
    enter(|| {
        // SAFETY: as the caller promises.
        let VarModel { model, sizes } = unsafe { unique("model", model)? };
        // SAFETY: as the caller promises.
        let (tokens, to) = unsafe {
            (
                values("tokens", tokens, tokens_length)?,
                room("rgb", rgb, rgb_length, sizes.image_len())?,
            )
        };
        let image = model.decode(tokens).map_err(|error| failure(&error))?;
        to.copy_from_slice(image.rgb());
        Ok(Status::Ok)
    })
}

/// Writes an image encoded and decoded again, at the model's side.
///
/// # Safety
///
/// Pointers must be null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_reconstruct(
    model: *mut VarModel,
    rgb: *const u8,
    width: u32,
    height: u32,
    out: *mut u8,
    length: usize,
) -> Status {
    enter(|| {
        // SAFETY: as the caller promises.
        let VarModel { model, sizes } = unsafe { unique("model", model)? };
        // SAFETY: as the caller promises.
        let (image, to) =
            unsafe { (image(rgb, width, height)?, room("out", out, length, sizes.image_len())?) };
        to.copy_from_slice(model.reconstruct(&image).map_err(|error| failure(&error))?.rgb());
        Ok(Status::Ok)
    })
}

/// Writes the log-likelihood of an image under each class, in nats.
///
/// # Safety
///
/// Pointers must be null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_score(
    model: *mut VarModel,
    rgb: *const u8,
    width: u32,
    height: u32,
    classes: *const u32,
    count: usize,
    nats: *mut f64,
) -> Status {
    enter(|| {
        // SAFETY: as the caller promises.
        let VarModel { model, .. } = unsafe { unique("model", model)? };
        // SAFETY: as the caller promises.
        let (image, classes) =
            unsafe { (image(rgb, width, height)?, values("classes", classes, count)?) };
        // SAFETY: as the caller promises.
        let to = unsafe { room("nats", nats, count, count)? };
        to.copy_from_slice(&model.score(&image, classes).map_err(|error| failure(&error))?);
        Ok(Status::Ok)
    })
}

/// Writes the teacher-forced logits of an image's tokens: tokens × codes.
///
/// # Safety
///
/// Pointers must be null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_logits(
    model: *mut VarModel,
    tokens: *const u32,
    tokens_length: usize,
    class: u32,
    logits: *mut f32,
    logits_length: usize,
) -> Status {
    enter(|| {
        // SAFETY: as the caller promises.
        let VarModel { model, sizes } = unsafe { unique("model", model)? };
        let wanted = sizes.tokens * sizes.codes;
        // SAFETY: as the caller promises.
        let (tokens, to) = unsafe {
            (
                values("tokens", tokens, tokens_length)?,
                room("logits", logits, logits_length, wanted)?,
            )
        };
        to.copy_from_slice(&model.logits(tokens, class).map_err(|error| failure(&error))?);
        Ok(Status::Ok)
    })
}

/// Draws the inside or the outside of a box of an image anew.
///
/// # Safety
///
/// Pointers must be null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_edit(
    model: *mut VarModel,
    sampling: *const VarSampling,
    rgb: *const u8,
    width: u32,
    height: u32,
    region: *const [f32; 4],
    outside: u32,
    class: u32,
    out: *mut u8,
    length: usize,
) -> Status {
    enter(|| {
        // SAFETY: as the caller promises.
        let VarModel { model, sizes } = unsafe { unique("model", model)? };
        // SAFETY: as the caller promises.
        let options = settings(&unsafe { read(sampling)? })?;
        // SAFETY: as the caller promises.
        let (image, edges, to) = unsafe {
            (
                image(rgb, width, height)?,
                *shared("region", region)?,
                room("out", out, length, sizes.image_len())?,
            )
        };
        let [top, left, bottom, right] = edges;
        if !edges.iter().all(|edge| (0.0..=1.0).contains(edge)) || top >= bottom || left >= right {
            let text = format!("region {edges:?}: top, left, bottom, right from 0 to 1 wanted");
            return Err(Failure::argument(text));
        }
        let painting = match outside {
            0 => Painting::In,
            1 => Painting::Out,
            other => return Err(Failure::argument(format!("outside is {other}, 0 or 1 wanted"))),
        };
        let region = Region { top, left, bottom, right };
        let class = (class != NO_CLASS).then_some(class);
        let edit = Edit { painting, label: class, ..Edit::from(region) };
        let edited = model.edit(&image, &edit, &options);
        put(&edited.map_err(|error| failure(&error))?, to, None);
        Ok(Status::Ok)
    })
}
