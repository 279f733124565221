//! Cards for tests: the machine's, and emulated ones.
//!
//! `VAR_REQUIRE=cuda` (or `emulator`, or both, with a comma) makes a test fail where it would be
//! skipped; `VAR_CARDS=real` leaves the emulated ones out.

mod compiled;

use std::boxed::Box;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::string::String;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::vec;
use std::vec::Vec;
use std::{env, eprintln, fs};

pub use super::driver::recording::{Launched, Recording};
#[cfg(test)]
pub(crate) use compiled::has_nvrtc;
#[cfg(feature = "emulator")]
pub(crate) use compiled::{SHARED_OF_BLOCK, shared_of};
pub use compiled::{assert_compiles, assert_tiles_compile, compile_into};

use super::{
    Compiler, Cubins, Cuda, CudaError, Matrix, Memory, Options, Precision, Products, Remote, cubins,
};
use crate::cpu;
use crate::memory::{Device, Floats};

const PRECISIONS: [Precision; 4] =
    [Precision::F32, Precision::Tf32, Precision::F16, Precision::Bf16];

/// A card under test.
pub struct Bench {
    /// `cuda f16`, `emulated f32`
    pub name: String,
    /// The card itself.
    pub cuda: Cuda,
}

impl Bench {
    /// How far rounding a factor to the precision's format moves one near 1 at most.
    pub fn rounding(&self) -> f64 {
        match self.cuda.precision() {
            Precision::F32 => 0.0,
            Precision::Tf32 | Precision::F16 => 1.0 / 2048.0,
            Precision::Bf16 => 1.0 / 256.0,
        }
    }

    /// `values` on the card, in memory of their own.
    pub fn put(&self, values: &[f32]) -> Memory {
        let mut memory = self.cuda.memory(values.len()).unwrap();
        self.cuda.upload(&mut memory, values).unwrap();
        memory
    }

    /// Memory of `length` NaN, in whatever format it is read.
    pub fn nans(&self, length: usize) -> Memory {
        self.put(&vec![f32::from_bits(u32::MAX); length])
    }

    /// The values of `run`.
    pub fn read(&self, run: &Remote) -> Vec<f32> {
        let mut values = vec![0.0; run.len()];
        self.cuda.download(&mut values, run).unwrap();
        values
    }

    /// A matrix, as the card would store it.
    pub fn matrix(&self, from: cpu::Matrix<'_>, shape: &[usize]) -> Stored {
        let element = self.cuda.precision().element();
        let memory = self.cuda.upload_matrix(from, shape, element).unwrap();
        Stored { memory, element, length: from.len() }
    }
}

/// A matrix on a card.
pub struct Stored {
    memory: Memory,
    element: super::Element,
    length: usize,
}

impl Stored {
    /// It, as operations take it.
    pub fn view(&self) -> Matrix<'_> {
        Matrix::new(&self.memory, self.element, self.length)
    }
}

/// A GPU that computes nothing and has so many bytes of memory, and its record; work never becomes a
/// graph.
pub fn recorded(precision: Precision, bytes: u64, products: Products) -> (Cuda, Recording) {
    let card = Recording::with_memory(bytes, products);
    let cuda = Cuda::on(Arc::new(card.clone()), precision, false).expect("it has room for mail");
    (cuda, card)
}

/// The cards under test. A real one is opened once for the process, and is one thread's at a time; the emulated
/// ones are each thread's own.
pub struct Cards {
    real: MutexGuard<'static, Vec<Bench>>,
    emulated: Rc<Vec<Bench>>,
}

impl Cards {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Bench> {
        self.real.iter().chain(self.emulated.iter())
    }
}

/// Every card there is, in each precision.
///
/// A thread that holds them must not ask for them again.
pub fn cards() -> Cards {
    static REAL: LazyLock<Mutex<Vec<Bench>>> = LazyLock::new(|| Mutex::new(open_real()));
    std::thread_local! {
        static EMULATED: Rc<Vec<Bench>> = Rc::new(open_emulated());
    }
    let real = REAL.lock().unwrap_or_else(|poisoned| {
        // A test failed in the middle of something: the cards are opened anew.
        REAL.clear_poison();
        let mut real = poisoned.into_inner();
        *real = open_real();
        real
    });
    Cards { real, emulated: EMULATED.with(Rc::clone) }
}

