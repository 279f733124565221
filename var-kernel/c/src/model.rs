//! Opening, closing, sizes.
#![allow(unsafe_code)]

use core::ffi::c_char;
use core::ptr;
use std::path::Path;

use var_host::engine::EngineError;
use var_host::model::{Hints, ModelError, Weights};
use var_host::{Device, Error, Model};
use var_kernel::Isa;

use varimage_abi::options::{VarOptions, fill, read};
use varimage_abi::pointers::{room, shared, text, unique, values};
use varimage_abi::sizes::{Sizes, VarInfo};
use varimage_abi::{Failure, Status};

use crate::status::enter;
use crate::workers::LentWorkers;

/// The most threads of a pool.
const MOST_THREADS: u32 = 1024;

/// `var_model` of the header.
pub struct VarModel {
    pub(crate) model: Model,
    pub(crate) sizes: Sizes,
}

/// Sizes of a model, which must have a VQVAE.
fn sizes(model: &Model) -> Result<Sizes, Failure> {
    let text = "the model has no VQVAE: name one by vae_path";
    let vae = model.vqvae_config().ok_or_else(|| Failure::new(Status::Model, text))?;
    Ok(Sizes::of(vae, model.transformer_config()))
}

/// The code and text of an error of a model's files.
fn of_model(error: ModelError) -> Failure {
    failure(&Error::from(error))
}

/// The code and text of an error of the library.
pub(crate) fn failure(error: &Error) -> Failure {
    let status = match error {
        Error::Model(ModelError::Checkpoint(_)) => Status::File,
        Error::Engine(
            EngineError::Memory { .. } | EngineError::LentMemory { .. } | EngineError::Threads(_),
        ) => Status::Memory,
        Error::Engine(
            EngineError::Label { .. } | EngineError::Token { .. } | EngineError::TokenCount { .. },
        )
        | Error::EmptyRegion { .. }
        | Error::Shape { .. } => Status::Argument,
        _ => Status::Model,
    };
    // With its causes.
    Failure::new(status, format_args!("{error:?}"))
}

/// The device of a name, with products in `precision` if it is a GPU.
fn device(name: &str, precision: Option<&str>) -> Result<Device, Failure> {
    if name == "cpu" {
        return match precision {
            None => Ok(Device::cpu()),
            Some(_) => Err(Failure::argument("precision is of a GPU: the CPU computes in f32")),
        };
    }
    let unknown = || Failure::argument(format_args!("device {name}: cpu, cuda or cuda:N wanted"));
    gpu(Device::cuda_number(name).ok_or_else(unknown)?, precision.unwrap_or("f16"))
}

#[cfg(feature = "cuda")]
fn gpu(number: u32, precision: &str) -> Result<Device, Failure> {
    let text = format_args!("precision {precision}: f16, bf16, f32 or tf32 wanted");
    let known = var_kernel::cuda::Precision::named(precision);
    Ok(Device::cuda(number, known.ok_or_else(|| Failure::argument(text))?))
}

#[cfg(not(feature = "cuda"))]
fn gpu(number: u32, _: &str) -> Result<Device, Failure> {
    let text = format_args!("device cuda:{number}: this build computes on the CPU only");
    Err(Failure::argument(text))
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
    if options.scratch_kib != 0 {
        let text = format!("scratch_kib is {}, 0 wanted", options.scratch_kib);
        return Err(Failure::argument(text));
    }
    if options.threads > MOST_THREADS {
        let text = format!("threads is {}, at most {MOST_THREADS}", options.threads);
        return Err(Failure::argument(text));
    }
    // SAFETY: as the caller promises.
    let (name, precision) =
        unsafe { (text("device", options.device)?, text("precision", options.precision)?) };
    let mut device = device(name.unwrap_or("cpu"), precision)?;
    if options.parallel.is_some() && name.is_some_and(|name| name != "cpu") {
        return Err(Failure::argument("parallel lends threads to the CPU, and device is a GPU"));
    }
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
    let sizes = sizes(&model)?;
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

/// Lends working memory, or takes it back with null.
///
/// # Safety
///
/// Pointers must be null or what the header says; the memory stays, and is used by nothing else, until the
/// next call of this function or the model's end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_lend_memory(
    model: *mut VarModel,
    memory: *mut f32,
    bytes: usize,
) -> Status {
    enter(|| {
        // SAFETY: as the caller promises.
        let VarModel { model, .. } = unsafe { unique("model", model)? };
        let floats = bytes / size_of::<f32>();
        let memory: Option<&'static mut [f32]> = match memory.is_null() {
            true if bytes > 0 => {
                return Err(Failure::argument(format_args!("memory is null, bytes is {bytes}")));
            }
            true => None,
            // SAFETY: the header says that it stays until it is taken back.
            false => Some(unsafe { room("memory", memory, floats, floats)? }),
        };
        model.lend_memory(memory).map_err(|error| failure(&error))?;
        Ok(Status::Ok)
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
        let own = sizes.info(model.class_names().len());
        // SAFETY: as the caller promises.
        unsafe { fill(info, &own, "set it to sizeof(var_info)") }
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
