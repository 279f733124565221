//! Kernels compiled for the processor by g++ and run thread by thread: for tests without a GPU.
//!
//! `machine.h` beside this file lists the faults it finds.
#![allow(unsafe_code)]

mod multiply;

use core::ffi::{CStr, c_char};
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};
use std::boxed::Box;
use std::collections::HashMap;
use std::env;
use std::ffi::CString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{self, Command as Process};
use std::string::{String, ToString};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use std::vec::Vec;

use libloading::Library;

use self::multiply::pointer;
use super::{Driver, Event, GpuProperties, Graph};
use crate::cuda::command::{Command, Launch};
use crate::cuda::dtype::Precision;
use crate::cuda::error::CudaError;
use crate::cuda::gemm::{GemmProvider, Shape};
use crate::cuda::kernel_source::{Kernel, KernelSource};
use crate::cuda::testing::{SHARED_OF_BLOCK, shared_of};

/// CUDA's builtins and the kernels' instructions on the processor.
const MACHINE: &str = include_str!("machine.h");

/// End of a source text: the list of its kernels, and the entry points.
const WAYS_IN: &str = r#"
extern "C" const char* emulate(const char* name, const u32* grid, u32 threads, u32 shared, const u64* arguments, u32 count, u64 seed) {
    return machine::launch(entries, name, grid, threads, shared, arguments, count, seed);
}
extern "C" unsigned char* emulate_pages(u64 bytes) {
    unsigned char* pages = (unsigned char*)mmap(0, bytes + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) return nullptr;
    mprotect(pages + bytes, 4096, PROT_NONE);
    return pages;
}
extern "C" void emulate_give_back(unsigned char* pages, u64 bytes) { munmap(pages, bytes + 4096); }
"#;

/// A text that has no kernels, for the memory.
static NOTHING: KernelSource = KernelSource::new("nothing", "");

const PAGE: u64 = 4096;

/// Addresses are multiples of this, as a GPU's are.
const ALIGNED: u64 = 256;

/// Fibers, stacks and shared memory are one set for the whole process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

type Emulate = unsafe extern "C" fn(
    *const c_char,
    *const u32,
    u32,
    u32,
    *const u64,
    u32,
    u64,
) -> *const c_char;
type Pages = unsafe extern "C" fn(u64) -> *mut u8;
type GiveBack = unsafe extern "C" fn(*mut u8, u64);

/// A GPU that is not there.
pub(crate) struct Emulated {
    gpu: GpuProperties,
    precision: Precision,
    gemm_provider: GemmProvider,
    compiled: Mutex<HashMap<&'static str, Library>>,
    memory: Mutex<HashMap<u64, Allocation>>,
    launches: AtomicU64,
    events: Mutex<Vec<Instant>>,
}

#[derive(Clone, Copy)]
struct Allocation {
    pages: usize,
    bytes_of_pages: u64,
    bytes: u64,
}

impl Emulated {
    /// Kernels compiled for products in `precision`.
    pub(crate) fn open(
        precision: Precision,
        gemm_provider: GemmProvider,
    ) -> Result<Self, CudaError> {
        let emulated = Self {
            gpu: GpuProperties {
                name: "emulated card".into(),
                capability: (9, 0),
                multiprocessors: 4,
                shared: 227 << 10,
            },
            precision,
            gemm_provider,
            compiled: Mutex::default(),
            memory: Mutex::default(),
            launches: AtomicU64::new(0),
            events: Mutex::default(),
        };
        emulated.with_library(&NOTHING, |_| ())?;
        Ok(emulated)
    }

    /// Calls `use_it` with the compiled text, compiling it first if need be.
    fn with_library<R>(
        &self,
        source: &'static KernelSource,
        use_it: impl FnOnce(&Library) -> R,
    ) -> Result<R, CudaError> {
        let mut compiled = lock(&self.compiled);
        if !compiled.contains_key(source.name) {
            let path = compile(source, self.precision)?;
            // SAFETY: the library was made from our own text and runs nothing when loaded.
            let library = unsafe { Library::new(&path) }.map_err(|error| CudaError::Compile {
                source: source.name,
                log: error.to_string(),
            })?;
            let _ = compiled.insert(source.name, library);
        }
        Ok(use_it(&compiled[source.name]))
    }

