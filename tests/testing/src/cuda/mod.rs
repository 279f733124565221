//! GPUs for tests: the machine's, or emulated ones.
//!
//! A process has one driver: NVIDIA's where there is one, else the emulator's. `VAR_GPUS=real` leaves emulated GPUs
//! out, and with them the emulator's NVRTC, beside which tests of the real one are skipped. `VAR_REQUIRE=cuda` (or
//! `emulator`, `nvrtc`, or several, with commas) makes a test fail where it would be skipped.

pub mod emulator;
pub mod kernels;
pub mod nvrtc;
pub mod recording;

use core::fmt::Display;
use std::boxed::Box;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::string::{String, ToString};
use std::sync::{LazyLock, Mutex, MutexGuard};
use std::vec;
use std::vec::Vec;
use std::{env, eprintln, fs};

use libloading::Library;
use var_kernel::cpu;
use var_kernel::cuda::{
    Compiler, CubinCache, Cuda, CudaError, CudaMatrix, Dtype, GemmProvider, Memory, Options,
    Precision, Remote, cubin_cache,
};
use var_kernel::memory::{Device, Floats};

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
    dtype: Dtype,
    length: usize,
}

impl Stored {
    /// It, as operations take it.
    pub fn view(&self) -> CudaMatrix<'_> {
        CudaMatrix::new(&self.memory, self.dtype, self.length)
    }
}

/// The GPUs under test. A real one is opened once for the process, and is one thread's at a time; the emulated
/// ones are each thread's own.
pub enum TestGpus {
    /// The machine's.
    Real(MutexGuard<'static, Vec<TestGpu>>),
    /// Emulated ones.
    Emulated(Rc<Vec<TestGpu>>),
}

impl TestGpus {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &TestGpu> {
        match self {
            Self::Real(gpus) => gpus.iter(),
            Self::Emulated(gpus) => gpus.iter(),
        }
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
    if !are_real() {
        return TestGpus::Emulated(EMULATED.with(Rc::clone));
    }
    TestGpus::Real(REAL.lock().unwrap_or_else(|poisoned| {
        // A test failed in the middle of something: the GPUs are opened anew.
        REAL.clear_poison();
        let mut real = poisoned.into_inner();
        *real = open_real();
        real
    }))
}

/// Opens every GPU there is, in each precision.
pub fn open() -> Vec<TestGpu> {
    if are_real() { open_real() } else { open_emulated() }
}

/// Opens the machine's GPU for a test that would take too long on an emulated one.
pub fn real(options: Options) -> Option<Cuda> {
    if are_real() {
        return required("cuda", "cuda", Cuda::open(options));
    }
    skipped("cuda", "cuda", "the GPUs of this process are emulated")
}

/// An emulated GPU in `f32`, for tests of the faults it sees.
pub fn emulated_f32() -> Option<Cuda> {
    match emulated() {
        Ok(_) => {
            let gemm_provider = GemmProvider::Builtin;
            let cuda = Cuda::open(Options { gemm_provider, ..Options::default() });
            required("emulated f32", "emulator", cuda)
        }
        Err(reason) => skipped("emulated f32", "emulator", &reason),
    }
}

/// Whether this process has NVIDIA's driver.
fn are_real() -> bool {
    env::var("VAR_GPUS").is_ok_and(|gpus| gpus == "real") || Path::new("/dev/nvidiactl").exists()
}

/// The emulator's libcuda, as this process's.
fn emulated() -> Result<&'static Library, String> {
    if are_real() { Err("the GPUs of this process are real".to_string()) } else { emulator::load() }
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
        found.extend(test_gpu("cuda", precision, open(GemmProvider::Builtin)));
        if precision == Precision::F16
            && let Ok(cuda) = open(GemmProvider::CublasLt)
            && cuda.library().is_some()
        {
            found.extend(test_gpu("cuda", precision, Ok(cuda)));
        }
    }
    found
}

/// Opens an emulated GPU in each precision. That of `bf16` has a library, for products of any size: its builtin
/// products are the same text as for `f16`.
fn open_emulated() -> Vec<TestGpu> {
    let open = |precision| {
        let gemm_provider = match precision {
            Precision::Bf16 => GemmProvider::CublasLt,
            _ => GemmProvider::Builtin,
        };
        Cuda::open(Options { precision, gemm_provider, large_product: 0, ..Options::default() })
    };
    match emulated() {
        Ok(_) => {
            PRECISIONS.into_iter().filter_map(|of| test_gpu("emulated", of, open(of))).collect()
        }
        Err(reason) => {
            skipped::<Cuda>("emulated GPUs", "emulator", &reason);
            Vec::new()
        }
    }
}

fn test_gpu(kind: &str, precision: Precision, gpu: Result<Cuda, CudaError>) -> Option<TestGpu> {
    let mut name = std::format!("{kind} {precision}");
    let requirement = if kind == "cuda" { "cuda" } else { "emulator" };
    let cuda = required(&name, requirement, gpu)?;
    if let Some(library) = cuda.library() {
        name += &std::format!(", {library}");
    }
    Some(TestGpu { name, cuda })
}

/// A thing that a test wants, by name; none if it is not there.
///
/// # Panics
/// If it is not there and `VAR_REQUIRE` has the requirement.
fn required<T>(name: &str, requirement: &str, thing: Result<T, impl Display>) -> Option<T> {
    match thing {
        Ok(thing) => Some(thing),
        Err(reason) => skipped(name, requirement, &reason.to_string()),
    }
}

/// Says why a test is skipped.
///
/// # Panics
/// If `VAR_REQUIRE` has the requirement.
fn skipped<T>(name: &str, requirement: &str, reason: &str) -> Option<T> {
    let required = env::var("VAR_REQUIRE").unwrap_or_default();
    let is_required = required.split(',').any(|required| required == requirement);
    assert!(!is_required, "{name}: {reason}, and VAR_REQUIRE={required}");
    eprintln!("skipped: {name}: {reason}");
    None
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
