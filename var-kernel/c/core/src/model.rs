//! A model file bound in the caller's memory.
#![allow(unsafe_code)]

use core::mem::MaybeUninit;
use core::ptr;

use var_kernel::{Cpu, Isa, Model, ModelFile, SCRATCH_FLOATS, Storage};
use varimage_abi::options::{VarOptions, fill, read};
use varimage_abi::pointers::{shared, text, unique, values};
use varimage_abi::sizes::{Sizes, VarInfo};
use varimage_abi::{Failure, Status};

use crate::block::{Block, Bytes};
use crate::entry::{VarCoreError, enter};
use crate::workers::LentWorkers;

/// Bytes on the stack for the lists of layers while a file is measured: enough for a hundred blocks.
pub(crate) const LAYERS: usize = 1 << 16;
/// The most tasks of a pool.
const MOST_THREADS: u32 = 1024;

/// `var_core_model` of the header, in the caller's memory.
pub struct VarCoreModel {
    pub(crate) model: Model<'static, 'static, Cpu<'static>>,
    pub(crate) cpu: Cpu<'static>,
    pub(crate) sizes: Sizes,
    /// Floats of scratch memory of each thread.
    pub(crate) scratch_len: usize,
}

/// Options of the caller, checked.
#[derive(Clone, Copy)]
struct Settings {
    options: VarOptions,
    isa: Isa,
    threads: usize,
    /// Floats of each thread.
    scratch: usize,
}

/// A file, and the memory that its model takes.
struct Measured<'a> {
    file: ModelFile<'a>,
    storage: usize,
    widened: usize,
    bytes: Bytes,
}

/// Reads the options.
///
/// # Safety
/// They must be null or what the header says.
unsafe fn settings(options: *const VarOptions) -> Result<Settings, Failure> {
    // SAFETY: as the caller promises.
    let options = unsafe { read(options)? };
    // SAFETY: as the caller promises.
    let (vae, isa) = unsafe { (text("vae_path", options.vae_path)?, text("isa", options.isa)?) };
    if vae.is_some() || !options.device.is_null() || !options.precision.is_null() {
        let text = "var_options: vae_path, device and precision are NULL here";
        return Err(Failure::argument(text));
    }
    let scratch = match options.scratch_kib {
        0 => SCRATCH_FLOATS,
        kib => (kib as usize).saturating_mul(1024 / size_of::<f32>()),
    };
    let isa = match isa {
        None => Isa::best(),
        Some(name) => Isa::named(name).ok_or_else(|| {
            Failure::argument(format_args!("isa {name}: this processor has {}", Isa::best().name()))
        })?,
    };
    let threads = match options.parallel {
        None => 1,
        Some(_) if (1..=MOST_THREADS).contains(&options.threads) => options.threads as usize,
        Some(_) => {
            let threads = options.threads;
            let text = format_args!("threads is {threads}, 1 to {MOST_THREADS} wanted by parallel");
            return Err(Failure::argument(text));
        }
    };
    Ok(Settings { options, isa, threads, scratch })
}

/// Reads the header of a model file.
fn measure(bytes: &[u8], settings: Settings) -> Result<Measured<'_>, Failure> {
    let of_file = |error| Failure::new(Status::Model, error);
    if !bytes.is_empty() && !bytes.as_ptr().cast::<f32>().is_aligned() {
        return Err(Failure::argument("file does not begin at a multiple of 4 bytes"));
    }
    let file = ModelFile::new(bytes).map_err(of_file)?;
    let storage = Model::<Cpu<'_>>::storage_len(&file.var, &file.vae);
    if storage > LAYERS {
        let text = format_args!("layers take {storage} bytes, at most {LAYERS} here");
        return Err(Failure::new(Status::Model, text));
    }
    let mut layers = [MaybeUninit::uninit(); LAYERS];
    let widened = file.widened_len(&mut Storage::new(&mut layers)).map_err(of_file)?;
    let bytes = Bytes::default()
        .and::<VarCoreModel>(1)
        .and::<LentWorkers>(1)
        .and::<u8>(storage)
        .and::<f32>(widened)
        .and::<f32>(settings.threads.saturating_mul(settings.scratch));
    Ok(Measured { file, storage, widened, bytes })
}

/// Writes the bytes of memory that `var_core_open` takes.
///
/// # Safety
/// Pointers must be null or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_core_memory(
    file: *const u8,
    length: usize,
    options: *const VarOptions,
    bytes: *mut usize,
    error: *mut VarCoreError,
) -> Status {
    let body = || {
        // SAFETY: as the caller promises.
        let (settings, file, bytes) =
            unsafe { (settings(options)?, values("file", file, length)?, unique("bytes", bytes)?) };
        *bytes = measure(file, settings)?.bytes.total();
        Ok(Status::Ok)
    };
    // SAFETY: as the caller promises.
    unsafe { enter(error, body) }
}

/// Binds a model file in the caller's memory.
///
/// # Safety
/// Pointers must be null or what the header says; file and memory stay while the model is used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_core_open(
    file: *const u8,
    length: usize,
    options: *const VarOptions,
    memory: *mut u8,
    bytes: usize,
    out: *mut *mut VarCoreModel,
    error: *mut VarCoreError,
) -> Status {
    let body = || {
        // SAFETY: as the caller promises.
        let out = unsafe { unique("model", out)? };
        *out = ptr::null_mut();
        // SAFETY: the header says that the file stays.
        let (settings, file): (_, &'static [u8]) =
            unsafe { (settings(options)?, values("file", file, length)?) };
        let Measured { file, storage, widened, bytes: wanted } = measure(file, settings)?;
        let Settings { options, isa, threads, scratch: each } = settings;
        // SAFETY: as the caller promises.
        let mut block = unsafe { Block::new(memory, bytes, wanted)? };
        let parallel = options.parallel.map(|parallel| (parallel, options.pool));
        let scratch = block.filled(threads * each, 0.0);
        let workers = block.value(LentWorkers::new(parallel, scratch, threads, each));
        let mut storage = Storage::new(block.room(storage));
        let model = file
            .bind(block.filled(widened, 0.0), &mut storage)
            .map_err(|error| Failure::new(Status::Model, error))?;
        let sizes = Sizes::of(&file.vae, Some(&file.var));
        let cpu = Cpu::new(isa, workers);
        *out = block.value(VarCoreModel { model, cpu, sizes, scratch_len: each });
        Ok(Status::Ok)
    };
    // SAFETY: as the caller promises.
    unsafe { enter(error, body) }
}

/// Writes the sizes of a model.
///
/// # Safety
/// Pointers must be null or what the header says; `info` begins with its size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_core_get_info(
    model: *const VarCoreModel,
    info: *mut VarInfo,
    error: *mut VarCoreError,
) -> Status {
    let body = || {
        // SAFETY: as the caller promises.
        let own = unsafe { shared("model", model)? }.sizes.info(0);
        // SAFETY: as the caller promises.
        unsafe { fill(info, &own, "set it to sizeof(var_info)") }
    };
    // SAFETY: as the caller promises.
    unsafe { enter(error, body) }
}
