//! Opening, closing, sizes.
#![allow(unsafe_code)]

use core::ffi::c_char;
use core::ptr;
use std::path::Path;

use var_host::engine::EngineError;
use var_host::model::{Hints, ModelError, Weights};
use var_host::{Device, Error, Model};
use var_kernel::Isa;

use crate::options::{VarOptions, read, size_at, write};
use crate::pointers::{room, shared, text, values};
use crate::status::{Failure, Status, enter};
use crate::workers::LentWorkers;

/// The most threads of a pool.
const MOST_THREADS: u32 = 1024;

/// `var_model` of the header.
pub struct VarModel {
    pub(crate) model: Model,
    pub(crate) sizes: Sizes,
}

/// Sizes of a model: `var_info` of the header without its size.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) side: usize,
    pub(crate) scales: usize,
    pub(crate) tokens: usize,
    pub(crate) codes: usize,
    /// None without a transformer.
    pub(crate) classes: Option<usize>,
}

/// `var_info` of the header.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct VarInfo {
    size: usize,
    side: u32,
    scales: u32,
    tokens: u32,
    codes: u32,
    classes: u32,
    named_classes: u32,
}

impl Sizes {
    /// Of a model, which must have a VQVAE.
    fn of(model: &Model) -> Result<Self, Failure> {
        let Some(vqvae) = model.vqvae_config() else {
            let text = "the model has no VQVAE: name one by vae_path".to_owned();
            return Err(Failure { status: Status::Model, text });
        };
        let classes = model.transformer_config().map(|config| config.classes);
        let (scales, tokens) = (vqvae.ladder.scales(), vqvae.ladder.length());
        Ok(Self { side: vqvae.side(), scales, tokens, codes: vqvae.codes, classes })
    }

    /// Bytes of an image.
    pub(crate) fn image_len(&self) -> usize {
        self.side * self.side * 3
    }
}

/// The code and text of an error of a model's files.
fn of_model(error: ModelError) -> Failure {
    failure(&Error::from(error))
}

/// The code and text of an error of the library.
pub(crate) fn failure(error: &Error) -> Failure {
    let status = match error {
        Error::Model(ModelError::Checkpoint(_)) => Status::File,
        Error::Engine(EngineError::Memory { .. } | EngineError::Threads(_)) => Status::Memory,
        Error::Engine(
            EngineError::Label { .. } | EngineError::Token { .. } | EngineError::TokenCount { .. },
        )
        | Error::EmptyRegion { .. }
        | Error::Shape { .. } => Status::Argument,
        _ => Status::Model,
    };
    // With its causes.
    Failure { status, text: format!("{error:?}") }
}

/// Opens weights with `options` and puts the model where `out` points.
///
/// # Safety
///
/// As [`var_open`].
unsafe fn open(
    options: *const VarOptions,
    out: *mut *mut VarModel,
    weights: impl FnOnce(Option<&Path>) -> Result<Weights, Failure>,
) -> Result<Status, Failure> {
    if out.is_null() {
        return Err(Failure::argument("out is null"));
    }
    // SAFETY: the caller vouches for the place.
    unsafe { out.write(ptr::null_mut()) };
    // SAFETY: as the caller promises.
    let options = unsafe { read(options)? };
    // SAFETY: as the caller promises.
    let (vae, isa) = unsafe { (text("vae_path", options.vae_path)?, text("isa", options.isa)?) };
    if options.reserved != 0 {
        let text = format!("var_options: reserved is {}, 0 wanted", options.reserved);
        return Err(Failure::argument(text));
    }
    if options.threads > MOST_THREADS {
        let text = format!("threads is {}, at most {MOST_THREADS}", options.threads);
        return Err(Failure::argument(text));
    }
    let mut device = Device::cpu();
    if let Some(name) = isa {
        let Some(isa) = Isa::named(name) else {
            let known = Isa::all().map(Isa::name).collect::<Vec<_>>().join(", ");
            return Err(Failure::argument(format!("isa {name}: this processor has {known}")));
        };
        device = device.isa(isa);
    }
    if options.threads > 0 {
        device = device.threads(options.threads as usize);
    }
    let model = Model::new(weights(vae.map(Path::new))?).on(device);
    let sizes = Sizes::of(&model)?;
    let model = match options.parallel {
        None => model,
        Some(_) if options.threads == 0 => {
            return Err(Failure::argument("parallel: threads is 0, the size of the pool wanted"));
        }
        Some(parallel) => {
            let workers = LentWorkers::new(parallel, options.pool, options.threads as usize);
            model.with_workers(Box::new(workers))
        }
    };
    // SAFETY: the caller vouches for the place.
    unsafe { out.write(Box::into_raw(Box::new(VarModel { model, sizes }))) };
    Ok(Status::Ok)
}

