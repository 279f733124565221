//! An NVIDIA driver: one card, one stream.
#![allow(unsafe_code)]

use core::ffi::{c_int, c_void};
use core::ptr;
use std::boxed::Box;
use std::collections::HashMap;
use std::ffi::CString;
use std::string::{String, ToString};
use std::sync::Mutex;
use std::vec::Vec;

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys;

use super::{Card, Cubins, Driver, Graph, Mark, compile};
use crate::cuda::command::{Command, Launch};
use crate::cuda::element::Element;
use crate::cuda::error::CudaError;
use crate::cuda::text::{INSTRUCTIONS, Kernel, Text};

/// The oldest driver whose calls are all there.
const OLDEST_DRIVER: u32 = 12_080;

/// The oldest card with the instructions the kernels use.
const OLDEST_CARD: (u32, u32) = (8, 0);

/// Dynamic shared memory that a block may have without being asked for.
const USUAL_SHARED: u32 = 48 << 10;

/// A card under an NVIDIA driver.
pub(crate) struct Nvidia {
    card: Card,
    device: sys::CUdevice,
    context: sys::CUcontext,
    stream: sys::CUstream,
    /// Which 16-bit format texts are compiled with.
    short: Element,
    cubins: Option<Box<dyn Cubins>>,
    loaded: Mutex<Loaded>,
}

#[derive(Default)]
struct Loaded {
    modules: HashMap<&'static str, sys::CUmodule>,
    functions: HashMap<(&'static str, &'static str), sys::CUfunction>,
    events: Vec<sys::CUevent>,
    last: &'static str,
}

// SAFETY: handles of the driver may be used from any thread that has made the context its own, which
// every call here does first.
unsafe impl Send for Nvidia {}
// SAFETY: the driver's calls may be made from several threads at once; what changes here is locked.
unsafe impl Sync for Nvidia {}