    fn launch(&self, launch: &Launch) -> Result<(), CudaError> {
        let name = launch.kernel.name;
        let refused = |reason: String| CudaError::Launch { kernel: name, reason };
        let kernel = CString::new(name).expect("a name has no NUL");
        let arguments = launch.arguments();
        let seed =
            self.launches.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        if launch.shared > self.gpu.shared {
            return Err(refused(std::format!("{} bytes of shared memory", launch.shared)));
        }
        let blocks = launch.kernel.source.blocks(name).unwrap_or(1);
        if blocks * (launch.shared + SHARED_OF_BLOCK) > shared_of(self.gpu.capability) {
            let shared = launch.shared;
            return Err(refused(std::format!(
                "{blocks} blocks with {shared} bytes of shared memory"
            )));
        }
        if let Some(most) = launch.kernel.source.threads(name)
            && launch.threads > most
        {
            return Err(refused(std::format!(
                "a block of {} threads, the text says {most}",
                launch.threads
            )));
        }
        let wrong = self.with_library(launch.kernel.source, |library| {
            let _alone = lock(&ONE_AT_A_TIME);
            // SAFETY: the function is the one that `WAYS_IN` defines; the caller of `enqueue` vouches
            // for the memory behind the arguments' addresses.
            unsafe {
                let emulate = library.get::<Emulate>(c"emulate").expect("every text has it");
                let wrong = emulate(
                    kernel.as_ptr(),
                    launch.grid.as_ptr(),
                    launch.threads,
                    launch.shared,
                    arguments.as_ptr(),
                    arguments.len() as u32,
                    seed,
                );
                (!wrong.is_null()).then(|| CStr::from_ptr(wrong).to_string_lossy().to_string())
            }
        })?;
        match wrong {
            None => Ok(()),
            Some(wrong) => Err(refused(wrong)),
        }
    }
}

impl Driver for Emulated {
    fn properties(&self) -> &GpuProperties {
        &self.gpu
    }

    fn allocate(&self, bytes: u64) -> Result<u64, CudaError> {
        let bytes_of_pages = (bytes.max(1) + ALIGNED).next_multiple_of(PAGE);
        // SAFETY: the function is the one that `WAYS_IN` defines.
        let pages = self.with_library(&NOTHING, |library| unsafe {
            library.get::<Pages>(c"emulate_pages").expect("every text has it")(bytes_of_pages)
        })?;
        if pages.is_null() {
            return Err(CudaError::OutOfMemory { asked: bytes, free: 0, total: 0 });
        }
        // SAFETY: the pages were just given, so many bytes of them. NaN in every format.
        unsafe { pages.write_bytes(0xff, bytes_of_pages as usize) };
        // As near to the end as alignment allows: a page that faults follows.
        let address = (pages.addr() as u64 + bytes_of_pages - bytes) / ALIGNED * ALIGNED;
        let allocation = Allocation { pages: pages.expose_provenance(), bytes_of_pages, bytes };
        let _ = lock(&self.memory).insert(address, allocation);
        Ok(address)
    }

    /// # Panics
    /// If something was written past the end.
    fn free(&self, address: u64) {
        let allocation = lock(&self.memory).remove(&address).expect("what is freed was allocated");
        let end = allocation.pages as u64 + allocation.bytes_of_pages;
        for place in address + allocation.bytes..end {
            // SAFETY: inside the allocation's pages.
            let byte = unsafe { pointer(place).read() };
            assert_eq!(byte, 0xff, "{} bytes past an allocation's end", place - address);
        }
        let give_back = self.with_library(&NOTHING, |library| {
            let pages = ptr::with_exposed_provenance_mut::<u8>(allocation.pages);
            // SAFETY: the pages were given by `emulate_pages` and are given back once.
            unsafe {
                let give_back = library.get::<GiveBack>(c"emulate_give_back");
                give_back.expect("every text has it")(pages, allocation.bytes_of_pages);
            }
        });
        give_back.expect("the library is loaded");
    }

    fn memory(&self) -> Result<(u64, u64), CudaError> {
        Ok((1 << 36, 1 << 36))
    }

    fn upload(&self, to: u64, from: &[u8]) -> Result<(), CudaError> {
        // SAFETY: the caller has checked the length of the memory at `to`.
        unsafe { pointer(to).copy_from_nonoverlapping(from.as_ptr(), from.len()) };
        Ok(())
    }

    fn download(&self, to: &mut [u8], from: u64) -> Result<(), CudaError> {
        // SAFETY: the caller has checked the length of the memory at `from`.
        unsafe { to.as_mut_ptr().copy_from_nonoverlapping(pointer(from), to.len()) };
        Ok(())
    }