/// Opens a model file.
///
/// # Safety
///
/// Pointers must be null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_open(
    path: *const c_char,
    options: *const VarOptions,
    out: *mut *mut VarModel,
) -> Status {
    enter(|| {
        // SAFETY: as the caller promises.
        let path = unsafe { text("path", path)? }.map(Path::new);
        // SAFETY: as the caller promises.
        unsafe {
            open(options, out, |vae| {
                let weights = match (path, vae) {
                    (None, None) => var_host::model::built_in(),
                    (Some(path), None) => Weights::open(path, &Hints::default()),
                    (path, vae) => Weights::open_halves(path, vae, &Hints::default()),
                };
                weights.map_err(of_model)
            })
        }
    })
}

/// Opens a model in memory, which must stay there unchanged until the model is closed.
///
/// # Safety
///
/// Pointers must be null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_open_memory(
    bytes: *const u8,
    length: usize,
    options: *const VarOptions,
    out: *mut *mut VarModel,
) -> Status {
    enter(|| {
        if bytes.is_null() {
            return Err(Failure::argument(format!("bytes is null, {length} of them announced")));
        }
        // SAFETY: the header says that the bytes stay until the model is closed, which is the end of the
        // last reference to them.
        let bytes: &'static [u8] = unsafe { values("bytes", bytes, length)? };
        // SAFETY: as the caller promises.
        unsafe {
            open(options, out, |vae| match vae {
                None => Weights::built_in(bytes).map_err(of_model),
                Some(_) => Err(Failure::argument("vae_path goes with var_open, not with memory")),
            })
        }
    })
}

/// Closes a model; null is passed over.
///
/// # Safety
///
/// It must be of `var_open` or `var_open_memory`, not yet closed, and in no other call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_close(model: *mut VarModel) {
    if model.is_null() {
        return;
    }
    enter(|| {
        // SAFETY: as the caller promises.
        drop(unsafe { Box::from_raw(model) });
        Ok(Status::Ok)
    });
}

/// Writes the sizes of a model.
///
/// # Safety
///
/// Pointers must be null or what the header says; `info` begins with its size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_get_info(model: *const VarModel, info: *mut VarInfo) -> Status {
    enter(|| {
        // SAFETY: as the caller promises.
        let VarModel { model, sizes } = unsafe { shared("model", model)? };
        if info.is_null() {
            return Err(Failure::argument("info is null"));
        }
        // SAFETY: the structure begins with its size.
        let size = unsafe { size_at("var_info", info, "set it to sizeof(var_info)")? };
        let own = VarInfo {
            size,
            side: sizes.side as u32,
            scales: sizes.scales as u32,
            tokens: sizes.tokens as u32,
            codes: sizes.codes as u32,
            classes: sizes.classes.unwrap_or(0) as u32,
            named_classes: model.class_names().len() as u32,
        };
        // SAFETY: the caller vouches for `size` bytes.
        unsafe { write(info, size, &own) };
        Ok(Status::Ok)
    })
}

/// Writes the name of a class, ended by NUL and cut to `length` bytes; returns its length without the NUL, 0
/// if the class has none.
///
/// # Safety
///
/// Pointers must be null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_class_name(
    model: *const VarModel,
    class: u32,
    name: *mut c_char,
    length: usize,
) -> usize {
    let mut written = 0;
    enter(|| {
        // SAFETY: as the caller promises.
        let VarModel { model, .. } = unsafe { shared("model", model)? };
        let Some(own) = model.class_names().get(class as usize) else { return Ok(Status::Ok) };
        written = own.len();
        if length > 0 {
            // SAFETY: as the caller promises.
            let to = unsafe { room("name", name.cast::<u8>(), length, length)? };
            let copied = own.len().min(length - 1);
            to[..copied].copy_from_slice(&own.as_bytes()[..copied]);
            to[copied] = 0;
        }
        Ok(Status::Ok)
    });
    written
}