impl Nvidia {
    /// The card `number`; kernels compiled with `short` as 16-bit format.
    pub(crate) fn open(
        number: u32,
        short: Element,
        cubins: Option<Box<dyn Cubins>>,
    ) -> Result<Self, CudaError> {
        // SAFETY: opens and closes the library, whose initialisation has no conditions.
        if !unsafe { sys::is_culib_present() } {
            return Err(CudaError::NoDriver);
        }
        match result::init() {
            Ok(()) => {}
            Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => {
                return Err(CudaError::NoDevice { asked: number, found: 0 });
            }
            Err(error) => return Err(call("starting the NVIDIA driver")(error)),
        }
        let mut version: c_int = 0;
        // SAFETY: the library is there, and the place is ours.
        unsafe { sys::cuDriverGetVersion(&mut version) }
            .result()
            .map_err(call("asking for the driver's version"))?;
        let has = version.max(0) as u32;
        if has < OLDEST_DRIVER {
            return Err(CudaError::OldDriver { has, wants: OLDEST_DRIVER });
        }
        let found = result::device::get_count().map_err(call("counting cards"))?.max(0) as u32;
        if number >= found {
            return Err(CudaError::NoDevice { asked: number, found });
        }
        let device = result::device::get(number as c_int).map_err(call("choosing the card"))?;
        let card = describe(device)?;
        if card.capability < OLDEST_CARD {
            let Card { name, capability, .. } = card;
            return Err(CudaError::OldCard { name, capability, wants: OLDEST_CARD });
        }
        // SAFETY: the device comes from `device::get`.
        let context = unsafe { result::primary_ctx::retain(device) }.map_err(call("using the card"))?;
        // SAFETY: the context was retained above.
        unsafe { result::ctx::set_current(context) }.map_err(call("using the card"))?;
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking)
            .map_err(call("making a stream"))?;
        Ok(Self { card, device, context, stream, short, cubins, loaded: Mutex::default() })
    }

    /// Makes the card's context this thread's.
    fn enter(&self) -> Result<(), CudaError> {
        // SAFETY: the context is retained until `drop`.
        unsafe { result::ctx::set_current(self.context) }.map_err(call("using the card"))
    }

    fn loaded(&self) -> std::sync::MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What an error that shows while waiting means.
    fn failed(&self, error: DriverError) -> CudaError {
        CudaError::Failed { after: self.loaded().last, reason: reason(error) }
    }

    /// The function of a kernel, compiled and loaded if it is the first of its text.
    fn function(&self, kernel: Kernel) -> Result<sys::CUfunction, CudaError> {
        let key = (kernel.text.name, kernel.name);
        if let Some(function) = self.loaded().functions.get(&key) {
            return Ok(*function);
        }
        let module = self.module(kernel.text)?;
        let name = CString::new(kernel.name).expect("a name has no NUL");
        // SAFETY: the module is loaded and never unloaded before `drop`.
        let function = unsafe { result::module::get_function(module, name) }.map_err(|error| {
            CudaError::Launch { kernel: kernel.name, reason: reason(error) }
        })?;
        let _ = self.loaded().functions.insert(key, function);
        Ok(function)
    }

    fn module(&self, text: &'static Text) -> Result<sys::CUmodule, CudaError> {
        if let Some(module) = self.loaded().modules.get(text.name) {
            return Ok(*module);
        }
        let key = self.key(text);
        let kept = self.cubins.as_ref().and_then(|cubins| cubins.load(&key));
        let module = match kept.and_then(|cubin| load(&cubin).ok()) {
            Some(module) => module,
            None => {
                let cubin = compile::cubin(text, self.short, self.card.capability)?;
                let module = load(&cubin).map_err(call("loading kernels"))?;
                if let Some(cubins) = &self.cubins {
                    cubins.store(&key, &cubin);
                }
                module
            }
        };
        let _ = self.loaded().modules.insert(text.name, module);
        Ok(module)
    }

    /// Under which name a text's machine code is kept: it depends on the text, the card and the
    /// compiler.
    fn key(&self, text: &'static Text) -> String {
        let whole = text.whole(INSTRUCTIONS, self.short);
        // FNV-1a, 64 bits.
        let hash = whole.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let (major, minor) = self.card.capability;
        let (nvrtc, _) = compile::version().unwrap_or((0, 0));
        std::format!("{}-sm_{major}{minor}-nvrtc{nvrtc}-{hash:016x}.cubin", text.name)
    }

    fn launch(&self, launch: &Launch) -> Result<(), CudaError> {
        let function = self.function(launch.kernel)?;
        let name = launch.kernel.name;
        let refused = |error| CudaError::Launch { kernel: name, reason: reason(error) };
        if launch.shared > USUAL_SHARED {
            let attribute =
                sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: the function is loaded.
            unsafe {
                result::function::set_function_attribute(
                    function,
                    attribute,
                    launch.shared as c_int,
                )
            }
            .map_err(refused)?;
        }
        self.loaded().last = name;
        let mut arguments: Vec<*mut c_void> = launch
            .arguments()
            .iter()
            .map(|word| ptr::from_ref(word).cast_mut().cast::<c_void>())
            .collect();
        let [x, y, z] = launch.grid;
        // SAFETY: the function is loaded; each argument points at a word whose low bytes are the
        // argument, which the driver copies; what the addresses among them point at is promised by
        // the caller of `Driver::issue`.
        unsafe {
            result::launch_kernel(
                function,
                (x, y, z),
                (launch.threads, 1, 1),
                launch.shared,
                self.stream,
                &mut arguments,
            )
        }
        .map_err(refused)
    }
}

impl Driver for Nvidia {
    fn card(&self) -> &Card {
        &self.card
    }

    fn allocate(&self, bytes: u64) -> Result<u64, CudaError> {
        self.enter()?;
        // SAFETY: the memory is unset; whoever reads it has written it first.
        match unsafe { result::malloc_sync(bytes as usize) } {
            Ok(address) => Ok(address),
            Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => {
                let (free, total) = self.memory()?;
                Err(CudaError::OutOfMemory { asked: bytes, free, total })
            }
            Err(error) => Err(call("asking for memory")(error)),
        }
    }

    fn free(&self, address: u64) {
        if self.wait().is_ok() {
            // SAFETY: the address comes from `malloc_sync`, is freed once, and nothing under way uses it.
            // What cannot be freed is lost with the card.
            let _ = unsafe { result::free_sync(address) };
        }
    }

    fn memory(&self) -> Result<(u64, u64), CudaError> {
        self.enter()?;
        let (free, total) = result::mem_get_info().map_err(call("asking for free memory"))?;
        Ok((free as u64, total as u64))
    }

    fn upload(&self, to: u64, from: &[u8]) -> Result<(), CudaError> {
        self.enter()?;
        // SAFETY: `from` is ordinary memory, which the driver has copied before it returns; the caller
        // has checked the length of what `to` points at.
        unsafe { result::memcpy_htod_async(to, from, self.stream) }
            .map_err(|error| self.failed(error))
    }

