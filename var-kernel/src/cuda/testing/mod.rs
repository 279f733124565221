//! GPUs for tests: the machine's, and emulated ones.
//!
//! `VAR_REQUIRE=cuda` (or `emulator`, or both, with a comma) makes a test fail where it would be
//! skipped; `VAR_CARDS=real` leaves the emulated ones out.

mod nvrtc;

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
pub(crate) use nvrtc::has_nvrtc;
#[cfg(feature = "emulator")]
pub(crate) use nvrtc::{SHARED_OF_BLOCK, shared_of};
pub use nvrtc::{assert_compiles, assert_tiles_compile, compile_into};

use super::{
    Compiler, CubinCache, Cuda, CudaError, CudaMatrix, GemmProvider, Memory, Options, Precision,
    Remote, cubin_cache,
};
use crate::cpu;
use crate::memory::{Device, Floats};

const PRECISIONS: [Precision; 4] =
    [Precision::F32, Precision::Tf32, Precision::F16, Precision::Bf16];

/// A GPU under test.
pub struct TestGpu {
    /// `cuda f16`, `emulated f32`
    pub name: String,
    /// The GPU itself.
    pub cuda: Cuda,
}

impl TestGpu {
    /// How far rounding a factor to the precision's format moves one near 1 at most.
    pub fn rounding(&self) -> f64 {
        match self.cuda.precision() {
            Precision::F32 => 0.0,
            Precision::Tf32 | Precision::F16 => 1.0 / 2048.0,
            Precision::Bf16 => 1.0 / 256.0,
        }
    }

    /// `values` on the GPU, in memory of their own.
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

    /// A matrix, as the GPU would store it.
    pub fn matrix(&self, from: cpu::Matrix<'_>, shape: &[usize]) -> Stored {
        let dtype = self.cuda.precision().dtype();
        let memory = self.cuda.upload_matrix(from, shape, dtype).unwrap();
        Stored { memory, dtype, length: from.len() }
    }
}

/// A matrix on a GPU.
pub struct Stored {
    memory: Memory,
    dtype: super::Dtype,
    length: usize,
}

impl Stored {
    /// It, as operations take it.
    pub fn view(&self) -> CudaMatrix<'_> {
        CudaMatrix::new(&self.memory, self.dtype, self.length)
    }
}

/// A GPU that computes nothing and has so many bytes of memory, and its record; work never becomes a
/// graph.
pub fn recorded(
    precision: Precision,
    bytes: u64,
    gemm_provider: GemmProvider,
) -> (Cuda, Recording) {
    let gpu = Recording::with_memory(bytes, gemm_provider);
    let cuda = Cuda::on(Arc::new(gpu.clone()), precision, false).expect("it has room for mail");
    (cuda, gpu)
}

/// The GPUs under test. A real one is opened once for the process, and is one thread's at a time; the emulated
/// ones are each thread's own.
pub struct TestGpus {
    real: MutexGuard<'static, Vec<TestGpu>>,
    emulated: Rc<Vec<TestGpu>>,
}

impl TestGpus {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &TestGpu> {
        self.real.iter().chain(self.emulated.iter())
    }
}

/// Every GPU there is, in each precision.
///
/// A thread that holds them must not ask for them again.
pub fn gpus() -> TestGpus {
    static REAL: LazyLock<Mutex<Vec<TestGpu>>> = LazyLock::new(|| Mutex::new(open_real()));
    std::thread_local! {
        static EMULATED: Rc<Vec<TestGpu>> = Rc::new(open_emulated());
    }
    let real = REAL.lock().unwrap_or_else(|poisoned| {
        // A test failed in the middle of something: the GPUs are opened anew.
        REAL.clear_poison();
        let mut real = poisoned.into_inner();
        *real = open_real();
        real
    });
    TestGpus { real, emulated: EMULATED.with(Rc::clone) }
}

/// Opens every GPU there is, in each precision.
pub fn open() -> Vec<TestGpu> {
    open_real().into_iter().chain(open_emulated()).collect()
}

/// Opens the machine's GPU in each precision; in half precision once more with its library for products, if it
/// has one.
fn open_real() -> Vec<TestGpu> {
    let mut found = Vec::new();
    for precision in PRECISIONS {
        let open = |gemm_provider| {
            let cubin_cache = Some(Box::new(InMemory) as Box<dyn CubinCache>);
            Cuda::open(Options { precision, gemm_provider, cubin_cache, ..Options::default() })
        };
        add(&mut found, "cuda", precision, open(GemmProvider::Builtin));
        if precision == Precision::F16
            && let Ok(cuda) = open(GemmProvider::CublasLt)
            && cuda.library().is_some()
        {
            add(&mut found, "cuda", precision, Ok(cuda));
        }
    }
    found
}

/// Opens an emulated GPU in each precision. That of `bf16` has a library: its builtin products are the same
/// text as for `f16`.
#[cfg(feature = "emulator")]
fn open_emulated() -> Vec<TestGpu> {
    let mut found = Vec::new();
    if !env::var("VAR_CARDS").is_ok_and(|gpus| gpus == "real") {
        for precision in PRECISIONS {
            let library = precision == Precision::Bf16;
            let gemm_provider =
                if library { GemmProvider::CublasLt } else { GemmProvider::Builtin };
            add(&mut found, "emulated", precision, Cuda::emulated(precision, true, gemm_provider));
        }
    }
    found
}

#[cfg(not(feature = "emulator"))]
fn open_emulated() -> Vec<TestGpu> {
    Vec::new()
}

fn add(found: &mut Vec<TestGpu>, kind: &str, precision: Precision, gpu: Result<Cuda, CudaError>) {
    let mut name = std::format!("{kind} {precision}");
    if let Some(cuda) = required(&name, gpu) {
        if let Some(library) = cuda.library() {
            name += &std::format!(", {library}");
        }
        found.push(TestGpu { name, cuda });
    }
}

/// A GPU that a test wants, by name; none if it is not there.
///
/// # Panics
/// If it is not there and `VAR_REQUIRE` names it.
pub fn required(name: &str, gpu: Result<Cuda, CudaError>) -> Option<Cuda> {
    let required = env::var("VAR_REQUIRE").unwrap_or_default();
    let named = if name.starts_with("cuda") { "cuda" } else { "emulator" };
    match gpu {
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

impl CubinCache for InMemory {
    fn versions(&self, name: &str) -> Vec<Compiler> {
        let compiled = COMPILED.lock().unwrap();
        let of_memory = compiled.iter().flat_map(HashMap::keys).cloned();
        let entries = env::var_os("VAR_CUBINS").and_then(|folder| fs::read_dir(folder).ok());
        let of_folder = entries.into_iter().flatten();
        let of_folder = of_folder.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        of_memory
            .chain(of_folder)
            .filter_map(|file| cubin_cache::compiler_of(&file, name))
            .collect()
    }

    fn load(&self, name: &str, by: Compiler) -> Option<Vec<u8>> {
        let file = cubin_cache::file_name(name, by);
        if let Some(cubin) =
            COMPILED.lock().unwrap().as_ref().and_then(|conversions| conversions.get(&file))
        {
            return Some(cubin.clone());
        }
        cubin_cache::read(&fs::read(Path::new(&env::var_os("VAR_CUBINS")?).join(file)).ok()?)
    }

    fn store(&self, name: &str, by: Compiler, cubin: &[u8]) {
        let mut compiled = COMPILED.lock().unwrap();
        let _ = compiled
            .get_or_insert_default()
            .insert(cubin_cache::file_name(name, by), cubin.to_vec());
    }
}