/// Opens every card there is, in each precision.
pub fn open() -> Vec<Bench> {
    open_real().into_iter().chain(open_emulated()).collect()
}

/// Opens the machine's card in each precision; in half precision once more with its library for products, if it
/// has one.
fn open_real() -> Vec<Bench> {
    let mut found = Vec::new();
    for precision in PRECISIONS {
        let open = |products| {
            let cubins = Some(Box::new(InMemory) as Box<dyn Cubins>);
            Cuda::open(Options { precision, products, cubins, ..Options::default() })
        };
        add(&mut found, "cuda", precision, open(Products::Own));
        if precision == Precision::F16
            && let Ok(cuda) = open(Products::Library)
            && cuda.library().is_some()
        {
            add(&mut found, "cuda", precision, Ok(cuda));
        }
    }
    found
}

/// Opens an emulated card in each precision. That of `bf16` has a library: what is here for products is the same
/// text as for `f16`.
#[cfg(feature = "emulator")]
fn open_emulated() -> Vec<Bench> {
    let mut found = Vec::new();
    if !env::var("VAR_CARDS").is_ok_and(|cards| cards == "real") {
        for precision in PRECISIONS {
            let library = precision == Precision::Bf16;
            let products = if library { Products::Library } else { Products::Own };
            add(&mut found, "emulated", precision, Cuda::emulated(precision, true, products));
        }
    }
    found
}

#[cfg(not(feature = "emulator"))]
fn open_emulated() -> Vec<Bench> {
    Vec::new()
}

fn add(found: &mut Vec<Bench>, kind: &str, precision: Precision, card: Result<Cuda, CudaError>) {
    let mut name = std::format!("{kind} {precision}");
    if let Some(cuda) = required(&name, card) {
        if let Some(library) = cuda.library() {
            name += &std::format!(", {library}");
        }
        found.push(Bench { name, cuda });
    }
}

/// A card that a test wants, by name; none if it is not there.
///
/// # Panics
/// If it is not there and `VAR_REQUIRE` names it.
pub fn required(name: &str, card: Result<Cuda, CudaError>) -> Option<Cuda> {
    let required = env::var("VAR_REQUIRE").unwrap_or_default();
    let named = if name.starts_with("cuda") { "cuda" } else { "emulator" };
    match card {
        Ok(cuda) => Some(cuda),
        Err(error) if required.split(',').any(|required| required == named) => {
            panic!("{name}: {error}, and VAR_REQUIRE={required}")
        }
        Err(error) => {
            eprintln!("skipped: {name}: {error}");
            None
        }
    }
}

/// Kernels compiled once for all tests; before that, those of the folder `$VAR_CUBINS`.
struct InMemory;

static COMPILED: Mutex<Option<HashMap<String, Vec<u8>>>> = Mutex::new(None);

impl Cubins for InMemory {
    fn versions(&self, name: &str) -> Vec<Compiler> {
        let compiled = COMPILED.lock().unwrap();
        let of_memory = compiled.iter().flat_map(HashMap::keys).cloned();
        let entries = env::var_os("VAR_CUBINS").and_then(|folder| fs::read_dir(folder).ok());
        let of_folder = entries.into_iter().flatten();
        let of_folder = of_folder.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        of_memory.chain(of_folder).filter_map(|file| cubins::compiler_of(&file, name)).collect()
    }

    fn load(&self, name: &str, by: Compiler) -> Option<Vec<u8>> {
        let file = cubins::file_name(name, by);
        if let Some(cubin) = COMPILED.lock().unwrap().as_ref().and_then(|kept| kept.get(&file)) {
            return Some(cubin.clone());
        }
        cubins::read(&fs::read(Path::new(&env::var_os("VAR_CUBINS")?).join(file)).ok()?)
    }

    fn store(&self, name: &str, by: Compiler, cubin: &[u8]) {
        let mut compiled = COMPILED.lock().unwrap();
        let _ =
            compiled.get_or_insert_default().insert(cubins::file_name(name, by), cubin.to_vec());
    }
}