    fn download(&self, to: &mut [u8], from: u64) -> Result<(), CudaError> {
        self.enter()?;
        // SAFETY: `to` is borrowed until the stream has been waited for.
        unsafe {
            result::memcpy_dtoh_async(to, from, self.stream)
                .and_then(|()| result::stream::synchronize(self.stream))
        }
        .map_err(|error| self.failed(error))
    }

    unsafe fn issue(&self, command: &Command) -> Result<(), CudaError> {
        self.enter()?;
        match command {
            Command::Launch(launch) => self.launch(launch),
            Command::Copy { to, from, bytes } => {
                // SAFETY: the caller promises what the addresses point at.
                unsafe { result::memcpy_dtod_async(*to, *from, *bytes as usize, self.stream) }
                    .map_err(|error| self.failed(error))
            }
        }
    }

    unsafe fn capture(
        &self,
        commands: &[Command],
        mailbox: u64,
        mail: usize,
    ) -> Result<Box<dyn Graph>, CudaError> {
        self.enter()?;
        // Nothing may be compiled or loaded while a stream is captured.
        for command in commands {
            if let Command::Launch(launch) = command {
                self.prepare(launch.kernel)?;
            }
        }
        let envelope = Envelope::new(mail)?;
        let captured = call("noting a graph");
        // SAFETY: the stream is ours. Thread-local: calls of other threads are none of this graph's.
        unsafe {
            result::stream::begin_capture(
                self.stream,
                sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL,
            )
        }
        .map_err(captured)?;
        let noted = (|| {
            if mail > 0 {
                // SAFETY: the envelope lives as long as the graph; the mailbox is as long as the mail.
                unsafe { result::memcpy_htod_async(mailbox, envelope.bytes(), self.stream) }
                    .map_err(call("noting a graph"))?;
            }
            for command in commands {
                // SAFETY: the caller promises what `issue` wants.
                unsafe { self.issue(command)? };
            }
            Ok(())
        })();
        // SAFETY: the capture began above; it must end whatever happened in between.
        let graph = unsafe { result::stream::end_capture(self.stream) };
        noted?;
        let graph = graph.map_err(call("noting a graph"))?;
        // SAFETY: the graph is valid, and no longer wanted once it is instantiated.
        let executable = unsafe {
            let executable = result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0));
            result::graph::destroy(graph).map_err(call("making a graph"))?;
            executable.map_err(call("making a graph"))?
        };
        let event = result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING)
            .map_err(call("making a graph"))?;
        Ok(Box::new(NvidiaGraph {
            executable,
            envelope,
            event,
            under_way: false,
            context: self.context,
            stream: self.stream,
        }))
    }

    fn wait(&self) -> Result<(), CudaError> {
        self.enter()?;
        // SAFETY: the stream is ours.
        unsafe { result::stream::synchronize(self.stream) }.map_err(|error| self.failed(error))
    }

    fn forget_marks(&self) {
        for event in core::mem::take(&mut self.loaded().events) {
            // SAFETY: the event was made in `mark` and is destroyed once.
            let _ = unsafe { result::event::destroy(event) };
        }
    }

    fn mark(&self) -> Result<Mark, CudaError> {
        self.enter()?;
        let event = result::event::create(sys::CUevent_flags::CU_EVENT_DEFAULT)
            .map_err(call("taking the time"))?;
        // SAFETY: the event was made above, the stream is ours.
        unsafe { result::event::record(event, self.stream) }.map_err(call("taking the time"))?;
        let mut loaded = self.loaded();
        loaded.events.push(event);
        Ok(Mark(loaded.events.len() as u64 - 1))
    }

    fn elapsed(&self, begin: Mark, end: Mark) -> Result<f32, CudaError> {
        self.enter()?;
        let loaded = self.loaded();
        let event = |mark: Mark| loaded.events[mark.0 as usize];
        // SAFETY: both events were recorded in this stream and are destroyed in `drop`.
        unsafe {
            result::event::synchronize(event(end))
                .and_then(|()| result::event::elapsed(event(begin), event(end)))
        }
        .map_err(call("taking the time"))
    }

    fn prepare(&self, kernel: Kernel) -> Result<(), CudaError> {
        self.enter()?;
        self.function(kernel).map(drop)
    }
}

