//! The calls from JavaScript: numbers and addresses ↔ the library. `var.mjs` is the caller.
//!
//! Addresses are of this module's memory. A call that answers with bytes returns their address, for
//! [`length`] bytes, good until the next call; one that fails returns 0 or −1, and [`error`] has the text.
#![allow(unsafe_code)]

use core::alloc::Layout;
use core::cell::{Cell, RefCell};
use core::{ptr, slice, str};
use std::alloc::{alloc_zeroed, dealloc};

use var_host::engine::Buffer;

use crate::fault;
use crate::model::OpenModel;
use crate::run::{Run, Settings};

/// Alignment of [`allocate`]: of weights, as in a mapped file.
const ALIGNMENT: usize = 64;

/// Results of calls that answer with a number.
const DONE: i32 = 0;
const FAILED: i32 = -1;
const NO_SCALE_LEFT: i32 = -2;

thread_local! {
    static MODEL: Cell<Option<&'static OpenModel>> = const { Cell::new(None) };
    static RUN: RefCell<Option<Run>> = const { RefCell::new(None) };
    /// An ended run's, for the next.
    static MEMORY: RefCell<Buffer> = RefCell::default();
    static ANSWER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Keeps an answer for JavaScript to read and returns its address; 0 after noting a failure.
fn answer(outcome: Result<Vec<u8>, String>) -> *const u8 {
    match outcome {
        Ok(bytes) => ANSWER.with(|answer| {
            answer.replace(bytes);
            answer.borrow().as_ptr()
        }),
        Err(text) => {
            fault::note(text);
            ptr::null()
        }
    }
}

/// The number of an outcome; [`FAILED`] after noting a failure.
fn number(outcome: Result<i32, String>) -> i32 {
    outcome.unwrap_or_else(|text| {
        fault::note(text);
        FAILED
    })
}

fn model() -> Result<&'static OpenModel, String> {
    MODEL.get().ok_or_else(|| "no model is open".to_owned())
}

fn with_run<R>(work: impl FnOnce(&mut Run) -> Result<R, String>) -> Result<R, String> {
    RUN.with(|run| work(run.borrow_mut().as_mut().ok_or("no run has begun")?))
}

fn bytes_of(tokens: &[u32]) -> Vec<u8> {
    tokens.iter().flat_map(|token| token.to_le_bytes()).collect()
}

/// Memory of `length` bytes; 0 if it cannot be had.
#[unsafe(no_mangle)]
extern "C" fn allocate(length: usize) -> *mut u8 {
    let Ok(layout) = Layout::from_size_align(length.max(1), ALIGNMENT) else {
        return ptr::null_mut();
    };
    // SAFETY: the layout has a size.
    unsafe { alloc_zeroed(layout) }
}

/// Gives memory back.
///
/// # Safety
///
/// It must be of [`allocate`] with this length, and in no use.
#[unsafe(no_mangle)]
unsafe extern "C" fn release(memory: *mut u8, length: usize) {
    if let Ok(layout) = Layout::from_size_align(length.max(1), ALIGNMENT) {
        // SAFETY: as the caller promises.
        unsafe { dealloc(memory, layout) };
    }
}

/// Opens the model file of `length` bytes, called `name` in messages. An instance opens one, once.
///
/// # Safety
///
/// The bytes must be of [`allocate`] and are the model's from now on; the name must be UTF-8.
#[unsafe(no_mangle)]
unsafe extern "C" fn open(
    bytes: *const u8,
    length: usize,
    name: *const u8,
    name_length: usize,
) -> i32 {
    fault::note_panics();
    // SAFETY: nobody changes or frees the bytes from now on, so they live as long as the instance.
    let bytes: &'static [u8] = unsafe { slice::from_raw_parts(bytes, length) };
    // SAFETY: as the caller promises.
    let name = unsafe { slice::from_raw_parts(name, name_length) };
    number(match MODEL.get() {
        Some(_) => Err("a model is open already: another wants another instance".to_owned()),
        None => OpenModel::new(bytes, str::from_utf8(name).unwrap_or("the model")).map(|model| {
            MODEL.set(Some(Box::leak(Box::new(model))));
            DONE
        }),
    })
}

/// The description of the model as JSON.
#[unsafe(no_mangle)]
extern "C" fn describe() -> *const u8 {
    answer(model().map(|model| model.describe().into_bytes()))
}

/// Begins a run that draws an image of each of `count` labels; one that was begun before is ended.
///
/// # Safety
///
/// `labels` must be the address of as many numbers.
#[unsafe(no_mangle)]
unsafe extern "C" fn begin(
    labels: *const u32,
    count: usize,
    seed: u64,
    first_index: u32,
    cfg: f32,
    top_k: u32,
    top_p: f32,
    more_smooth: u32,
    temperature: f32,
) -> i32 {
    end();
    // SAFETY: as the caller promises.
    let labels = unsafe { slice::from_raw_parts(labels, count) }.to_vec();
    let (top_k, more_smooth) = (top_k as usize, more_smooth != 0);
    let settings = Settings { seed, first_index, cfg, temperature, top_k, top_p, more_smooth };
    let begun = model().and_then(|model| Run::begin(model, labels, settings, MEMORY.take()));
    number(begun.map(|run| {
        RUN.set(Some(run));
        DONE
    }))
}

/// Draws the next scale and returns its number; −2 after the last, −1 for a failure.
#[unsafe(no_mangle)]
extern "C" fn step() -> i32 {
    let scale = with_run(Run::step);
    number(scale.map(|scale| scale.map_or(NO_SCALE_LEFT, |scale| scale as i32)))
}

/// Tokens of the scale drawn last, image by image: 32 bits each.
#[unsafe(no_mangle)]
extern "C" fn tokens() -> *const u8 {
    answer(with_run(|run| Ok(bytes_of(run.tokens()))))
}

/// Image `number` of the run as it would look if the run ended here: side × side × 3 bytes.
#[unsafe(no_mangle)]
extern "C" fn image(number: usize) -> *const u8 {
    answer(with_run(|run| run.image(number)))
}

/// Ends the run, if there is one.
#[unsafe(no_mangle)]
extern "C" fn end() {
    if let Some(run) = RUN.take() {
        MEMORY.set(run.end());
    }
}

/// Tokens of an image of side × side × 3 bytes.
///
/// # Safety
///
/// `rgb` must be the address of as many bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn encode(rgb: *const u8, length: usize) -> *const u8 {
    // SAFETY: as the caller promises.
    let rgb = unsafe { slice::from_raw_parts(rgb, length) };
    answer(model().and_then(|model| model.encode(rgb)).map(|tokens| bytes_of(&tokens)))
}

/// The image of an image's tokens.
///
/// # Safety
///
/// `tokens` must be the address of as many numbers.
#[unsafe(no_mangle)]
unsafe extern "C" fn decode(tokens: *const u32, count: usize) -> *const u8 {
    // SAFETY: as the caller promises.
    let tokens = unsafe { slice::from_raw_parts(tokens, count) };
    answer(model().and_then(|model| model.decode(tokens)))
}

/// Text of the last failure, or of the panic before a trap.
#[unsafe(no_mangle)]
extern "C" fn error() -> *const u8 {
    answer(Ok(fault::last().into_bytes()))
}

/// Bytes of the last answer.
#[unsafe(no_mangle)]
extern "C" fn length() -> usize {
    ANSWER.with(|answer| answer.borrow().len())
}
