//! Structures that begin with their size: an older caller's shorter one is completed by defaults, a newer
//! one's additions must be zero.
#![allow(unsafe_code)]

use core::ffi::{c_char, c_int, c_void};
use core::{ptr, slice};

use var_kernel::Request;
use var_kernel::sample::temperature;

use crate::sizes::VarInfo;
use crate::status::{Failure, Status};

/// Runs `task(context, 0)` to `task(context, tasks - 1)` on threads of the caller, and returns when all have
/// returned.
pub type Parallel = unsafe extern "C" fn(
    pool: *mut c_void,
    tasks: usize,
    task: unsafe extern "C" fn(context: *mut c_void, index: usize),
    context: *mut c_void,
);

/// Called after every scale; 0 goes on, anything else stops.
pub type OnScale = unsafe extern "C" fn(user: *mut c_void, progress: *mut c_void) -> c_int;

/// `var_options` of the header.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct VarOptions {
    /// The caller's `sizeof`.
    pub size: usize,
    /// The VQVAE's file, or null.
    pub vae_path: *const c_char,
    /// Name of a device; null: the CPU.
    pub device: *const c_char,
    /// Precision of products on a GPU; null: f16.
    pub precision: *const c_char,
    /// Name of an instruction set; null: the best.
    pub isa: *const c_char,
    /// 0: one for each core; with `parallel`, its most tasks.
    pub threads: u32,
    /// KiB of scratch memory of each thread; 0: as many as [`var_kernel::SCRATCH_FLOATS`].
    pub scratch_kib: u32,
    /// Threads of the caller's, if any.
    pub parallel: Option<Parallel>,
    /// `parallel`'s.
    pub pool: *mut c_void,
}

/// `var_sampling` of the header.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct VarSampling {
    /// The caller's `sizeof`.
    pub size: usize,
    /// With an image's index, it decides the random numbers.
    pub seed: u64,
    /// Classifier-free guidance at the last scale.
    pub cfg: f32,
    /// The most likely tokens that reach this probability; 0: all.
    pub top_p: f32,
    /// So many most likely tokens; 0: all.
    pub top_k: u32,
    /// Index of the first image.
    pub first_index: u32,
    /// Images computed together.
    pub batch: u32,
    /// 1: codes mixed by Gumbel softmax.
    pub more_smooth: u32,
    /// Called after every scale, if any.
    pub on_scale: Option<OnScale>,
    /// `on_scale`'s.
    pub user: *mut c_void,
    /// Divides the logits after guidance.
    pub temperature: f32,
    /// 0.
    pub reserved: u32,
}

/// The most images that go through the model together.
const LARGEST_BATCH: u32 = 4096;

impl VarSampling {
    /// Refuses what is out of range.
    ///
    /// # Errors
    /// For the first such value, by name.
    pub fn check(&self) -> Result<(), Failure> {
        let Self { cfg, top_p, batch, more_smooth, temperature, reserved, .. } = *self;
        if !cfg.is_finite() {
            return Err(Failure::argument(format_args!("cfg is {cfg}, a finite number wanted")));
        }
        if !(0.0..=1.0).contains(&top_p) {
            return Err(Failure::argument(format_args!("top_p is {top_p}, 0 to 1 wanted")));
        }
        if batch == 0 || batch > LARGEST_BATCH {
            let text = format_args!("batch is {batch}, 1 to {LARGEST_BATCH} wanted");
            return Err(Failure::argument(text));
        }
        if more_smooth > 1 {
            let text = format_args!("more_smooth is {more_smooth}, 0 or 1 wanted");
            return Err(Failure::argument(text));
        }
        if !temperature::RANGE.contains(&temperature) {
            let (least, most) = temperature::RANGE.into_inner();
            let text = format_args!("temperature is {temperature}, {least} to {most} wanted");
            return Err(Failure::argument(text));
        }
        if reserved != 0 {
            return Err(Failure::argument(format_args!("reserved is {reserved}, 0 wanted")));
        }
        Ok(())
    }

    /// Refuses images with an index past 2³² − 1.
    ///
    /// # Errors
    /// If there are that many.
    pub fn check_count(&self, count: usize) -> Result<(), Failure> {
        let first = self.first_index;
        let last = u32::try_from(count).ok().and_then(|n| first.checked_add(n.saturating_sub(1)));
        let text = format_args!("first_index is {first}, too large for {count} images");
        last.map(drop).ok_or_else(|| Failure::argument(text))
    }
}