    unsafe fn enqueue(&self, command: &Command) -> Result<(), CudaError> {
        match command {
            Command::Launch(launch) => self.launch(launch),
            Command::Multiply(product) => {
                // SAFETY: the caller vouches for the memory behind the addresses.
                unsafe { multiply::multiply(product) };
                Ok(())
            }
            Command::Copy { to, from, bytes } => {
                // SAFETY: the caller vouches for the memory behind the addresses.
                unsafe { pointer(*to).copy_from(pointer(*from), *bytes as usize) };
                Ok(())
            }
        }
    }

    unsafe fn capture(
        &self,
        commands: &[Command],
        parameter_buffer: u64,
        parameters: usize,
    ) -> Result<Box<dyn Graph>, CudaError> {
        let gpu = Self::open(self.precision, self.gemm_provider)?;
        Ok(Box::new(EmulatedGraph {
            gpu,
            commands: commands.to_vec(),
            parameter_buffer,
            parameters,
        }))
    }

    fn wait(&self) -> Result<(), CudaError> {
        Ok(())
    }

    fn forget_events(&self) {
        lock(&self.events).clear();
    }

    fn record_event(&self) -> Result<Event, CudaError> {
        let mut events = lock(&self.events);
        events.push(Instant::now());
        Ok(Event(events.len() as u64 - 1))
    }

    fn elapsed(&self, begin: Event, end: Event) -> Result<f32, CudaError> {
        let events = lock(&self.events);
        Ok(1e3 * (events[end.0 as usize] - events[begin.0 as usize]).as_secs_f32())
    }

    fn multiplies(&self, _: &Shape) -> bool {
        self.gemm_provider == GemmProvider::CublasLt
    }

    fn library(&self) -> Option<String> {
        (self.gemm_provider == GemmProvider::CublasLt).then(|| "plain loops".into())
    }

    fn prepare(&self, kernel: Kernel) -> Result<(), CudaError> {
        self.with_library(kernel.source, |_| ())
    }
}

impl Drop for Emulated {
    fn drop(&mut self) {
        let addresses: Vec<u64> = lock(&self.memory).keys().copied().collect();
        for address in addresses {
            self.free(address);
        }
    }
}

struct EmulatedGraph {
    gpu: Emulated,
    commands: Vec<Command>,
    parameter_buffer: u64,
    parameters: usize,
}

impl Graph for EmulatedGraph {
    fn launch(&mut self, parameters: &[u8]) -> Result<(), CudaError> {
        assert_eq!(parameters.len(), self.parameters, "a graph's mail has one length");
        self.gpu.upload(self.parameter_buffer, parameters)?;
        for command in &self.commands {
            // SAFETY: promised to `capture`.
            unsafe { self.gpu.enqueue(command)? };
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Compiles a text to a library beside this program, unless it is there.
fn compile(source: &'static KernelSource, precision: Precision) -> Result<PathBuf, CudaError> {
    let failed = |log: String| CudaError::Compile { source: source.name, log };
    let mut whole = source.whole(MACHINE, precision);
    whole.push_str("static const machine::Entry entries[] = {\n");
    for name in source.kernels() {
        whole += &std::format!(
            "{{\"{name}\", &machine::Body<&{name}>::run, machine::Body<&{name}>::COUNT}},\n"
        );
    }
    whole.push_str("{nullptr, nullptr, 0}};\n");
    whole.push_str(WAYS_IN);
    let hash = whole.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let plain = |error: io::Error| failed(error.to_string());
    let program = env::current_exe().map_err(plain)?;
    let folder = program.parent().unwrap_or(Path::new(".")).join("emulated-kernels");
    fs::create_dir_all(&folder).map_err(plain)?;
    let library = folder.join(std::format!("{}-{hash:016x}.so", source.name));
    if library.exists() {
        return Ok(library);
    }
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let own = folder.join(std::format!("{}-{}-{number}", source.name, process::id()));
    let (source, fresh) = (own.with_extension("cc"), own.with_extension("so"));
    fs::write(&source, whole).map_err(plain)?;
    let output = Process::new("g++")
        .args(["-std=c++20", "-O2", "-march=native", "-ffp-contract=off", "-fno-gnu-unique"])
        .args(["-fcf-protection=none", "-fno-strict-aliasing", "-shared", "-fPIC", "-w", "-o"])
        .args([&fresh, &source])
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(CudaError::NoCompiler),
        Err(error) => return Err(plain(error)),
    };
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).to_string()));
    }
    fs::rename(&fresh, &library).map_err(plain)?;
    fs::remove_file(&source).map_err(plain)?;
    Ok(library)
}