impl Drop for Nvidia {
    fn drop(&mut self) {
        if self.wait().is_err() {
            // The card is lost: its handles are no longer valid.
            return;
        }
        let loaded = core::mem::take(&mut *self.loaded());
        // SAFETY: all of these were made by this value, nothing is under way, and nothing of it is used
        // afterwards. What cannot be destroyed goes with the process.
        unsafe {
            for event in loaded.events {
                let _ = result::event::destroy(event);
            }
            for module in loaded.modules.into_values() {
                let _ = result::module::unload(module);
            }
            let _ = result::stream::destroy(self.stream);
            let _ = result::primary_ctx::release(self.device);
        }
    }
}

/// A graph, and the page-locked memory its mail is read from.
struct NvidiaGraph {
    executable: sys::CUgraphExec,
    envelope: Envelope,
    event: sys::CUevent,
    under_way: bool,
    context: sys::CUcontext,
    stream: sys::CUstream,
}

// SAFETY: as `Nvidia`.
unsafe impl Send for NvidiaGraph {}

impl Graph for NvidiaGraph {
    fn launch(&mut self, mail: &[u8]) -> Result<(), CudaError> {
        let launching = "launching a graph";
        // SAFETY: context, event, executable and stream live as long as this value or longer.
        unsafe {
            result::ctx::set_current(self.context).map_err(call(launching))?;
            if core::mem::replace(&mut self.under_way, true) {
                // The last launch may still have to read its mail.
                result::event::synchronize(self.event).map_err(call(launching))?;
            }
            self.envelope.bytes_mut().copy_from_slice(mail);
            result::graph::launch(self.executable, self.stream).map_err(call(launching))?;
            result::event::record(self.event, self.stream).map_err(call(launching))
        }
    }
}

impl Drop for NvidiaGraph {
    fn drop(&mut self) {
        // SAFETY: both were made for this value; the driver keeps what is under way until it is done,
        // but the envelope must outlast it.
        unsafe {
            let _ = result::ctx::set_current(self.context);
            if self.under_way {
                let _ = result::event::synchronize(self.event);
            }
            let _ = result::event::destroy(self.event);
            let _ = result::graph::exec_destroy(self.executable);
        }
    }
}

/// Page-locked host memory.
struct Envelope {
    start: *mut u8,
    length: usize,
}

impl Envelope {
    fn new(length: usize) -> Result<Self, CudaError> {
        // SAFETY: the memory is zeroed before anyone reads it, and freed in `drop`.
        unsafe {
            let start = result::malloc_host(length.max(1), 0)
                .map_err(call("asking for page-locked memory"))?
                .cast::<u8>();
            start.write_bytes(0, length.max(1));
            Ok(Self { start, length })
        }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: as long as was allocated, and initialised.
        unsafe { core::slice::from_raw_parts(self.start, self.length) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as `bytes`, and borrowed alone.
        unsafe { core::slice::from_raw_parts_mut(self.start, self.length) }
    }
}

impl Drop for Envelope {
    fn drop(&mut self) {
        // SAFETY: allocated in `new`, freed once.
        let _ = unsafe { result::free_host(self.start.cast::<c_void>()) };
    }
}

fn describe(device: sys::CUdevice) -> Result<Card, CudaError> {
    use sys::CUdevice_attribute as Attribute;
    let attribute = |attribute: Attribute| {
        // SAFETY: the device comes from `device::get`.
        let value = unsafe { result::device::get_attribute(device, attribute) };
        value.map(|value| value.max(0) as u32).map_err(call("asking what the card is"))
    };
    Ok(Card {
        name: result::device::get_name(device).map_err(call("asking what the card is"))?,
        capability: (
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ),
        multiprocessors: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        shared: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
    })
}

fn load(cubin: &[u8]) -> Result<sys::CUmodule, DriverError> {
    // SAFETY: the driver copies the image, whose header says how long it is.
    unsafe { result::module::load_data(cubin.as_ptr().cast::<c_void>()) }
}

fn call(doing: &'static str) -> impl Fn(DriverError) -> CudaError {
    move |error| CudaError::Driver { doing, reason: reason(error) }
}

fn reason(error: DriverError) -> String {
    match error.error_string() {
        Ok(text) => text.to_string_lossy().to_string(),
        Err(_) => std::format!("error {}", error.0 as u32),
    }
}
