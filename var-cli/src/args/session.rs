//! Options of every command: threads, instruction set, device, output.

use core::num::NonZero;
use std::io::Write;
use std::thread;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use var_host::engine::Engine;
use var_host::evaluate::FeatureExtractor;
use var_host::inception::Inception;
use var_host::model::Weights;
use var_host::parallel::{self, Launch, ProcessGroup};
use var_kernel::cpu::Isa;

use super::device::Device;
use super::{TypedOptions, launch, values};
use crate::progress::Progress;

#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
pub(crate) struct CommonOptions {
    /// Threads to compute with [default: all cores]
    #[arg(long, global = true, value_name = "N", value_parser = values::whole(1_u16..=1024))]
    threads: Option<u16>,
    /// Instruction set [default: the best this machine has]; results are the same with each
    #[arg(long, global = true)]
    isa: Option<IsaName>,
    /// Where to compute: cpu, cuda or cuda:N [default: cuda where this build has it and a GPU answers,
    /// else cpu]
    #[arg(long, global = true, value_parser = values::device)]
    device: Option<values::DeviceName>,
    /// Precision of products on a GPU [default: f16; tf32 to tokenize images for training; f32 to train,
    /// validate and evaluate, where --fp16 sets the transformer's precision, and with tf32 its f32 is tf32];
    /// the CPU computes in f32
    #[arg(long, global = true, value_enum)]
    precision: Option<values::PrecisionName>,
    /// Overwrite files that are there already
    #[arg(long, global = true)]
    force: bool,
    /// One process alone, whatever a launcher (torchrun, srun, mpirun) left in the environment; VAR_ALONE=1
    /// is the same
    #[arg(long, global = true)]
    alone: bool,
    /// Say nothing but results, warnings and errors
    #[arg(long, short, global = true)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum IsaName {
    Portable,
    Sse2,
    Avx2,
    Avx512,
    Neon,
}

/// The common options, resolved for this machine.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) threads: usize,
    pub(crate) isa: Isa,
    pub(crate) device: Device,
    pub(crate) force: bool,
    pub(crate) quiet: bool,
    /// The options that were typed.
    pub(crate) given: TypedOptions,
    /// Whether no launcher counts.
    alone: bool,
}

impl CommonOptions {
    /// Finds threads, instruction set and device.
    pub(crate) fn session(&self, given: TypedOptions) -> Result<Session> {
        let device = Device::new(self.device, self.precision, self.alone)?;
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let threads = self.threads.map_or(cores, usize::from);
        let isa = match self.isa {
            None => Isa::best(),
            Some(wanted) => {
                let wanted = wanted.to_possible_value().expect("no variant is skipped");
                let Some(isa) = Isa::named(wanted.get_name()) else {
                    let has: Vec<&str> = Isa::all().map(Isa::name).collect();
                    bail!("--isa {}: this machine has {}", wanted.get_name(), has.join(", "));
                };
                isa
            }
        };
        Ok(Session {
            threads,
            isa,
            device,
            force: self.force,
            quiet: self.quiet,
            given,
            alone: self.alone,
        })
    }
}

impl Session {
    /// Which of how many processes this is.
    pub(crate) fn launch(&self) -> Result<Launch> {
        Ok(launch::read(self.alone)?)
    }

    /// Says so where a launcher started several processes of a command that does not share its work.
    pub(crate) fn warn_of_whole_work(&self) {
        // A contradictory environment does not matter to this command.
        if let Some(share) = self.launch().ok().and_then(|launch| launch.share()) {
            let whole = "this command does not share its work, each process does all of it";
            self.warn(&format!("{share}: {whole}"));
        }
    }

    /// Meets the other ranks, having said which this one is.
    pub(crate) fn meet(&self) -> Result<Box<dyn ProcessGroup>> {
        let launch = self.launch()?;
        if let Some(line) = launch.share().or_else(|| launch.forgotten_srun())
            && !self.quiet
        {
            eprintln!("{line}");
        }
        Ok(parallel::meet(&launch, &|line| self.warn(line))?)
    }

    /// An engine for `weights`, on the GPU if there is one.
    pub(crate) fn engine<'w>(&self, weights: &'w Weights) -> Result<Engine<'w>> {
        self.device.engine(self.engine_on_cpu(weights)?, self.quiet)
    }

    /// The device as [`var_host::Model`] takes it, and its name.
    #[cfg(feature = "serve")]
    pub(crate) fn device_of_model(&self) -> Result<(var_host::Device, String)> {
        let (device, name) = self.device.of_model(self.quiet)?;
        Ok((device.threads(self.threads).isa(self.isa), name))
    }

    /// The same for images to learn from: a GPU turns them into tokens in TF32, as the reference's
    /// convolutions do, unless another precision is asked for.
    pub(crate) fn tokenizer<'w>(&self, weights: &'w Weights) -> Result<Engine<'w>> {
        self.device.tokenizing().engine(self.engine_on_cpu(weights)?, self.quiet)
    }

    /// An observer of images; the network on the GPU, if there is one, in `f32` unless another
    /// precision is asked for.
    pub(crate) fn observer<'w>(&self, weights: &'w Inception) -> Result<FeatureExtractor<'w>> {
        let observer = FeatureExtractor::new(weights, self.threads, self.isa)?;
        #[cfg(feature = "cuda")]
        if let Some(cuda) = self.device.exact().open(self.quiet)? {
            return Ok(observer.on_gpu(cuda)?);
        }
        Ok(observer)
    }

    /// Threads that read images ahead: as many as `asked` for, else one for four that compute; where a GPU
    /// computes, all.
    pub(crate) fn workers(&self, asked: Option<u16>, on_gpu: bool) -> usize {
        let default = if on_gpu { self.threads } else { (self.threads / 4).max(1) };
        asked.map_or(default, usize::from)
    }

    /// An engine for `weights` that computes on the processor.
    pub(crate) fn engine_on_cpu<'w>(&self, weights: &'w Weights) -> Result<Engine<'w>> {
        Ok(Engine::new(weights, self.threads, self.isa)?)
    }

    /// Progress through `total` things, one of which is called `unit`.
    pub(crate) fn progress(&self, total: usize, unit: &str) -> Progress {
        Progress::new(self.quiet, total as u64, unit)
    }

    /// Prints a warning, whatever the options.
    pub(crate) fn warn(&self, text: &str) {
        eprintln!("var: {text}");
    }

    /// Says on the error stream how files were understood, unless asked to be quiet.
    pub(crate) fn note(&self, lines: &[String]) {
        for line in lines.iter().filter(|_| !self.quiet) {
            eprintln!("{line}");
        }
    }

    /// Prints an announcement, unless asked to be quiet.
    pub(crate) fn say(&self, line: &str) -> Result<()> {
        if self.quiet { Ok(()) } else { result(line) }
    }
}

/// Prints a result.
pub(crate) fn result(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
