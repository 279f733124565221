//! Pointers of the caller → references, checked for null.
#![allow(unsafe_code)]

use core::ffi::{CStr, c_char};
use core::slice;

use crate::status::Failure;

/// Refuses a pointer that is not aligned, and more bytes than can be addressed.
fn check<T>(name: &str, from: *const T, length: usize) -> Result<(), Failure> {
    if !from.is_aligned() {
        let text = format_args!("{name} is not aligned to {} bytes", align_of::<T>());
        return Err(Failure::argument(text));
    }
    let most = isize::MAX as usize / size_of::<T>().max(1);
    if length > most {
        return Err(Failure::argument(format_args!("{name}: {length} values, at most {most}")));
    }
    Ok(())
}

/// `length` values at `from`; the pointer may be null if there are none.
///
/// # Safety
///
/// So many initialized values must lie there for as long as the result is used.
pub unsafe fn values<'a, T>(name: &str, from: *const T, length: usize) -> Result<&'a [T], Failure> {
    check(name, from, length)?;
    match (length, from.is_null()) {
        (0, _) => Ok(&[]),
        (_, true) => Err(Failure::argument(format_args!("{name} is null, {length} values wanted"))),
        // SAFETY: the caller vouches for the values.
        _ => Ok(unsafe { slice::from_raw_parts(from, length) }),
    }
}

/// Room for `wanted` values at `to`, where the caller says that `length` are.
///
/// # Safety
///
/// `length` values must lie there, which nothing else uses meanwhile.
pub unsafe fn room<'a, T>(
    name: &str,
    to: *mut T,
    length: usize,
    wanted: usize,
) -> Result<&'a mut [T], Failure> {
    if to.is_null() {
        return Err(Failure::argument(format_args!(
            "{name} is null, room for {wanted} values wanted"
        )));
    }
    if length != wanted {
        let text = format_args!("{name} has room for {length} values, {wanted} wanted");
        return Err(Failure::argument(text));
    }
    check(name, to, length)?;
    // SAFETY: the caller vouches for the room.
    Ok(unsafe { slice::from_raw_parts_mut(to, length) })
}

/// A value behind a pointer.
///
/// # Safety
///
/// If it is not null, a value must lie there that nothing changes meanwhile.
pub unsafe fn shared<'a, T>(name: &str, from: *const T) -> Result<&'a T, Failure> {
    check(name, from, 1)?;
    // SAFETY: the caller vouches for the value.
    unsafe { from.as_ref() }.ok_or_else(|| Failure::argument(format_args!("{name} is null")))
}

/// A value behind a pointer, to be changed.
///
/// # Safety
///
/// If it is not null, a value must lie there that nothing else uses meanwhile.
pub unsafe fn unique<'a, T>(name: &str, from: *mut T) -> Result<&'a mut T, Failure> {
    check(name, from, 1)?;
    // SAFETY: the caller vouches for the value.
    unsafe { from.as_mut() }.ok_or_else(|| Failure::argument(format_args!("{name} is null")))
}

/// A text; none if it is null.
///
/// # Safety
///
/// If it is not null, it must end with a NUL.
pub unsafe fn text<'a>(name: &str, from: *const c_char) -> Result<Option<&'a str>, Failure> {
    if from.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller vouches for the NUL.
    let text = unsafe { CStr::from_ptr(from) }.to_str();
    text.map(Some).map_err(|_| Failure::argument(format_args!("{name} is not UTF-8")))
}
