//! Structures that begin with their size: an older caller's shorter one is completed by defaults, a newer
//! one's additions must be zero.
#![allow(unsafe_code)]

use core::ffi::{c_char, c_int, c_void};
use core::{ptr, slice};

use crate::sample::VarProgress;
use crate::status::{Failure, Status, enter};

/// Runs `task(context, 0)` to `task(context, tasks - 1)` on threads of the caller, and returns when all have
/// returned.
pub(crate) type Parallel = unsafe extern "C" fn(
    pool: *mut c_void,
    tasks: usize,
    task: unsafe extern "C" fn(context: *mut c_void, index: usize),
    context: *mut c_void,
);

/// Called after every scale; 0 goes on, anything else stops.
pub(crate) type OnScale =
    unsafe extern "C" fn(user: *mut c_void, progress: *mut VarProgress) -> c_int;

/// `var_options` of the header.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct VarOptions {
    pub(crate) size: usize,
    pub(crate) vae_path: *const c_char,
    pub(crate) isa: *const c_char,
    pub(crate) threads: u32,
    pub(crate) reserved: u32,
    pub(crate) parallel: Option<Parallel>,
    pub(crate) pool: *mut c_void,
}

/// `var_sampling` of the header.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct VarSampling {
    pub(crate) size: usize,
    pub(crate) seed: u64,
    pub(crate) cfg: f32,
    pub(crate) top_p: f32,
    pub(crate) top_k: u32,
    pub(crate) first_index: u32,
    pub(crate) batch: u32,
    pub(crate) more_smooth: u32,
    pub(crate) on_scale: Option<OnScale>,
    pub(crate) user: *mut c_void,
}

/// A structure of the header that begins with its size.
///
/// # Safety
///
/// It must be `repr(C)` with `size: usize` first, without padding, and hold for any bytes that C's type of the
/// same layout can hold.
pub(crate) unsafe trait Versioned: Copy {
    /// Its name in the header.
    const NAME: &str;
    /// The defaults.
    fn defaults() -> Self;
}

// SAFETY: as the trait wants.
unsafe impl Versioned for VarOptions {
    const NAME: &str = "var_options";

    fn defaults() -> Self {
        Self {
            size: size_of::<Self>(),
            vae_path: ptr::null(),
            isa: ptr::null(),
            threads: 0,
            reserved: 0,
            parallel: None,
            pool: ptr::null_mut(),
        }
    }
}

// SAFETY: as the trait wants.
unsafe impl Versioned for VarSampling {
    const NAME: &str = "var_sampling";

    fn defaults() -> Self {
        let var_host::SampleOptions { cfg, top_k, top_p, more_smooth, seed, first_index, batch } =
            Default::default();
        Self {
            size: size_of::<Self>(),
            seed,
            cfg,
            top_p,
            top_k: top_k as u32,
            first_index,
            batch: batch as u32,
            more_smooth: u32::from(more_smooth),
            on_scale: None,
            user: ptr::null_mut(),
        }
    }
}

/// The structure at `from`, completed by defaults; the defaults for null.
///
/// # Safety
///
/// If it is not null, as many bytes as its `size` says must lie there.
pub(crate) unsafe fn read<T: Versioned>(from: *const T) -> Result<T, Failure> {
    let mut own = T::defaults();
    if from.is_null() {
        return Ok(own);
    }
    // SAFETY: the structure begins with its size.
    let size = unsafe { size_at(T::NAME, from, "call its _init")? };
    let known = size_of::<T>();
    // SAFETY: the caller vouches for `size` bytes.
    let bytes = unsafe { slice::from_raw_parts(from.cast::<u8>(), size) };
    if let Some(more) = bytes.get(known..)
        && more.iter().any(|byte| *byte != 0)
    {
        let text = format!(
            "{}: of its {size} bytes this version knows {known}, and those after are not zero",
            T::NAME
        );
        return Err(Failure::argument(text));
    }
    // SAFETY: `own` has `known` bytes; the trait promises that any of C's are valid.
    unsafe {
        ptr::copy_nonoverlapping(bytes.as_ptr(), (&raw mut own).cast::<u8>(), size.min(known));
    }
    Ok(own)
}

/// The size that the structure at `from`, which is not null, begins with; `advice`: how it is set.
///
/// # Safety
///
/// A `usize` must lie there.
pub(crate) unsafe fn size_at<T>(
    name: &str,
    from: *const T,
    advice: &str,
) -> Result<usize, Failure> {
    // SAFETY: the caller vouches for the size.
    let size = unsafe { from.cast::<usize>().read_unaligned() };
    let least = size_of::<usize>();
    if size < least {
        let text = format!("{name}: its size is {size}, at least {least} wanted; {advice}");
        return Err(Failure::argument(text));
    }
    Ok(size)
}

/// Writes as much of `own` as the caller's structure of `size` bytes has.
///
/// # Safety
///
/// `size` bytes must lie there.
pub(crate) unsafe fn write<T: Copy>(to: *mut T, size: usize, own: &T) {
    // SAFETY: the caller vouches for `size` bytes.
    unsafe {
        let shared = size.min(size_of::<T>());
        ptr::copy_nonoverlapping(ptr::from_ref(own).cast::<u8>(), to.cast::<u8>(), shared);
    }
}

/// Writes defaults; `size` is the caller's `sizeof`.
///
/// # Safety
///
/// If it is not null, `size` bytes must lie there.
unsafe fn init<T: Versioned>(to: *mut T, size: usize) -> Result<Status, Failure> {
    if to.is_null() {
        return Err(Failure::argument(format!("{} is null", T::NAME)));
    }
    if size < size_of::<usize>() {
        return Err(Failure::argument(format!("{}: a size of {size} bytes", T::NAME)));
    }
    let own = T::defaults();
    // SAFETY: the caller vouches for `size` bytes.
    unsafe {
        ptr::write_bytes(to.cast::<u8>(), 0, size);
        write(to, size, &own);
        to.cast::<usize>().write_unaligned(size);
    }
    Ok(Status::Ok)
}

/// Writes the default options.
///
/// # Safety
///
/// If it is not null, `size` bytes must lie there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_options_init_sized(options: *mut VarOptions, size: usize) -> Status {
    // SAFETY: as the caller promises.
    enter(|| unsafe { init(options, size) })
}

/// Writes the default settings of sampling.
///
/// # Safety
///
/// If it is not null, `size` bytes must lie there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_sampling_init_sized(
    sampling: *mut VarSampling,
    size: usize,
) -> Status {
    // SAFETY: as the caller promises.
    enter(|| unsafe { init(sampling, size) })
}