/// A structure of the header that begins with its size.
///
/// # Safety
///
/// It must be `repr(C)` with `size: usize` first, without padding, and hold for any bytes that C's type of the
/// same layout can hold.
pub unsafe trait Versioned: Copy {
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
            device: ptr::null(),
            precision: ptr::null(),
            isa: ptr::null(),
            threads: 0,
            scratch_kib: 0,
            parallel: None,
            pool: ptr::null_mut(),
        }
    }
}

// SAFETY: as the trait wants.
unsafe impl Versioned for VarSampling {
    const NAME: &str = "var_sampling";

    fn defaults() -> Self {
        let Request { cfg, filter, more_smooth, temperature, .. } = Request::new(&[], &[], 0);
        Self {
            size: size_of::<Self>(),
            seed: 0,
            cfg,
            top_p: filter.top_p,
            top_k: filter.top_k as u32,
            first_index: 0,
            batch: 4,
            more_smooth: u32::from(more_smooth),
            on_scale: None,
            user: ptr::null_mut(),
            temperature,
            reserved: 0,
        }
    }
}

// SAFETY: as the trait wants.
unsafe impl Versioned for VarInfo {
    const NAME: &str = "var_info";

    fn defaults() -> Self {
        Self {
            size: size_of::<Self>(),
            side: 0,
            scales: 0,
            tokens: 0,
            codes: 0,
            classes: 0,
            named_classes: 0,
        }
    }
}

/// The structure at `from`, completed by defaults; the defaults for null.
///
/// # Safety
///
/// If it is not null, as many bytes as its `size` says must lie there.
pub unsafe fn read<T: Versioned>(from: *const T) -> Result<T, Failure> {
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
        let name = T::NAME;
        return Err(Failure::argument(format_args!(
            "{name}: of its {size} bytes this version knows {known}, and those after are not zero"
        )));
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
unsafe fn size_at<T>(name: &str, from: *const T, advice: &str) -> Result<usize, Failure> {
    // SAFETY: the caller vouches for the size.
    let size = unsafe { from.cast::<usize>().read_unaligned() };
    let least = size_of::<usize>();
    if size < least {
        let text = format_args!("{name}: its size is {size}, at least {least} wanted; {advice}");
        return Err(Failure::argument(text));
    }
    Ok(size)
}

/// Writes as much of `own` as the caller's structure of `size` bytes has.
///
/// # Safety
///
/// `size` bytes must lie there.
unsafe fn write<T: Copy>(to: *mut T, size: usize, own: &T) {
    // SAFETY: the caller vouches for `size` bytes.
    unsafe {
        let shared = size.min(size_of::<T>());
        ptr::copy_nonoverlapping(ptr::from_ref(own).cast::<u8>(), to.cast::<u8>(), shared);
    }
}

/// Writes defaults; `size` is the caller's `sizeof`.
///
/// # Errors
/// If there is no place, or none for a size.
///
/// # Safety
///
/// If it is not null, `size` bytes must lie there.
pub unsafe fn init<T: Versioned>(to: *mut T, size: usize) -> Result<Status, Failure> {
    if to.is_null() {
        return Err(Failure::argument(format_args!("{} is null", T::NAME)));
    }
    if size < size_of::<usize>() {
        return Err(Failure::argument(format_args!("{}: a size of {size} bytes", T::NAME)));
    }
    // SAFETY: the caller vouches for `size` bytes.
    unsafe {
        ptr::write_bytes(to.cast::<u8>(), 0, size);
        write(to, size, &T::defaults());
        to.cast::<usize>().write_unaligned(size);
    }
    Ok(Status::Ok)
}

/// Writes `own` over the structure at `to`, which begins with the size it has there.
///
/// # Errors
/// If there is no place, or its size is none.
///
/// # Safety
///
/// If it is not null, as many bytes as its size says must lie there.
pub unsafe fn fill<T: Versioned>(to: *mut T, own: &T, advice: &str) -> Result<Status, Failure> {
    if to.is_null() {
        return Err(Failure::argument(format_args!("{} is null", T::NAME)));
    }
    // SAFETY: the structure begins with its size.
    let size = unsafe { size_at(T::NAME, to, advice)? };
    // SAFETY: the caller vouches for `size` bytes.
    unsafe {
        write(to, size, own);
        to.cast::<usize>().write_unaligned(size);
    }
    Ok(Status::Ok)
}
